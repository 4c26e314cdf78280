"""What probes, metrics and pages show of this process, and queries that never block on a silent database."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Standing(Protocol):
    """The status of this process; `SnapshotServer` implements it."""

    @property
    def blind(self) -> str:
        """Why this process serves everybody the live version; empty while it is up to date with the log."""

    @property
    def since_report(self) -> float:
        """Seconds since this process last wrote a report."""

    @property
    def unwatched(self) -> frozenset[str]:
        """Rollouts that have had no look for too long."""

    def look_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since its newest look."""


class Alone:
    """The status of a program that does not follow the log: always fine."""

    blind = ""
    since_report = 0.0
    unwatched: frozenset[str] = frozenset()

    def look_ages(self) -> Mapping[str, float]:
        return {}


class NoAnswer(Exception):
    """The database has not answered a query that was sent `seconds` ago."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The database has not answered for {seconds:.0f} s.")


class _Asked(Generic[T]):
    def __init__(self) -> None:
        self.at = time.monotonic()
        self.over = threading.Event()
        self.answer: T | None = None
        self.error: Exception | None = None


class Question(Generic[T]):
    """Runs a query in its own thread, one at a time, so that a silent database blocks at most one thread however often
    it is asked."""

    def __init__(self, ask: Callable[[], T], name: str) -> None:
        self._ask = ask
        self._name = name
        self._lock = threading.Lock()
        self._under_way: _Asked[T] | None = None

    def answer(self, within: float) -> T:
        """The query's result; raises DatabaseSilent after `timeout` seconds, or what the query raised."""
        with self._lock:
            asked = self._under_way
            if asked is None:
                asked = self._under_way = _Asked()
                threading.Thread(target=self._run, args=(asked,), name=self._name, daemon=True).start()
        if not asked.over.wait(within):
            raise NoAnswer(time.monotonic() - asked.at)
        if asked.error is not None:
            raise asked.error
        return asked.answer  # type: ignore[return-value]

    def _run(self, asked: _Asked[T]) -> None:
        try:
            asked.answer = self._ask()
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer gets it
            asked.error = error
        with self._lock:
            self._under_way = None
        asked.over.set()
