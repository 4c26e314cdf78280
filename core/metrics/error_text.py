"""Group error texts into kinds of errors by replacing the parts that differ from one failure to the next."""

import re
from itertools import pairwise

_ADDRESSES = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b"), "<email>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?\S*"), "<time>"),
    (re.compile(r"(?<![\w.])(/[\w.@~-]+){2,}/?|\b[A-Za-z]:\\\S+"), "<path>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
)
_WORD = re.compile(r"[\w-]{6,}")
_NUMBER = re.compile(r"(?<![\w.])(?![1-5]\d\d(?![\w.]))[-+]?\d[\d.,_:]*(?=\b|[a-z%])", re.IGNORECASE)
"""Numbers from 100 to 599 stay: they may be a status code, which identifies the kind of error."""
_SPACE = re.compile(r"\s+")
MAX_LENGTH = 200


def group_error_text(text: str) -> str:
    """The kind of an error: `order 4711 failed` and `order 4712 failed` both become `order <n> failed`.

    Replaces URLs, e-mail addresses, ids, times, paths and numbers, and truncates to 200 characters.
    """
    for pattern, name in _ADDRESSES:
        text = pattern.sub(name, text)
    text = _NUMBER.sub("<n>", _WORD.sub(_without_id, text))
    return _SPACE.sub(" ", text).strip()[:MAX_LENGTH] or "<n>"


def _without_id(word: re.Match[str]) -> str:
    """Return `<id>` for words like `req_8fKd02aX9` and `7f3a9c1e2b`: letters mixed with at least three digits.

    Codes such as `E11000` and `HTTP2StreamError` stay: they have few digits, or all of them in one place.
    """
    text = word.group()
    plain = text.replace("_", "").replace("-", "")
    digits = sum(c.isdigit() for c in plain)
    if digits < 3 or digits == len(plain):
        return text
    turns = sum(a.isdigit() != b.isdigit() for a, b in pairwise(plain))
    return "<id>" if turns >= 2 or len(plain) >= 12 else text
