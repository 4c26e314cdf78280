"""Splits the body of a request into observations: an object, a list, or one JSON object per line."""

import json
from typing import Any

import orjson

MAX_ITEMS = 10_000
UNREADABLE = object()
"""Stands for a line that is not JSON."""
_JSON_LINES_TYPES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)


class MalformedBatch(ValueError):
    """The body cannot be split into observations."""


def parse_items(body: bytes, content_type: str) -> list[Any]:
    """The items of a batch: `{"observations": [...]}`, a bare list, or JSON lines. Raises MalformedBatch otherwise."""
    if content_type.partition(";")[0].strip().lower() in _JSON_LINES_TYPES:
        found = _parse_lines(body)
    else:
        try:
            found = _list_items(_load_json(body))
        except ValueError as error:
            if isinstance(error, MalformedBatch) or b"\n" not in body.strip():
                raise MalformedBatch(_format_reason(error)) from None
            found = _parse_lines(body)
            if found[0] is UNREADABLE:
                raise MalformedBatch(_format_reason(error)) from None
    if len(found) > MAX_ITEMS:
        raise MalformedBatch(f"{len(found):,} observations are too many for one batch; send at most {MAX_ITEMS:,}")
    return found


def _list_items(parsed: Any) -> list[Any]:
    """The items of a parsed body: one observation, a list, or an object that holds one."""
    if isinstance(parsed, dict) and "observations" not in parsed and "surface" in parsed:
        return [parsed]
    found = parsed.get("observations") if isinstance(parsed, dict) else parsed
    if not isinstance(found, list):
        raise MalformedBatch('send {"observations": [...]}, or one JSON object per line')
    return found


def _parse_lines(body: bytes) -> list[Any]:
    """One item per non-empty line; a line that is not JSON becomes `UNREADABLE`."""
    found: list[Any] = []
    for line in body.splitlines():
        if line.strip():
            try:
                found.append(_load_json(line))
            except ValueError:
                found.append(UNREADABLE)
    return found or [UNREADABLE]


def _load_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)  # accepts NaN, which is no JSON but common, so that only that item is rejected
        except RecursionError:
            raise MalformedBatch("the body is nested too deeply") from None


def _format_reason(error: ValueError) -> str:
    return str(error) if isinstance(error, MalformedBatch) else f"the body is not JSON: {error}"
