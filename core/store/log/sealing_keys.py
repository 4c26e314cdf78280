"""The sealing key of one person, created when it is first needed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.store.formats import codec
from core.store.formats.sealing import Key
from core.store.log.event_log import Entry


class Held:
    """One person's sealing key during one command: read from the database, or created and then to be stored."""

    def __init__(self, person: str, found: tuple[str, bytes] | None) -> None:
        self._person = person
        self._key = Key(key_id=found[0], secret=found[1]) if found is not None else None
        self._made = False

    @property
    def kept(self) -> tuple[str, bytes] | None:
        """(key id, secret) as the database holds it after this command; None for a key that was not written."""
        return (self._key.key_id, self._key.secret) if self._key is not None and not self._made else None

    @property
    def key_id(self) -> str | None:
        """The id of the key, if there is one."""
        return self._key.key_id if self._key is not None else None

    def for_(self, entries: Sequence[Entry]) -> Key | None:
        """The key to seal these events with, created if needed; None if they hold no personal text."""
        if not self._person or not any(codec.holds_personal_text(entry.event) for entry in entries):
            return None
        if self._key is None:
            self._key, self._made = Key.new(), True
        return self._key

    def made(self, at: datetime) -> tuple[Any, ...] | None:
        """The row of a newly created key, the first time only; then None."""
        if self._key is None or not self._made:
            return None
        self._made = False
        return (self._key.key_id, self._person, self._key.secret, at)
