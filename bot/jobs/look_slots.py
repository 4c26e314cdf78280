"""Look slots: when each rollout has its turn, which slots are done, and which rollouts are overdue."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TICKS_PER_INTERVAL = 10  # the looks of different rollouts are spread over an interval in as many steps
OVERDUE_FACTOR = 1.5  # a rollout is overdue after this many look intervals of real time


@dataclass(slots=True)
class _SlotProgress:
    """The progress of one rollout's slots, as this worker has seen it."""

    newest_slot: datetime  # the newest slot recorded; an older one is no sign of progress
    finished_slot: datetime | None  # the slot that needs no more work
    look_count: int
    advanced_at: float  # monotonic seconds of the last progress


class SlotTracker:
    """What one worker knows about look slots: which are finished, and which rollouts are overdue.

    Slots follow the wall clock, so that all workers agree on them. If that clock is set, a slot may repeat or stay away
    for long; so a rollout without progress for `overdue_after` real seconds is looked at whatever the clock says.
    """

    def __init__(
        self, overdue_after: Callable[[], float] = lambda: math.inf, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._overdue_after = overdue_after
        self._elapsed = elapsed
        self._progress: dict[str, _SlotProgress] = {}

    def is_finished(self, rollout: str, slot: datetime) -> bool:
        """Whether this slot needs no more work, and the rollout is not overdue."""
        seen = self._progress.get(rollout)
        return seen is not None and seen.finished_slot == slot and not self.is_overdue(rollout, seen.look_count)

    def is_overdue(self, rollout: str, look_count: int) -> bool:
        """Whether a rollout that has had `look_count` looks is overdue; a changed count shows another worker at
        work."""
        seen = self._progress.get(rollout)
        return (
            seen is not None
            and look_count == seen.look_count
            and self._elapsed() - seen.advanced_at > self._overdue_after()
        )

    def record_slot(
        self, rollout: str, slot: datetime, look_count: int, *, is_finished: bool, claimed_here: bool = False
    ) -> None:
        """Note that the rollout has had `look_count` looks as of this slot.

        Progress is a slot claimed here, a later slot or a changed count; `is_finished` marks the slot as done.
        """
        seen = self._progress.get(rollout)
        if seen is None:
            self._progress[rollout] = seen = _SlotProgress(slot, None, look_count, self._elapsed())
        elif claimed_here or look_count != seen.look_count or slot > seen.newest_slot:
            seen.advanced_at = self._elapsed()
        seen.newest_slot, seen.look_count = max(seen.newest_slot, slot), look_count
        if is_finished:
            seen.finished_slot = slot


def find_slot_start(now: datetime, every: timedelta, rollout: str) -> datetime:
    """When the rollout's current slot began. R-2's slots begin a tenth of `every` after R-1's, and so on."""
    number = int(rollout.rpartition("-")[2]) - 1
    begin = datetime(2000, 1, 1, tzinfo=UTC) + number % TICKS_PER_INTERVAL * every / TICKS_PER_INTERVAL
    return begin + (now - begin) // every * every
