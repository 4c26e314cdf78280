"""Complaints of a rollout beside the baseline of these hours of the week, and the hold where they are beyond it."""

from datetime import datetime, timedelta

from core.judging import record
from core.judging.model.evidence import CANARY
from core.reviews.complaint_comparison import ComplaintComparison, compare_with_baseline
from core.reviews.measure_baseline import count_complaints
from core.rollout import commands as c
from core.rollout.state import holds
from core.rollout.state.model import Rollout
from core.service.service import RolloutService
from core.store.observations import looks

_EVERY = timedelta(minutes=30)  # looks that are read: half an hour apart, so that each belongs to one hour
_WEEK = timedelta(weeks=1)  # the same hour of the week is counted once


def load_comparison(service: RolloutService, rollout: Rollout, at: datetime) -> ComplaintComparison | None:
    """Complaints about the new version in the first week of the current stage, beside the baseline of its surface.

    None without a baseline of the version that was live before, without an exposed stage, or without such hours.
    """
    baseline = service.cached_world().surfaces[rollout.plan.surface].baseline
    since = rollout.stage_since
    if baseline is None or since is None or not rollout.is_looked_at or baseline.version != rollout.plan.from_version:
        return None
    times = [since + _EVERY * number for number in range(1, int(min(at - since, _WEEK) / _EVERY) + 1)]
    with service.database.reading() as connection:
        saved = looks.load_last_before(connection, rollout.id, times)
    read = {one.number: one for one in saved if one is not None}
    counted = count_complaints((record.load_recorded_look(one.look_json).look for one in read.values()), CANARY)
    return compare_with_baseline(counted, baseline.complaints_by_hour)


def hold_if_beyond_baseline(service: RolloutService, rollout: Rollout, at: datetime) -> ComplaintComparison | None:
    """Hold a rollout whose complaints are beyond the baseline, where no control is left to compare it with.

    With a control, complaints of the same hours are better known than those of the past. Returns what was compared.
    """
    stage = rollout.stage
    if stage is None or not stage.has_exposure or stage.is_compared or holds.COMPLAINTS in rollout.overridden:
        return None
    found = load_comparison(service, rollout, at)
    if found is not None and found.is_beyond_baseline and rollout.hold is None:
        text = (
            f"{found.complaints} complaints in {found.requests:,} requests; {found.expected:.0f} are normal at these "
            f"hours of the week, and rarely more than {found.at_most}"
        )
        command_id = f"complaints:{rollout.id}:{rollout.stage_index}:{at.isoformat()}"
        service.handle_as_engine(c.DoubtComplaints(text=text), command_id=command_id, at=at, rollout=rollout.id)
    return found
