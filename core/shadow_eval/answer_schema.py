"""Whether an answer is the JSON that a surface says it should be."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

Validator: TypeAlias = Callable[[Any], bool]


def compile_schema(schema: Mapping[str, Any]) -> Validator:
    """A check of values against a JSON Schema, which may refer to itself and to nothing outside.

    Raises ValueError with the reason if it is none.
    """
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=_refuse_reference).is_valid
    except (jsonschema_rs.ValidationError, ValueError, TypeError) as error:
        raise ValueError(str(error).strip().splitlines()[0][:200]) from None


def fits_schema(answer: str, schema: Mapping[str, Any]) -> bool:
    """Whether the answer is JSON that the schema accepts. A fence around it, as models like to write, is allowed."""
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.removeprefix("```").removesuffix("```").removeprefix("json").strip()
    try:
        value = orjson.loads(text)  # strict: half of a character, as in an answer that was cut off, is no JSON
    except orjson.JSONDecodeError:
        return False
    return _compile_text(json.dumps(schema, sort_keys=True))(value)


@lru_cache(maxsize=64)  # compiling takes longer than checking
def _compile_text(schema: str) -> Validator:
    return compile_schema(json.loads(schema))


def _refuse_reference(address: str) -> Any:
    raise ValueError(f"it refers to {address[:100]}, and nothing is fetched: write that part under $defs")
