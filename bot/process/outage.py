"""Logs a database outage once when it starts, then once a minute, and once when it ends, for the whole process."""

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import DBAPIError

from core.store.database.connections import CONNECTION_ERRORS, explain_write_refusal
from core.store.errors import DatabaseBusy

log = structlog.get_logger()

REPEAT_LOG_AFTER = 60.0  # seconds
DATABASE_ERRORS = (*CONNECTION_ERRORS, DatabaseBusy)
"""What is raised while the database is away, locked or cannot be written."""


class DatabaseOutage:
    """One per process, shared by everything that uses the database. `elapsed` gives monotonic seconds."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._logged_at: float | None = None
        self._since: float | None = None
        self._failure_count = 0
        self._is_logged = False  # the start is logged, the end not yet

    def record_failure(self, error: BaseException, job: str = "") -> bool:
        """Note a failed query. True if the database is unavailable, which is logged at most once a minute."""
        if not isinstance(error, DATABASE_ERRORS):
            return False
        now = self._elapsed()
        with self._lock:
            self._failure_count += 1
            if self._since is None:
                self._since = now
            if self._logged_at is not None and now - self._logged_at < REPEAT_LOG_AFTER:
                return True
            self._logged_at, self._is_logged, failed, since = now, True, self._failure_count, self._since
        log.error("the database is away", why=format_reason(error), what=job, failed=failed, seconds=round(now - since))
        return True

    def record_recovery(self) -> None:
        """Note that the database answers and takes writes again."""
        with self._lock:
            if self._since is None:
                return
            seconds, failed = self._elapsed() - self._since, self._failure_count
            self._since, self._failure_count = None, 0
            was_logged, self._is_logged = self._is_logged, False
        if was_logged:
            log.warning("the database is back", seconds=round(seconds), failed=failed)


def format_reason(error: BaseException) -> str:
    """The error in one line, without the SQL statement."""
    if isinstance(error, DBAPIError):
        if refused := explain_write_refusal(error):
            return refused
        message = str(error.orig).strip()
        return message.splitlines()[0] if message else type(error.orig).__name__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
