"""Stored answers to commands, so that a repeated command gets its first answer and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from core.store.database import driver
from core.store.database.append_queries import SELECT_ANSWER
from core.store.errors import IdempotencyConflict
from core.store.formats.instants import parse_instant

# The fingerprint of commands from an imported log, whose requests are not known; it matches every request.
IMPORTED_FINGERPRINT = "imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAnswer:
    """What a command did: the positions of its first and last event (None without events), and the answer given."""

    first_position: int | None
    last_position: int | None
    result_json: str
    at: datetime


def find_answer(connection: Connection, command_id: str, fingerprint: str) -> CommandAnswer | None:
    """The stored answer to this command, or None. IdempotencyConflict if the id belongs to another request.

    None can only be relied on under the append lock.
    """
    rows = driver.fetch_all(connection, SELECT_ANSWER, (command_id,))
    return parse_answer_row(rows[0] if rows else None, command_id, fingerprint)


def parse_answer_row(row: Sequence[Any] | None, command_id: str, fingerprint: str) -> CommandAnswer | None:
    """The answer in a row of `append_queries.SELECT_ANSWER`; see `find_answer`."""
    if row is None:
        return None
    kept, first, last, result, at = row
    if kept not in (fingerprint, IMPORTED_FINGERPRINT):
        raise IdempotencyConflict(
            f"The key {command_id} was used before for a different request, so this one was not carried out. "
            "Send it again under a new key."
        )
    moment = parse_instant(at) if isinstance(at, str) else at.astimezone(UTC)
    return CommandAnswer(first_position=first, last_position=last, result_json=result, at=moment)


def build_row(command_id: str, fingerprint: str, answer: CommandAnswer) -> tuple[Any, ...]:
    """The row of `commands` for an answer, to be written with its events; also if it had none or was refused."""
    return (command_id, fingerprint, answer.first_position, answer.last_position, answer.result_json, answer.at)
