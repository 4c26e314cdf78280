"""The interface to a command's database transaction: one round trip begins, locks and reads, a second one writes and
commits. Where the cached state may still be the newest, a single optimistic round trip does both."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from core.store.database.append_rows import PendingWrites


class TimerClaim(NamedTuple):
    """A due time of a timer that this worker has leased; `token` proves the lease."""

    name: str
    due_at: datetime
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRequest:
    """What a command reads once it holds the append lock."""

    command_id: str
    after_position: int  # position up to which the caller knows the log
    head_hash: bytes  # hash of the event at that position
    event_limit: int  # how many of the later events to read at most
    person: str  # whose sealing key to read; empty for none
    claim: TimerClaim | None = None  # due time to finish in this transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendState:
    """Rows read under the append lock. `is_claim_valid`: the claimed due time, if any, was still ours to finish."""

    answer_row: Sequence[Any] | None  # a row of `append_queries.SELECT_ANSWER`
    new_event_rows: Sequence[Sequence[Any]]  # rows of `append_queries.SELECT_EVENTS`
    key_row: tuple[str, bytes] | None
    is_claim_valid: bool


class AppendBackend(Protocol):
    """Runs the transactions of commands, one at a time, on SQLite or Postgres. Errors are SQLAlchemy's DBAPIError."""

    def begin(self, request: AppendRequest) -> AppendState:
        """Begin a transaction, wait for the append lock, and read."""

    def commit(self, writes: PendingWrites) -> None:
        """Write the rows and commit."""

    def try_optimistic_commit(self, request: AppendRequest, writes: PendingWrites) -> bool:
        """Wait for the append lock, then write and commit if the log still ends with `request.head_hash`, the command
        has no answer yet, and the claim is held.

        False if nothing was written. After an error that invalidates the connection the outcome is unknown; `begin`
        with the same command id finds out.
        """

    def roll_back(self) -> None:
        """Undo what was not committed; harmless if nothing is open."""

    def close_connection(self) -> None:
        """Close the dedicated connection."""
