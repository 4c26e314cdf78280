"""What probes, metrics and pages show of this process, and queries that never block on a silent database."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class ProcessStatus(Protocol):
    """The status of this process; `SnapshotServer` implements it."""

    @property
    def failsafe_reason(self) -> str:
        """Why this process serves everybody the live version; empty while it is up to date with the log."""

    @property
    def seconds_since_report(self) -> float:
        """Seconds since this process last wrote a report."""

    @property
    def unwatched_rollouts(self) -> frozenset[str]:
        """Rollouts that have had no look for too long."""

    def look_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since its newest look."""


class StandaloneStatus:
    """The status of a program that does not follow the log: always fine."""

    failsafe_reason = ""
    seconds_since_report = 0.0
    unwatched_rollouts: frozenset[str] = frozenset()

    def look_ages(self) -> Mapping[str, float]:
        return {}


class DatabaseSilent(Exception):
    """The database has not answered a query that was sent `seconds` ago."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The database has not answered for {seconds:.0f} s.")


class _QueryRun(Generic[T]):
    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.finished = threading.Event()
        self.result: T | None = None
        self.error: Exception | None = None


class BackgroundQuery(Generic[T]):
    """Runs a query in its own thread, one at a time, so that a silent database blocks at most one thread however often
    it is asked."""

    def __init__(self, query: Callable[[], T], name: str) -> None:
        self._query = query
        self._name = name
        self._lock = threading.Lock()
        self._current_run: _QueryRun[T] | None = None

    def wait_for_result(self, timeout: float) -> T:
        """The query's result; raises DatabaseSilent after `timeout` seconds, or what the query raised."""
        with self._lock:
            asked = self._current_run
            if asked is None:
                asked = self._current_run = _QueryRun()
                threading.Thread(target=self._run_query, args=(asked,), name=self._name, daemon=True).start()
        if not asked.finished.wait(timeout):
            raise DatabaseSilent(time.monotonic() - asked.started_at)
        if asked.error is not None:
            raise asked.error
        return asked.result  # type: ignore[return-value]

    def _run_query(self, run: _QueryRun[T]) -> None:
        try:
            run.result = self._query()
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer gets it
            run.error = error
        with self._lock:
            self._current_run = None
        run.finished.set()
