"""Where a unit falls: a pure function of purpose, salt and unit, so growth never reshuffles anyone."""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal, TypeAlias

Purpose: TypeAlias = Literal["expose", "layer", "holdout", "control"]

MILLION = 1_000_000
SCHEME = "v1"
_SEPARATOR = "\x1f"  # no concatenation of salt and unit can collide with another
_FIRST_EIGHT = slice(8)


def ppm(purpose: Purpose, salt: str, unit: str) -> int:
    """The unit's place, 0 to 999,999 parts per million. Scheme v1: it never changes for the same three strings."""
    return bucketer(purpose, salt)(unit)


def bucketer(purpose: Purpose, salt: str) -> Callable[[str], int]:
    """`ppm` with purpose and salt fixed, for many units. UnicodeEncodeError for a unit with lone surrogates."""
    prefix = _SEPARATOR.join((SCHEME, purpose, salt, "")).encode()

    def place(unit: str) -> int:
        return int.from_bytes(sha256(prefix + unit.encode()).digest()[_FIRST_EIGHT], "big") * MILLION >> 64

    return place


def share(percent: float) -> int:
    """A percentage (0 to 100) in parts per million, to the nearest 0.0001 %."""
    return max(0, min(MILLION, round(percent * 10_000)))
