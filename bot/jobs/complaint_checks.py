"""Holds rollouts without a control that have more complaints than is normal."""

from datetime import datetime, timedelta

from bot.jobs.due_times import DueTimes, find_due_time
from core.service import complaint_watch
from core.service.service import RolloutService

COMPLAINTS_EVERY = timedelta(minutes=30)


def watch_complaints(service: RolloutService, now: datetime, progress: DueTimes | None = None) -> None:
    """Every half hour, hold each rollout without a control that has more complaints than is normal at these hours."""
    progress = progress or DueTimes()
    for rollout in service.cached_world().open_rollouts:
        due_at = find_due_time(now, COMPLAINTS_EVERY, rollout.id)
        if rollout.is_looked_at and not progress.is_finished(rollout.id, due_at):
            complaint_watch.hold_if_beyond_baseline(service, rollout, now)
            progress.record(rollout.id, due_at, 0, is_finished=True, claimed_here=True)
