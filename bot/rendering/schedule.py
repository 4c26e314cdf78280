"""The earliest dates at which customers get the new version, as far as the plan fixes them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.rendering import wording
from core.rollout.model import Rollout
from core.rollout.plan import Stage, StageKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """When the first customers and when all customers get the new version; None while no start is known."""

    fixed: bool  # the start has a set date, as opposed to "not before"
    begins: datetime | None
    everyone: datetime | None
    first_percent: float
    until_everyone: timedelta  # from the first customers to all of them, with every hold at its minimum


def dates(rollout: Rollout, at: datetime) -> Dates:
    """The earliest dates, assuming every stage lasts its minimum hold; `at` is when the notice goes out."""
    steps = _public(rollout)
    before = sum((s.min_hold for s in rollout.plan.stages[: steps[0][0]]), timedelta(0)) if steps else timedelta(0)
    spread = sum((s.min_hold for _, s in steps if s.percent < 100), timedelta(0))
    start = rollout.started_at or rollout.start
    leads = [n.before for n in rollout.plan.told_before if n.before is not None]
    earliest = start or (at + max(leads) if leads else None)
    begins = earliest + before if earliest is not None else None
    return Dates(
        fixed=start is not None,
        begins=begins,
        everyone=begins + spread if begins is not None else None,
        first_percent=steps[0][1].percent if steps else 100.0,
        until_everyone=spread,
    )


def _public(rollout: Rollout) -> list[tuple[int, Stage]]:
    return [
        (i, s)
        for i, s in enumerate(rollout.plan.stages)
        if s.exposes and s.kind not in {StageKind.COHORT, StageKind.BAKE}
    ]


def begins(known: Dates, zone: str) -> str:
    """The opening of a sentence about the start: `On …`, `Not before …`, or that no date is set yet."""
    if known.begins is None:
        return "Soon (the date is not set yet)"
    return f"{'On' if known.fixed else 'Not before'} {wording.day(known.begins, zone)}"


def everyone(known: Dates, zone: str) -> str:
    """`everyone about …`: when all customers have the new version, at the earliest."""
    if known.everyone is None:
        return f"everyone about {wording.duration(known.until_everyone)} later"
    return f"everyone about {wording.when(known.everyone, zone)}"
