"""Holds rollouts without a control that have more complaints than is normal."""

from datetime import datetime, timedelta

from bot.jobs.look_slots import SlotTracker, find_slot_start
from core.service import complaint_watch
from core.service.service import RolloutService

COMPLAINTS_EVERY = timedelta(minutes=30)


def watch_complaints(service: RolloutService, now: datetime, slots: SlotTracker | None = None) -> None:
    """Every half hour, hold each rollout without a control that has more complaints than is normal at these hours."""
    slots = slots or SlotTracker()
    for rollout in service.cached_world().open_rollouts:
        slot = find_slot_start(now, COMPLAINTS_EVERY, rollout.id)
        if rollout.is_looked_at and not slots.is_finished(rollout.id, slot):
            complaint_watch.hold_if_beyond_baseline(service, rollout, now)
            slots.record_slot(rollout.id, slot, 0, is_finished=True, claimed_here=True)
