"""Soft errors in a surface file: names of categories, the language of answers, and their JSON Schema."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator
from pydantic import WithJsonSchema as Schema

from core.metrics.soft_errors import OTHER, SOFT_ERRORS
from core.shadow_eval.answer_language import KNOWN_LANGUAGES
from core.shadow_eval.answer_schema import compile_schema

SEGMENT = "segment"
"""In place of a language: that of the segment `language` of each answer."""
_NAME = re.compile(r"[a-z][a-z0-9_]{1,59}")


def _check_name(name: str) -> str:
    if name in SOFT_ERRORS or name == OTHER:
        raise ValueError(f"{name} is a category already: leave it out")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f'"{name[:60]}" is not a name: 2 to 60 of a to z, digits and _, beginning with a letter')
    return name


def _check_language(language: str) -> str:
    if language not in ("", SEGMENT) and language not in KNOWN_LANGUAGES:
        known = ", ".join(sorted(KNOWN_LANGUAGES))
        raise ValueError(f'"{language[:20]}" is not known: write one of {known}, or {SEGMENT}')
    return language


AnswerReading: TypeAlias = Literal[
    "refusal", "empty", "truncated", "wrong_language", "schema_invalid", "loop", "words", "links"
]
"""What rules read off an answer: whether it has a soft error, or how many words or links."""
SoftErrorName = Annotated[str, AfterValidator(_check_name), Schema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
AnswerLanguage = Annotated[
    str, AfterValidator(_check_language), Schema({"type": "string", "enum": [SEGMENT, *sorted(KNOWN_LANGUAGES)]})
]


def find_schema_problem(schema: Mapping[str, Any]) -> str:
    """What is wrong with a JSON Schema; empty if it is one."""
    try:
        compile_schema(schema)
    except ValueError as error:
        return str(error)
    return ""
