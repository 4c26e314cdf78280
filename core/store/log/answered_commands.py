"""Which commands were answered, so that a repeat gets the first answer and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from core.store.database import driver
from core.store.database.append_queries import ANSWER
from core.store.errors import Conflict
from core.store.formats.instants import of_text

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
    rows = driver.fetch(connection, ANSWER, (command_id,))
    return answer_of(rows[0] if rows else None, command_id, fingerprint)


def answer_of(row: Sequence[Any] | None, command_id: str, fingerprint: str) -> Answer | None:
    """A row of `queries.ANSWER`, as `answered` gives it."""
    if row is None:
        return None
    kept, first, last, result, at = row
    if kept not in (fingerprint, IMPORTED):
        raise Conflict(
            f"The key {command_id} was used before for a different request, so this one was not carried out. "
            "Send it again under a new key."
        )
    moment = of_text(at) if isinstance(at, str) else at.astimezone(UTC)
    return Answer(first_position=first, last_position=last, result_json=result, at=moment)


def row(command_id: str, fingerprint: str, answer: Answer) -> tuple[Any, ...]:
    """What is kept of an answer, in the transaction of the events; also of one that changed nothing or was refused."""
    return (command_id, fingerprint, answer.first_position, answer.last_position, answer.result_json, answer.at)
