"""Whether this process is informed, and what it has seen of the others: what probes, figures and pages show of it."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Standing(Protocol):
    """What `Serving` tells of itself."""

    @property
    def blind(self) -> str:
        """Why everybody gets the live version here; empty while this process is informed."""

    @property
    def since_report(self) -> float:
        """Seconds since the newest report of this process that was written."""

    @property
    def unwatched(self) -> frozenset[str]:
        """Rollouts at which nobody has looked for too long."""

    def look_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since somebody looked at it."""


class Alone:
    """Of a program that follows nothing: it is what it says."""

    blind = ""
    since_report = 0.0
    unwatched: frozenset[str] = frozenset()

    def look_ages(self) -> Mapping[str, float]:
        return {}


class NoAnswer(Exception):
    """The database was asked, and has not answered yet; `seconds` is how long ago that was."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The database has not answered for {seconds:.0f} s.")


class _Asked(Generic[T]):
    def __init__(self) -> None:
        self.at = time.monotonic()
        self.over = threading.Event()
        self.answer: T | None = None
        self.error: Exception | None = None


class Question(Generic[T]):
    """Asks in a thread of its own, one at a time: of a database that is silent there is no more than one waiting,
    however often it is asked about."""

    def __init__(self, ask: Callable[[], T], name: str) -> None:
        self._ask = ask
        self._name = name
        self._lock = threading.Lock()
        self._under_way: _Asked[T] | None = None

    def answer(self, within: float) -> T:
        """The answer; NoAnswer where there is none in so many seconds, or whatever asking raised."""
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
