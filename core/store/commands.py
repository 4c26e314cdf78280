"""Which commands were answered, so that a repeat gets the first answer and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from core.store import driver
from core.store.errors import Conflict
from core.store.instants import of_text
from core.store.trips import Statement

_FIND = "SELECT fingerprint, first_position, last_position, result, at FROM commands WHERE command_id = ?"
_KEEP = (
    "INSERT INTO commands (command_id, fingerprint, first_position, last_position, result, at)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)

# The fingerprint of commands that came with an imported log: what was asked is not known any more.
IMPORTED = "imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command did: the positions of its events (None for none), and the answer as it was given."""

    first_position: int | None
    last_position: int | None
    result_json: str
    at: datetime


def answered(connection: Connection, command_id: str, fingerprint: str) -> Answer | None:
    """The first answer to this command, or None. Conflict if the id was used for something else.

    Only under the append lock is a "None" still true when the answer is acted on.
    """
    return answer_of(driver.fetch(connection, *find(command_id)), command_id, fingerprint)


def find(command_id: str) -> Statement:
    """The statement that looks for the answer to a command."""
    return Statement(_FIND, (command_id,))


def answer_of(rows: Sequence[Sequence[Any]], command_id: str, fingerprint: str) -> Answer | None:
    """What `find` found, as `answered` gives it."""
    if not rows:
        return None
    kept, first, last, result, at = rows[0]
    if kept not in (fingerprint, IMPORTED):
        raise Conflict(
            f"The key {command_id} was used before for a different request, so this one was not carried out. "
            "Send it again under a new key."
        )
    moment = of_text(at) if isinstance(at, str) else at.astimezone(UTC)
    return Answer(first_position=first, last_position=last, result_json=result, at=moment)


def keep(command_id: str, fingerprint: str, answer: Answer) -> Statement:
    """The statement that keeps an answer, in the transaction of the events; also for commands that changed nothing
    or were refused."""
    return Statement(
        _KEEP,
        (command_id, fingerprint, answer.first_position, answer.last_position, answer.result_json, answer.at),
    )
