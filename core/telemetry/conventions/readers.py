"""Readers of attributes: each checks one value and keeps it as a fact; what it cannot use is left out."""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeAlias

Reader: TypeAlias = Callable[[dict[str, Any], Any], None]
"""Adds what a value says to the facts read so far. The first convention that names a fact is believed."""

_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
MAX_TEXT = 512  # characters; longer texts are left out


def read_text(fact: str) -> Reader:
    """A reader of a short text, or of a whole number, as ids may be, which is kept as its digits."""

    def keep(facts: dict[str, Any], value: Any) -> None:
        if type(value) is int:
            value = str(value)
        if isinstance(value, str) and 0 < len(value) <= MAX_TEXT:
            facts.setdefault(fact, value)

    return keep


def read_number(fact: str, factor: float = 1.0) -> Reader:
    """A reader of a finite number of at least 0, multiplied by `factor`; some applications send its digits as text."""

    def keep(facts: dict[str, Any], value: Any) -> None:
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = float(value) if "." in value else int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and isfinite(value):
            facts.setdefault(fact, value if factor == 1.0 else value * factor)

    return keep


def read_choice(fact: str, meanings: Mapping[str, str]) -> Reader:
    """A reader of one of several words, of which each has a meaning; upper and lower case are the same."""

    def keep(facts: dict[str, Any], value: Any) -> None:
        if isinstance(value, str) and (meaning := meanings.get(value.lower())) is not None:
            facts.setdefault(fact, meaning)

    return keep


def read_words(fact: str) -> Reader:
    """A reader of one word or a list of words, kept as a list in lower case."""

    def keep(facts: dict[str, Any], value: Any) -> None:
        words = [value] if isinstance(value, str) else value
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            facts.setdefault(fact, [word.lower()[:MAX_TEXT] for word in words[:16]])

    return keep
