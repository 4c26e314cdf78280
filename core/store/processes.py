"""Which processes are alive, and which position of the log each of them serves."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, delete, select

from core.store.database import Database
from core.store.tables import insert_into, process


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """`reached_at` is the real time at which it first reported the position it is at."""

    process_id: str
    role: str
    position: int
    reached_at: datetime


def report(database: Database, process_id: str, role: str, position: int, at: datetime) -> None:
    """Say that this process is alive `at` (real time) and serves the log up to `position`."""
    with database.plain_writing() as connection:
        mine = insert_into(connection, process).values(
            process_id=process_id, role=role, position=position, reached_at=at, seen_at=at
        )
        moved = process.c.position != mine.excluded.position
        connection.execute(
            mine.on_conflict_do_update(
                index_elements=["process_id"],
                set_={
                    "role": mine.excluded.role,
                    "position": mine.excluded.position,
                    "reached_at": case((moved, mine.excluded.reached_at), else_=process.c.reached_at),
                    "seen_at": mine.excluded.seen_at,
                },
            )
        )


def alive(connection: Connection, since: datetime) -> tuple[Process, ...]:
    """The processes that reported at `since` or later."""
    found = connection.execute(select(process).where(process.c.seen_at >= since).order_by(process.c.process_id))
    return tuple(
        Process(process_id=row.process_id, role=row.role, position=row.position, reached_at=row.reached_at)
        for row in found
    )


def leave(database: Database, process_id: str) -> None:
    """This process ends: nobody need wait for it any more."""
    with database.plain_writing() as connection:
        connection.execute(delete(process).where(process.c.process_id == process_id))
