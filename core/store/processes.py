"""Which processes are alive, and which position of the log each of them serves."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select, text

from core.store.database import Database
from core.store.tables import events, insert_into, process

SERVES_ON = 15.0
"""For so many seconds of its own monotonic clock a process serves what it serves, after it began the last report that
was written; then everybody gets the live version from it."""

# Rows of under 2 kB are kept as they are, four on a page: sixteen new pages.
_MAY_ASK = text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
_ROOM = text("CREATE TEMPORARY TABLE IF NOT EXISTS room (taken text) ON COMMIT DELETE ROWS")
_TAKE_ROOM = text("INSERT INTO pg_temp.room SELECT repeat('x', 1900) FROM generate_series(1, 64)")

REPORT_EVERY = 2.0
"""Seconds between two reports of a process of which nothing changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """`reached_at` is the real time at which it first reported the position it is at, `seen_at` that of its newest
    report. Both are of its own clock: compared with another machine's they say little."""

    process_id: str
    role: str
    position: int
    reached_at: datetime
    seen_at: datetime


def report(database: Database, process_id: str, role: str, position: int, at: datetime) -> int:
    """Say that this process is alive `at` (real time) and serves the log up to `position`; where the log ends in the
    database that took this, and that has room for more events."""
    with database.plain_writing() as connection:
        if database.dialect == "postgresql":
            _need_room(connection)
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
        end: int = connection.execute(select(func.coalesce(func.max(events.c.position), 0))).scalar_one()
        return end


def _need_room(connection: Connection) -> None:
    """A report finds its place on a disk that is full, where its row stood before, and an event does not: a rollback
    could not be written, and nobody would know. What is asked for here is given back at the end of the transaction."""
    if connection.execute(_MAY_ASK).scalar_one():
        connection.execute(_ROOM)
        connection.execute(_TAKE_ROOM)


def reported(connection: Connection) -> tuple[Process, ...]:
    """Every process that has reported and not left, however long ago."""
    found = connection.execute(select(process).order_by(process.c.process_id))
    return tuple(Process(**row._mapping) for row in found)


def forget(database: Database) -> None:
    """Whoever has reported is dead: nobody need wait for any of them."""
    with database.plain_writing() as connection:
        connection.execute(delete(process))


def leave(database: Database, process_id: str) -> None:
    """This process ends: nobody need wait for it any more."""
    with database.plain_writing() as connection:
        connection.execute(delete(process).where(process.c.process_id == process_id))
