"""How large a database is and how fast it grows, for whoever has to give it room."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from core.store.database.driver import fetch
from core.store.formats.instants import text_of
from core.store.log import event_log

OVER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes on disk (the write-ahead log of SQLite is not counted), events, and events of the last 24 hours."""

    bytes: int
    events: int
    events_a_day: int

    @property
    def bytes_a_day(self) -> int:
        """As the events grow: on average each of them, with all that comes with it, has taken as much as the others."""
        return round(self.bytes / self.events * self.events_a_day) if self.events else 0


def measure(connection: Connection, now: datetime) -> Size:
    """Two short queries and a search by halves: times of recording only grow."""
    if connection.dialect.name == "sqlite":
        pages, page = (fetch(connection, f"PRAGMA {what}", ())[0][0] for what in ("page_count", "page_size"))
        size = pages * page
    else:
        size = fetch(connection, "SELECT pg_database_size(current_database())", ())[0][0]
    newest, _ = event_log.head(connection)
    return Size(bytes=size, events=newest, events_a_day=newest - _before(connection, newest, now - OVER))


def _before(connection: Connection, newest: int, at: datetime) -> int:
    """How many events were recorded before `at`."""
    low, high = 0, newest
    value = text_of(at) if connection.dialect.name == "sqlite" else at
    while low < high:
        middle = (low + high + 1) // 2
        earlier = fetch(connection, "SELECT 1 FROM events WHERE position = ? AND recorded_at < ?", (middle, value))
        low, high = (middle, high) if earlier else (low, middle - 1)
    return low
