"""Measures how large the database is and how fast it grows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from core.store.database.driver import fetch_all
from core.store.formats.instants import format_instant
from core.store.log import event_log

GROWTH_PERIOD = timedelta(days=1)

# An empty table takes no page, an empty index one, and so does that of the table beside it which holds long values.
_POSTGRES_SIZES = """
SELECT pg_database_size(current_database()), coalesce(sum(pg_total_relation_size(c.oid)), 0) - (
    SELECT count(*) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.relnamespace = current_schema()::regnamespace
       OR t.oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
) * current_setting('block_size')::bigint
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSize:
    """Bytes on disk (without SQLite's write-ahead log), those of them that rows took, number of events, and events in
    the last 24 hours."""

    bytes: int
    row_bytes: int  # without what a new database takes, which no day adds
    events: int
    events_a_day: int

    @property
    def bytes_a_day(self) -> int:
        """The estimated growth: the average bytes of rows per event so far, times the events of the last 24 hours."""
        return round(self.row_bytes / self.events * self.events_a_day) if self.events else 0


def measure_size(connection: Connection, now: datetime) -> DatabaseSize:
    """Measure the database with a few short queries; a binary search, as recording times never decrease."""
    if connection.dialect.name == "sqlite":
        pages, page = (fetch_all(connection, f"PRAGMA {what}", ())[0][0] for what in ("page_count", "page_size"))
        empty = fetch_all(connection, "SELECT count(*) FROM sqlite_master WHERE rootpage > 0", ())[0][0] + 1
        size, rows = pages * page, (pages - empty) * page
    else:
        size, rows = fetch_all(connection, _POSTGRES_SIZES, ())[0]
    newest, _ = event_log.read_head(connection)
    return DatabaseSize(
        bytes=size,
        row_bytes=max(int(rows), 0),
        events=newest,
        events_a_day=newest - _count_recorded_before(connection, newest, now - GROWTH_PERIOD),
    )


def _count_recorded_before(connection: Connection, newest: int, at: datetime) -> int:
    """The number of events recorded before `at`, given that there are `newest` of them."""
    low, high = 0, newest
    value = format_instant(at) if connection.dialect.name == "sqlite" else at
    while low < high:
        middle = (low + high + 1) // 2
        earlier = fetch_all(connection, "SELECT 1 FROM events WHERE position = ? AND recorded_at < ?", (middle, value))
        low, high = (middle, high) if earlier else (low, middle - 1)
    return low
