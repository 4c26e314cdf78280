"""A command's transaction seen from outside: one trip that begins, locks and reads, one that writes and commits; or a
single one, where what was read last may be the newest still."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from core.store.database.append_rows import Writes


class Claim(NamedTuple):
    """A timer's slot that is ours to run, by the token that says so."""

    name: str
    slot: datetime
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a command wants to know under the append lock."""

    command_id: str
    after: int  # position up to which the log is known
    newest: bytes  # the hash of the event there
    at_most: int  # events of what follows
    person: str  # whose key is needed, if any
    claim: Claim | None = None  # a timer's slot to be finished with this transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows as they stand in the database. `finished` is False only where a claim was somebody else's by then."""

    answer: Sequence[Any] | None  # as `queries.ANSWER`
    news: Sequence[Sequence[Any]]  # as `queries.OPENED`
    key: tuple[str, bytes] | None
    finished: bool


class Trips(Protocol):
    """What SQLite and Postgres each do in their own way, one command after the other. Errors are SQLAlchemy's
    DBAPIError, as everywhere."""

    def open(self, ask: Ask) -> Found:
        """Begin, wait for the append lock, and read."""

    def commit(self, writes: Writes) -> None:
        """Write and commit."""

    def at_once(self, ask: Ask, writes: Writes) -> bool:
        """Wait for the append lock, and write and commit if the log still ends with `ask.newest`, the command was not
        answered yet, and the claim holds. False: nothing was written. An error that invalidates the connection leaves
        open whether it was, which `open` finds out."""

    def roll_back(self) -> None:
        """Undo what was not committed; harmless when it was, or when nothing had begun."""

    def drop(self) -> None:
        """Close the connection that it keeps."""
