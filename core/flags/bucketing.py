"""Bucketing of units: a pure function of purpose, salt and unit, so that a growing canary never reshuffles anyone."""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal, TypeAlias

Purpose: TypeAlias = Literal["expose", "layer", "holdout", "control"]

MILLION = 1_000_000
SCHEME = "v1"
_SEPARATOR = "\x1f"  # keeps different pairs of salt and unit from giving the same text
_FIRST_EIGHT = slice(8)


def make_digester(purpose: Purpose, salt: str) -> Callable[[str], int]:
    """The 64-bit number of a unit from which its bucket follows; it names one unit without saying which.

    It raises UnicodeEncodeError on lone surrogates.
    """
    prefix = _SEPARATOR.join((SCHEME, purpose, salt, "")).encode()

    def compute(unit: str) -> int:
        return int.from_bytes(sha256(prefix + unit.encode()).digest()[_FIRST_EIGHT], "big")

    return compute


def bucket_of_digest(digest: int) -> int:
    """The bucket, in ppm, of a unit with this 64-bit number."""
    return digest * MILLION >> 64


def compute_bucket(purpose: Purpose, salt: str, unit: str) -> int:
    """Bucket of a unit, 0 to 999,999 (parts per million). Under scheme v1 it never changes for the same arguments."""
    return make_bucketer(purpose, salt)(unit)


def make_bucketer(purpose: Purpose, salt: str) -> Callable[[str], int]:
    """`compute_bucket` with purpose and salt fixed, for many units. It raises UnicodeEncodeError on lone surrogates."""
    digest = make_digester(purpose, salt)
    return lambda unit: digest(unit) * MILLION >> 64  # as `bucket_of_digest`: a call more would be felt


def percent_to_ppm(percent: float) -> int:
    """Convert a percentage (0 to 100) to parts per million, clipped to [0, 1,000,000]."""
    return max(0, min(MILLION, round(percent * 10_000)))
