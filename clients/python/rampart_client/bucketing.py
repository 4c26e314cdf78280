"""Where a unit falls: the published formula (bucketing v1), as a comparison of bytes.

place = floor(first 8 bytes of sha256("v1" 0x1f purpose 0x1f salt 0x1f unit), big-endian, * 1,000,000 / 2^64)
"""

from hashlib import sha256

MILLION = 1_000_000
MAX_UNIT_LENGTH = 512
"""Longest unit in characters; longer ones get the live version."""
_ABOVE_ALL = b"\xff" * 33


def compute_place(purpose: str, salt: str, unit: str) -> int:
    """Place of a unit in parts per million, 0 to 999,999. Raises UnicodeEncodeError on lone surrogates."""
    return int.from_bytes(sha256(build_prefix(purpose, salt) + unit.encode()).digest()[:8], "big") * MILLION >> 64


def build_prefix(purpose: str, salt: str) -> bytes:
    """What is hashed before the unit."""
    return "\x1f".join(("v1", purpose, salt, "")).encode()


def find_threshold(place: int) -> bytes:
    """The bytes that exactly the digests of smaller places are less than.

    `place < p` is `number < ceil(p * 2^64 / 1,000,000)`, and big-endian numbers compare like their bytes. A digest is
    longer than the threshold, so one that begins with it is greater.
    """
    number = -(-place * 2**64 // MILLION)
    return number.to_bytes(8, "big") if number < 2**64 else _ABOVE_ALL
