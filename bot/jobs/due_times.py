"""When a look at each rollout is due, which times are done, and which rollouts are overdue."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TICKS_PER_INTERVAL = 10  # the looks of different rollouts are spread over an interval in as many steps
OVERDUE_FACTOR = 1.5  # a rollout is overdue after this many look intervals of real time


@dataclass(slots=True)
class _Progress:
    """The progress of one rollout, as this worker has seen it."""

    newest: datetime  # the newest time recorded; an older one is no sign of progress
    finished: datetime | None  # the time that needs no more work
    look_count: int
    advanced_at: float  # monotonic seconds of the last progress


class DueTimes:
    """What one worker knows about due times: which are finished, and which rollouts are overdue.

    Due times follow the wall clock, so that all workers agree on them. If that clock is set, a time may repeat or stay
    away for long; so a rollout without progress for `overdue_after` real seconds is looked at whatever the clock says.
    """

    def __init__(
        self, overdue_after: Callable[[], float] = lambda: math.inf, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._overdue_after = overdue_after
        self._elapsed = elapsed
        self._progress: dict[str, _Progress] = {}

    def is_finished(self, rollout: str, due_at: datetime) -> bool:
        """Whether this time needs no more work, and the rollout is not overdue."""
        seen = self._progress.get(rollout)
        return seen is not None and seen.finished == due_at and not self.is_overdue(rollout, seen.look_count)

    def is_overdue(self, rollout: str, look_count: int) -> bool:
        """Whether a rollout that has had `look_count` looks is overdue; a changed count shows another worker at
        work."""
        seen = self._progress.get(rollout)
        return (
            seen is not None
            and look_count == seen.look_count
            and self._elapsed() - seen.advanced_at > self._overdue_after()
        )

    def record(
        self, rollout: str, due_at: datetime, look_count: int, *, is_finished: bool, claimed_here: bool = False
    ) -> None:
        """Note that the rollout has had `look_count` looks as of this time.

        Progress is a time claimed here, a later one or a changed count; `is_finished` marks the time as done.
        """
        seen = self._progress.get(rollout)
        if seen is None:
            self._progress[rollout] = seen = _Progress(due_at, None, look_count, self._elapsed())
        elif claimed_here or look_count != seen.look_count or due_at > seen.newest:
            seen.advanced_at = self._elapsed()
        seen.newest, seen.look_count = max(seen.newest, due_at), look_count
        if is_finished:
            seen.finished = due_at


def find_due_time(now: datetime, every: timedelta, rollout: str) -> datetime:
    """The time at which the rollout was last due. R-2 is due a tenth of `every` after R-1, and so on."""
    number = int(rollout.rpartition("-")[2]) - 1
    begin = datetime(2000, 1, 1, tzinfo=UTC) + number % TICKS_PER_INTERVAL * every / TICKS_PER_INTERVAL
    return begin + (now - begin) // every * every
