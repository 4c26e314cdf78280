"""The clock of a demonstration: many times as fast as real time, at a speed that can be changed at any moment."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

FOREVER = datetime.max.replace(tzinfo=UTC)
# How fast a paused clock runs: a millisecond a second. Nothing becomes due by itself, and yet what waits for real
# seconds, such as the pause between two messages to a channel, goes on.
STANDSTILL = 0.001
_MEASURE_EVERY = 1.0  # seconds of real time
_WEIGHT = 0.1  # of the newest measurement: what holds the clock back comes and goes


class FastClock:
    """A clock that runs `speed` times as fast as real time from its creation, and stops at its limit.

    It never goes back.
    """

    def __init__(self, speed: float, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._time = datetime.now(UTC)
        self._read_at = elapsed()
        self._wanted = max(speed, STANDSTILL)
        self._limit = FOREVER
        self._lock = threading.Lock()
        self._begin_measuring()
        self._measured = self._wanted

    def __call__(self) -> datetime:
        """The time now."""
        with self._lock:
            self._advance()
            return self._time

    @property
    def speed(self) -> float:
        """How many times as fast as real time it runs: as asked for, or as measured over the last seconds where a limit
        holds it back."""
        with self._lock:
            self._advance()
            return max(min(self._wanted, self._measured), STANDSTILL)

    def set_speed(self, speed: float) -> None:
        """Run `speed` times as fast as real time from now on; 0 pauses."""
        with self._lock:
            self._advance()
            self._wanted = self._measured = max(speed, STANDSTILL)
            self._begin_measuring()

    def set_limit(self, limit: datetime) -> None:
        """Stop at `limit` until a later limit is set; it never goes back."""
        with self._lock:
            self._advance()
            self._limit = max(limit, self._time)

    @contextmanager
    def lift_limit_at_exit(self) -> Iterator[None]:
        """A context that lifts the limit at its end, whatever happened inside."""
        try:
            yield
        finally:
            self.set_limit(FOREVER)

    def _advance(self) -> None:
        now = self._elapsed()
        self._time = min(self._time + timedelta(seconds=(now - self._read_at) * self._wanted), self._limit)
        self._read_at = now
        began_at, from_time = self._measuring_from
        if now - began_at >= _MEASURE_EVERY:
            newest = (self._time - from_time).total_seconds() / (now - began_at)
            left = (1 - _WEIGHT) ** ((now - began_at) / _MEASURE_EVERY)
            self._measured = left * self._measured + (1 - left) * newest
            self._begin_measuring()

    def _begin_measuring(self) -> None:
        self._measuring_from = (self._read_at, self._time)
