"""Reads values of OTLP's JSON, which is not the JSON of protobuf: ids are hexadecimal. Long numbers may be texts."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from math import isfinite
from typing import Any

import orjson

from bot.http.otlp.protobuf_values import MalformedExport

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""Every escape of a JSON text, one after the other; with a group if it is a surrogate without its other half."""
_NOT_MESSAGES = frozenset({"resource", "scope", "schemaUrl", "schema_url"})
"""What stands beside the messages of a resource or a scope."""


def replace_lone_surrogates(body: bytes) -> bytes:
    """JSON in which halves of characters, as JavaScript writes where it has cut an emoji in two, are U+FFFD."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], body)


def load_object(body: bytes) -> Mapping[str, Any]:
    """An object of JSON; raises MalformedExport."""
    try:
        try:
            loaded = orjson.loads(body)
        except orjson.JSONDecodeError:
            loaded = orjson.loads(replace_lone_surrogates(body))
    except orjson.JSONDecodeError as error:
        raise MalformedExport(f"The body is not JSON: {error}.") from None
    if not isinstance(loaded, dict):
        raise MalformedExport("The body must be an object, an OTLP message in JSON.")
    return loaded


def get_field(holder: Mapping[str, Any], name: str) -> Any:
    """A field by its name in JSON (`traceId`), or in OTLP's schema (`trace_id`), which protobuf's own JSON may keep."""
    found = holder.get(name)
    return holder.get(find_schema_name(name)) if found is None else found


@cache
def find_schema_name(name: str) -> str:
    """`trace_id` for `traceId`."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def find_unread_names(message: Mapping[str, Any], path: Sequence[str]) -> str:
    """Why nothing was found at the end of a path of lists such as `resourceSpans`, `scopeSpans`, `spans`.

    Names the fields that stand where the path should go on; empty if there are none, as in an export of nothing.
    """
    holders: Sequence[Mapping[str, Any]] = [message]
    for depth, name in enumerate(path):
        known = {name, find_schema_name(name)} | (_NOT_MESSAGES if depth else set())
        if unread := sorted({str(key)[:60] for holder in holders for key in holder} - known):
            return f"{', '.join(unread[:5])} is not read: what counts is at {', '.join(path)}"
        holders = [one for holder in holders for one in list_objects(holder, name)]
    return ""


def list_objects(holder: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list that may be left out; raises MalformedExport."""
    found = get_field(holder, name) if isinstance(holder, dict) else None
    return [] if found is None else check_objects(found, name)


def check_objects(found: Any, name: str) -> list[dict[str, Any]]:
    """A list of objects; raises MalformedExport for anything else."""
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MalformedExport(f'"{name}" must be a list of objects.')
    return found


def list_attributes(holder: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of attributes; raises MalformedExport."""
    for pair in list_objects(holder, "attributes"):
        if isinstance(name := pair.get("key"), str):
            yield name, _read_value_of(name, pair)


def read_pair(encoded: bytes) -> tuple[str, Callable[[], Any]]:
    """The name of an encoded attribute, and what reads its value; raises MalformedExport, as that does."""
    pair = load_object(encoded)
    name = pair.get("key")
    name = name if isinstance(name, str) else ""
    return name, partial(_read_value_of, name, pair)


def _read_value_of(name: str, pair: Mapping[str, Any]) -> Any:
    value = pair.get("value")
    if value is not None and not isinstance(value, dict):
        raise MalformedExport(
            f'The value of the attribute "{name[:60]}" must be an object that names its kind, such as '
            '{"stringValue": "text"}.'
        )
    return _read_value(value)


def _read_value(value: Any, depth: int = 0) -> Any:
    """The Python value of an AnyValue; None for bytes and for what nothing reads."""
    if not isinstance(value, dict) or depth > 8:
        return None
    for kind, found in value.items():
        if found is None:
            continue
        match kind:
            case "stringValue" | "string_value":
                return found if isinstance(found, str) else None
            case "intValue" | "int_value":
                return parse_int(found)
            case "doubleValue" | "double_value":
                return parse_double(found)
            case "boolValue" | "bool_value":
                return found if isinstance(found, bool) else None
            case "arrayValue" | "array_value":
                return [_read_value(one, depth + 1) for one in list_objects(found, "values")]
            case "kvlistValue" | "kvlist_value":
                return {
                    str(pair.get("key")): _read_value(pair.get("value"), depth + 1)
                    for pair in list_objects(found, "values")
                }
            case _:
                pass
    return None


def read_int(value: Any) -> int:
    """A whole number that may be left out: 0 then, as in protobuf, and for anything that is not one."""
    return parse_int(value) or 0


def parse_double(value: Any) -> float | None:
    """A finite number, or the text of one, as protobuf's JSON allows; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def parse_int(value: Any) -> int | None:
    """A whole number of at most 64 bits, its decimal digits, or a float that is one (`12.0`); None for anything else.

    Languages that know one kind of number write floats.
    """
    is_digits = type(value) is str and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit()
    if is_digits or (type(value) is float and value.is_integer()):
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**64 else None


def read_id(value: Any, digits: int) -> str:
    """An id in lower case; empty if it is not one."""
    if type(value) is not str or len(value) != digits:
        return ""
    try:
        encoded = bytes.fromhex(value)  # leaves out spaces, hence the look at the length
    except ValueError:
        return ""
    return encoded.hex() if len(encoded) * 2 == digits and any(encoded) else ""


def is_wrong_id(value: Any, digits: int) -> bool:
    """Whether something was given that is no id; what is left out, empty or all zeros was not given."""
    if value is None or value == "" or value == "0" * digits:
        return False
    return not read_id(value, digits)
