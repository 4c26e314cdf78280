"""Parses JSON, also as Python's encoder writes it: a bare NaN or Infinity, which JSON lacks, is a missing value."""

import json
from typing import Any

import orjson


def load_json(text: bytes) -> Any:
    """The document in `text`; NaN and the infinities become None. Raises `orjson.JSONDecodeError` if it is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            raise
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise orjson.JSONDecodeError(error.msg, error.doc, error.pos) from None
    except (UnicodeDecodeError, RecursionError):
        raise orjson.JSONDecodeError("it is not UTF-8, or nested too deeply", "", 0) from None
