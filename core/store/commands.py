"""Which commands were answered, so that a repeat gets the first answer and changes nothing."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from core.store.errors import Conflict
from core.store.tables import commands

__all__ = ["IMPORTED", "Answer", "Conflict", "answered", "remember"]

# Built once: every command passes here twice, and building a statement costs more than running it.
_FIND = select(commands).where(commands.c.command_id == bindparam("id"))
_KEEP = insert(commands)

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

    Ask inside `Database.writing()`: two copies of one command at the same moment then queue behind each other.
    """
    row = connection.execute(_FIND, {"id": command_id}).one_or_none()
    if row is None:
        return None
    if row.fingerprint not in (fingerprint, IMPORTED):
        raise Conflict(
            f"The key {command_id} was used before for a different request, so this one was not carried out. "
            "Send it again under a new key."
        )
    return Answer(first_position=row.first_position, last_position=row.last_position, result_json=row.result, at=row.at)


def remember(
    connection: Connection,
    command_id: str,
    fingerprint: str,
    first_position: int | None,
    last_position: int | None,
    result_json: str,
    at: datetime,
) -> None:
    """Keep the answer, in the transaction of the events; also for commands that changed nothing or were refused."""
    connection.execute(
        _KEEP,
        {
            "command_id": command_id,
            "fingerprint": fingerprint,
            "first_position": first_position,
            "last_position": last_position,
            "result": result_json,
            "at": at,
        },
    )
