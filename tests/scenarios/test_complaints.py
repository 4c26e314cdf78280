"""Complaints at 100 %, where no control is left: held against what was normal at the same hours of the week."""

from datetime import timedelta

import pytest

from bot.jobs import complaint_checks
from core.rollout.plans.baseline import HourlyComplaints, SurfaceBaseline
from core.rollout.state import holds
from core.rollout.state.events import NewEvent
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import BaselineRecorded
from core.store.log.event_log import EventOrigin
from core.store.transaction import append_transaction
from tests.rehearsal import EXAMPLES, SURFACE


def record_baseline(told, *, complaints):
    """What an earlier review kept: so many complaints in 10,000 requests of each hour of the week."""
    baseline = SurfaceBaseline(
        rollout="R-0",
        version="v42",
        until=told.at,
        daily_requests=None,
        levels=(),
        complaints_by_hour=tuple(
            HourlyComplaints(hour=hour, requests=10_000, complaints=complaints) for hour in range(168)
        ),
    )
    entry = NewEvent(stream=f"surface:{SURFACE}", event=BaselineRecorded(baseline=baseline, by="U2"))
    with append_transaction(told.service.database, told.service.world_cache, f"baseline:{complaints}") as log:
        origin = EventOrigin(command_id=f"baseline:{complaints}", actor="U2", at=told.at, recorded_at=told.at)
        log.append([entry], origin)


@pytest.mark.shows("E51")
def test_more_complaints_than_ever_at_these_hours_hold_a_rollout_that_everybody_has(rehearse):
    plan = (EXAMPLES / "first-rollout.yaml").read_text()
    told = rehearse("healthy", rollout_file=plan.replace("bake:   {hold: 2m}", "bake:   {hold: 4h}"))
    told.tick = timedelta(seconds=30)  # complaints are counted by the hour: it makes no difference how often it looks
    told.play(minutes=18)
    assert told.rollout.stage.name == "bake"
    told.scenario = "complaints"
    for _ in range(3):  # a few minutes of every half hour are enough
        told.play(minutes=3).at += timedelta(minutes=27)
    told.play(minutes=1)
    complaint_checks.watch_complaints(told.service, told.at)
    assert told.rollout.state is RolloutState.RUNNING, "nobody knows what is normal"
    record_baseline(told, complaints=100)
    complaint_checks.watch_complaints(told.service, told.at)
    assert told.rollout.state is RolloutState.RUNNING, "it is normal"
    record_baseline(told, complaints=8)
    complaint_checks.watch_complaints(told.service, told.at)
    assert told.rollout.state is RolloutState.ON_HOLD
    assert told.rollout.hold.key == holds.COMPLAINTS
    assert "are normal at these hours of the week" in told.rollout.hold.text
