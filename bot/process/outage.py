"""Logs a database outage once when it starts, then once a minute, and once when it ends, for the whole process."""

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import DBAPIError

from core.store.database.connections import AWAY, refusal_of_writes
from core.store.errors import Busy

log = structlog.get_logger()

AGAIN = 60.0  # seconds


class Outage:
    """One per process, shared by everything that uses the database. `elapsed` gives monotonic seconds."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._said_at: float | None = None
        self._since: float | None = None
        self._failed = 0
        self._said_away = False  # the start is logged, the end not yet

    def noted(self, error: BaseException, what: str = "") -> bool:
        """Note a failed query. True if the database is unavailable, which is logged at most once a minute."""
        if not isinstance(error, (*AWAY, Busy)):
            return False
        now = self._elapsed()
        with self._lock:
            self._failed += 1
            if self._since is None:
                self._since = now
            if self._said_at is not None and now - self._said_at < AGAIN:
                return True
            self._said_at, self._said_away, failed, since = now, True, self._failed, self._since
        log.error("the database is away", why=reason(error), what=what, failed=failed, seconds=round(now - since))
        return True

    def over(self) -> None:
        """Note that the database answers and takes writes again."""
        with self._lock:
            if self._since is None:
                return
            seconds, failed = self._elapsed() - self._since, self._failed
            self._since, self._failed = None, 0
            said, self._said_away = self._said_away, False
        if said:
            log.warning("the database is back", seconds=round(seconds), failed=failed)


def reason(error: BaseException) -> str:
    """The error in one line, without the SQL statement."""
    if isinstance(error, DBAPIError):
        if refused := refusal_of_writes(error):
            return refused
        said = str(error.orig).strip()
        return said.splitlines()[0] if said else type(error.orig).__name__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
