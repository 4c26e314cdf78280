"""The earliest dates at which customers get the new version, as far as the plan fixes them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.rendering import wording
from core.rollout.model import Rollout
from core.rollout.plan import Stage, StageKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDates:
    """When the first customers and when all customers get the new version; None while no start is known."""

    has_fixed_start: bool  # the start has a set date, as opposed to "not before"
    first_customers_at: datetime | None
    everyone_at: datetime | None
    first_percent: float
    time_to_everyone: timedelta  # from the first customers to all of them, with every hold at its minimum


def estimate_dates(rollout: Rollout, at: datetime) -> RolloutDates:
    """The earliest dates, assuming every stage lasts its minimum hold; `at` is when the notice goes out."""
    steps = _customer_stages(rollout)
    before = sum((s.min_hold for s in rollout.plan.stages[: steps[0][0]]), timedelta(0)) if steps else timedelta(0)
    spread = sum((s.min_hold for _, s in steps if s.percent < 100), timedelta(0))
    start = rollout.started_at or rollout.start
    leads = [n.before for n in rollout.plan.stakeholder_notices if n.before is not None]
    earliest = start or (at + max(leads) if leads else None)
    begins = earliest + before if earliest is not None else None
    return RolloutDates(
        has_fixed_start=start is not None,
        first_customers_at=begins,
        everyone_at=begins + spread if begins is not None else None,
        first_percent=steps[0][1].percent if steps else 100.0,
        time_to_everyone=spread,
    )


def _customer_stages(rollout: Rollout) -> list[tuple[int, Stage]]:
    return [
        (i, s)
        for i, s in enumerate(rollout.plan.stages)
        if s.has_exposure and s.kind not in {StageKind.COHORT, StageKind.BAKE}
    ]


def format_start(schedule: RolloutDates, zone: str) -> str:
    """When it starts, for the end of a clause: `on …`, `on … at the earliest`, or that no date is set yet."""
    if schedule.first_customers_at is None:
        return "soon (the date is not set yet)"
    earliest = "" if schedule.has_fixed_start else " at the earliest"
    return f"on {wording.format_local_day(schedule.first_customers_at, zone)}{earliest}"


def format_completion(schedule: RolloutDates, zone: str) -> str:
    """`everyone about …`: when all customers have the new version, at the earliest."""
    if schedule.everyone_at is None:
        return f"everyone about {wording.format_duration(schedule.time_to_everyone)} later"
    return f"everyone about {wording.format_local_time(schedule.everyone_at, zone)}"
