"""Checks whether driven flags still have the value that was decided."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from bot.jobs.due_times import OVERDUE_FACTOR, DueTimes
from bot.process.flip_confirmation import GIVE_UP_AFTER
from core.rollout.plans.plan import DrivenFlag
from core.rollout.serving import driving
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.service.outbox_tasks import FlagTask
from core.service.service import RolloutService
from core.store.coordination import outbox

CHECK_UNSETTLED_FLAG_EVERY = timedelta(minutes=1)  # for a driven flag that does not have its decided value yet
CHECK_SETTLED_FLAG_EVERY = timedelta(minutes=5)
STOP_CHECKING_FLAG_AFTER = timedelta(minutes=15)  # after a rollback, once the flag is settled


@dataclass(frozen=True, slots=True)
class FlagDueTimes:
    """When checks of driven flags are due: unsettled flags are checked more often than settled ones."""

    unsettled: DueTimes = field(default_factory=DueTimes)
    settled: DueTimes = field(default_factory=DueTimes)

    @classmethod
    def for_speed(cls, speed: Callable[[], float], elapsed: Callable[[], float] = time.monotonic) -> "FlagDueTimes":
        """Trackers for a rollouts' clock that runs `speed` times as fast as real time."""

        def track(every: timedelta) -> DueTimes:
            return DueTimes(lambda: OVERDUE_FACTOR * every.total_seconds() / speed(), elapsed)

        return cls(track(CHECK_UNSETTLED_FLAG_EVERY), track(CHECK_SETTLED_FLAG_EVERY))


def queue_flag_checks(service: RolloutService, now: datetime, due: FlagDueTimes | None = None) -> None:
    """Queue a check of each driven flag: it may have been changed by hand, or an earlier failure may be gone."""
    world, due = service.cached_world(), due or FlagDueTimes()
    driven = ((rollout, n, one) for rollout in world.rollouts.values() for n, one in enumerate(rollout.plan.driven))
    for rollout, number, flag in driven:
        if not _needs_flag_check(rollout, flag, world, now):
            continue
        settled = driving.is_settled(rollout, flag)
        every, tracker = (
            (CHECK_SETTLED_FLAG_EVERY, due.settled) if settled else (CHECK_UNSETTLED_FLAG_EVERY, due.unsettled)
        )
        due_at = datetime.fromtimestamp(now.timestamp() // every.seconds * every.seconds, UTC)
        task = FlagTask(rollout=rollout.id, number=number, is_check=True)
        key = f"{task.destination}:look:{every.seconds}:{int(now.timestamp()) // every.seconds}"
        with service.database.reading() as connection:
            if outbox.has_unsent_rows(connection, task.destination):
                continue
            looked_at = outbox.find_by_key(connection, key) is not None
        if looked_at and not tracker.is_overdue(task.destination, 0):
            tracker.record(task.destination, due_at, 0, is_finished=True)
            continue
        tracker.record(task.destination, due_at, 0, is_finished=True, claimed_here=True)
        if looked_at:  # the clock was set back, so this time repeats
            key = f"{key}:{uuid4().hex}"
        row = task.build_row(now, world.position, idempotency_key=key, is_urgent=not rollout.is_under_way)
        with service.database.writing_outside_log() as connection:
            outbox.insert_row(connection, row)


def _needs_flag_check(rollout: Rollout, driven: DrivenFlag, world: World, now: datetime) -> bool:
    """Whether this rollout's flag must be checked: while under way, and after a rollback until it is settled and a
    while longer. Then the flag belongs to its owners again, or to a later rollout that drives it."""
    if driving.desired_percent(rollout, driven) is None or rollout.state is RolloutState.DONE:
        return False
    if rollout.is_under_way or rollout.ended_at is None:
        return True
    if driving.find_competing_rollouts(rollout, driven, world.rollouts.values()):
        return False
    is_settled = driving.is_settled(rollout, driven)
    return now - rollout.ended_at < (STOP_CHECKING_FLAG_AFTER if is_settled else GIVE_UP_AFTER)
