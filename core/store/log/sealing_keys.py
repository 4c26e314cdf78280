"""The sealing key of one person, created when it is first needed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.rollout.state.events import NewEvent
from core.store.formats import codec
from core.store.formats.sealing import SealingKey


class PersonKey:
    """One person's sealing key during one command: read from the database, or created and then to be stored."""

    def __init__(self, person: str, stored: tuple[str, bytes] | None) -> None:
        self._person = person
        self._key = SealingKey(key_id=stored[0], secret=stored[1]) if stored is not None else None
        self._is_new = False

    @property
    def stored_key(self) -> tuple[str, bytes] | None:
        """(key id, secret) as the database holds it after this command; None for a key that was not written."""
        return (self._key.key_id, self._key.secret) if self._key is not None and not self._is_new else None

    @property
    def key_id(self) -> str | None:
        """The id of the key, if there is one."""
        return self._key.key_id if self._key is not None else None

    def get_or_create(self, entries: Sequence[NewEvent]) -> SealingKey | None:
        """The key to seal these events with, created if needed; None if they hold no personal text."""
        if not self._person or not any(codec.holds_personal_text(entry.event) for entry in entries):
            return None
        if self._key is None:
            self._key, self._is_new = SealingKey.generate(), True
        return self._key

    def take_new_row(self, at: datetime) -> tuple[Any, ...] | None:
        """The row of a newly created key, the first time only; then None."""
        if self._key is None or not self._is_new:
            return None
        self._is_new = False
        return (self._key.key_id, self._person, self._key.secret, at)
