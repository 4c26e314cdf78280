"""The key that one person's words are sealed with, made when first needed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.store.formats import codec
from core.store.formats.sealing import Key
from core.store.log.event_log import Entry


class Held:
    """One person's key during one command: found, or made, in which case it must be kept."""

    def __init__(self, person: str, found: tuple[str, bytes] | None) -> None:
        self._person = person
        self._key = Key(key_id=found[0], secret=found[1]) if found is not None else None
        self._made = False

    @property
    def kept(self) -> tuple[str, bytes] | None:
        """What `found` will be the next time: not one that was made and never written."""
        return (self._key.key_id, self._key.secret) if self._key is not None and not self._made else None

    @property
    def key_id(self) -> str | None:
        """Of the key that was found or made, if any."""
        return self._key.key_id if self._key is not None else None

    def for_(self, entries: Sequence[Entry]) -> Key | None:
        """What to seal these events with; None where nobody wrote anything."""
        if not self._person or not any(codec.holds_personal_text(entry.event) for entry in entries):
            return None
        if self._key is None:
            self._key, self._made = Key.new(), True
        return self._key

    def made(self, at: datetime) -> tuple[Any, ...] | None:
        """The row of a key that was made here, once."""
        if self._key is None or not self._made:
            return None
        self._made = False
        return (self._key.key_id, self._person, self._key.secret, at)
