"""Heartbeats: which processes are alive, and up to which log position each serves flags."""

from datetime import datetime

from sqlalchemy import Connection, case, delete, func, text
from sqlmodel import select

from core.store.database.connections import Database
from core.store.models import ProcessReport, events, insert_into, process, read_all

SERVING_SECONDS = 15.0
"""How long a process goes on serving after the start of its last successful report, on its own monotonic clock; after
that it serves everybody the live version."""

# Rows of under 2 kB are kept as they are, four on a page: sixteen new pages.
_MAY_ASK = text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
_ROOM = text("CREATE TEMPORARY TABLE IF NOT EXISTS room (taken text) ON COMMIT DELETE ROWS")
_TAKE_ROOM = text("INSERT INTO pg_temp.room SELECT repeat('x', 1900) FROM generate_series(1, 64)")

REPORT_INTERVAL_SECONDS = 2.0
"""Seconds between two reports of a process whose position does not change."""


def report_alive(database: Database, process_id: str, role: str, position: int, at: datetime) -> int:
    """Record that this process is alive `at` (real time) and serves the log up to `position`.

    Returns where the log ends in the database that accepted the report, and that has room for more events.
    """
    with database.writing_outside_log() as connection:
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


def load_processes(connection: Connection) -> tuple[ProcessReport, ...]:
    """All processes that have reported, however long ago, and not unregistered."""
    return read_all(connection, select(ProcessReport).order_by(ProcessReport.process_id))


def delete_all(database: Database) -> None:
    """Delete all reports, once it is known that none of these processes is alive."""
    with database.writing_outside_log() as connection:
        connection.execute(delete(process))


def unregister(database: Database, process_id: str) -> None:
    """Delete the report of a process that ends, so that nobody waits for it."""
    with database.writing_outside_log() as connection:
        connection.execute(delete(process).where(process.c.process_id == process_id))
