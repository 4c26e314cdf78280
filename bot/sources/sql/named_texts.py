"""Texts of errors that an engine counts under one name, by their hashes: they may be long, and many."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

HASH_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedErrorTexts:
    """Texts that are counted under one name: the first digits of their SHA-256. With `since` only in rows from then
    on: those before are counted among the others, and stay there."""

    name: str
    hashes: tuple[str, ...]
    since: datetime | None = None


def hash_text(text: str) -> str:
    """What stands for a text: the first digits of its SHA-256."""
    return sha256(text.encode()).hexdigest()[:HASH_DIGITS]
