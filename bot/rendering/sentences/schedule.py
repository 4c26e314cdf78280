"""When customers get the new version, step by step: what has happened, and what comes at the earliest."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.rendering import wording
from core.files.foresight.outlook import PlanOutlook
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.state.model import Rollout, RolloutState

PLAN_DATES_TITLE = "When, if no limit breaks"
_LEAST_DELAY = 0.1
"""Share of the shortest time by which it has to be likely to last longer before that is told."""
_OF_COLLEAGUES = frozenset({"internal", "email", "email_domain", "employee", "staff"})
"""Attributes by which a cohort is chosen among those who work here; by any other, it is of customers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPhase:
    """A step at which more customers get the new version. `at` is None where no date can be given."""

    percent: float
    at: datetime | None
    is_entered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPhase:
    """A step at which customers of a cohort get the new version, before a share of all of them does."""

    name: str
    at: datetime | None
    is_entered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelyDates:
    """When everyone has it and when watching is over, at the traffic that is usual."""

    everyone_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDates:
    """When the first customers and when all customers get the new version; None while it cannot be known."""

    has_fixed_start: bool  # customers get it first at a set time, as opposed to "not before"
    phases: tuple[CustomerPhase, ...]
    left_out: str  # those who keep the old version even when everyone else has it, as in `5 in 100 customers`
    time_to_everyone: timedelta  # from the first customers to all of them, with every hold at its minimum
    chosen: tuple[ChosenPhase, ...] = ()
    ends_at: datetime | None  # when the last stage, in which everyone has it and it is watched, is over
    likely: LikelyDates | None = None  # before the start; None: not known

    @property
    def first_customers_at(self) -> datetime | None:
        """When the first customers get it."""
        return self.phases[0].at if self.phases else None

    @property
    def everyone_at(self) -> datetime | None:
        """When all customers have it."""
        return self.phases[-1].at if self.phases else None

    @property
    def has_begun(self) -> bool:
        """Whether any customers have got it."""
        return any(phase.is_entered for phase in self.phases) or any(one.is_entered for one in self.chosen)

    @property
    def first_percent(self) -> float:
        """The share of customers who get it first, 0 to 100."""
        return self.phases[0].percent if self.phases else 100.0


def estimate_dates(rollout: Rollout, posted_at: datetime, now: datetime | None = None) -> RolloutDates:
    """The earliest dates, assuming that every stage still to come lasts its minimum hold.

    `posted_at` is when the notice goes or went out. A step that could have come before `now` and has not, or that
    waits for a person, has no date, and neither have those after it.
    """
    leads = [n.before for n in rollout.plan.stakeholder_notices if n.before is not None]
    start = rollout.started_at or rollout.start
    begins = start or (posted_at + max(leads) if leads else None)
    entered = {span.index: span.since for span in rollout.spans}
    phases: list[CustomerPhase] = []
    chosen: list[ChosenPhase] = []
    for index, stage in enumerate(rollout.plan.stages):
        is_entered = index in entered
        if is_entered:
            begins = entered[index]
        elif begins is not None and _is_undated(rollout, begins, now):
            begins = None
        if is_customer_stage(stage):
            served = stage.percent if rollout.reach == 1 else rollout.cap_by_holdout(stage.percent)
            phases.append(CustomerPhase(percent=served * rollout.reach, at=begins, is_entered=is_entered))
        if is_of_chosen_customers(stage) and all(one.name != stage.audience for one in chosen):
            chosen.append(ChosenPhase(name=stage.audience, at=begins, is_entered=is_entered))
        if begins is not None:
            begins += stage.min_hold
            if index == rollout.stage_index:
                begins += rollout.paused_for
    if begins is not None and _is_undated(rollout, begins, now):
        begins = None
    if rollout.reach < 1:  # in a layer everyone gets it only once it is done
        phases.append(CustomerPhase(percent=100, at=begins, is_entered=False))
    steps = [s for s in rollout.plan.stages if is_customer_stage(s)]
    begins_with_customers = bool(rollout.plan.stages) and is_customer_stage(rollout.plan.stages[0])
    return RolloutDates(
        has_fixed_start=start is not None and begins_with_customers,
        phases=tuple(phases),
        chosen=tuple(chosen),
        left_out=name_left_out(rollout),
        time_to_everyone=sum((s.min_hold for s in steps if s.percent < 100), timedelta(0)),
        ends_at=begins,
    )


def find_likely_dates(outlook: PlanOutlook) -> LikelyDates | None:
    """When everyone has it and when it is done, as an outlook foresees it; None if no stage reaches everyone."""
    *begins, ends_at = (row.when_earliest for row in outlook.rows[-len(outlook.plan.stages) - 1 :])
    for stage, at in zip(outlook.plan.stages, begins, strict=True):
        if is_customer_stage(stage) and stage.percent == 100:
            return LikelyDates(everyone_at=at, ends_at=ends_at)
    return None


def describe_likely(dates: RolloutDates, zone: str, *, names_end: bool) -> list[str]:
    """That it will probably take longer than the earliest dates; empty where it does not, or that is not known."""
    likely, first = dates.likely, dates.first_customers_at
    if likely is None or first is None or dates.ends_at is None or dates.has_begun:
        return []
    if likely.ends_at - dates.ends_at <= _LEAST_DELAY * (dates.ends_at - first):
        return []
    over = f", watching is over {wording.format_local_time(likely.ends_at, zone)}" if names_end else ""
    everyone = wording.format_local_time(likely.everyone_at, zone)
    return [f"*Probably later*, at the usual traffic: {_everyone_has(dates)} it {everyone}{over}."]


def _is_undated(rollout: Rollout, begins: datetime, now: datetime | None) -> bool:
    """Whether a step cannot be dated: it is overdue, or somebody has to let the rollout go on."""
    stopped = rollout.state in {RolloutState.ON_HOLD, RolloutState.PAUSED} or bool(rollout.live_instead)
    return stopped or (now is not None and begins <= now)


def is_customer_stage(stage: Stage) -> bool:
    """Whether the stage gives the new version to a share of all customers, as opposed to selected people."""
    return stage.has_exposure and stage.kind not in {StageKind.COHORT, StageKind.BAKE}


def is_of_chosen_customers(stage: Stage | None) -> bool:
    """Whether the stage is for a cohort of customers, such as those who opted in, as opposed to colleagues."""
    return stage is not None and stage.kind is StageKind.COHORT and not _OF_COLLEAGUES.issuperset(stage.where or {})


def name_chosen(name: str) -> str:
    """A cohort of customers in a sentence: `chosen customers (power-users)`."""
    return f"chosen customers ({wording.escape(name, 40)})"


def describe_chosen(dates: RolloutDates, zone: str) -> str:
    """That some customers get it before the others and when, as sentences that follow; empty if none do or all have
    it."""
    told = [
        f" {wording.capitalize(name_chosen(one.name))} get it before that"
        f"{f', {wording.format_local_time(one.at, zone)} at the earliest' if one.at is not None else ''}."
        for one in dates.chosen
        if not one.is_entered
    ]
    return "".join(told)


def customer_percent(rollout: Rollout) -> float:
    """The share of all customers who get the new version now, 0 to 100; selected people do not count. 100 is everyone
    but those whom `name_left_out` names."""
    if is_with_selected_people(rollout):
        return 0.0
    if rollout.reach == 1:
        return rollout.percent
    return rollout.cap_by_holdout(rollout.percent) * rollout.reach


def has_grown(rollout: Rollout) -> bool:
    """Whether more customers get it than in the first step that was for a share of them."""
    stages = rollout.plan.stages
    shares = [stages[span.index].percent for span in rollout.spans if is_customer_stage(stages[span.index])]
    return bool(shares) and shares[-1] > shares[0]


def is_with_selected_people(rollout: Rollout) -> bool:
    """Whether it is in a stage for selected people, of which no share of the customers is a part."""
    stage = rollout.stage
    return rollout.is_under_way and stage is not None and stage.kind is StageKind.COHORT


def format_start(dates: RolloutDates, zone: str) -> str:
    """When it starts, for the end of a clause: `today at 10:00`, `… at the earliest`, or that no date is set yet."""
    if dates.first_customers_at is None:
        return "on a date that is not set yet"
    earliest = "" if dates.has_fixed_start else " at the earliest"
    return f"{wording.format_local_time(dates.first_customers_at, zone)}{earliest}"


def format_completion(dates: RolloutDates, zone: str) -> str:
    """`everyone has it … at the earliest`: when all customers have the new version."""
    if dates.everyone_at is None:
        ahead = sum(not phase.is_entered for phase in dates.phases)
        if any(phase.is_entered for phase in dates.phases) and ahead:
            return f"{_everyone_has(dates)} it after {wording.pluralize(ahead, 'more step')}"
        return f"{_everyone_has(dates)} it {wording.format_duration(dates.time_to_everyone)} later at the earliest"
    return f"{_everyone_has(dates)} it {wording.format_local_time(dates.everyone_at, zone)} at the earliest"


def format_end(dates: RolloutDates, zone: str) -> str:
    """When watching is over, at the earliest: a time, or that enough has to be known first."""
    if dates.ends_at is not None:
        return wording.format_local_time(dates.ends_at, zone)
    return "after that" if any(phase.at is None for phase in dates.phases) else "next, as soon as enough is known"


def list_phases(dates: RolloutDates, zone: str) -> list[str]:
    """A line per step, as in `Tue 24 Nov 10:00: 5 in 100 customers`; steps that were taken have a tick, and the one
    that was taken last says `now`."""
    return [
        *(f" • {_format_chosen_time(one, dates, zone)}: {name_chosen(one.name)}" for one in dates.chosen),
        *(
            f" • {_format_phase_time(p, dates, zone)}: {_format_audience(p.percent, dates.left_out)}"
            for p in dates.phases
        ),
    ]


def _format_chosen_time(phase: ChosenPhase, dates: RolloutDates, zone: str) -> str:
    if phase.at is None:
        return "before that"
    when = wording.format_local_time(phase.at, zone)
    if not phase.is_entered:
        return f"{when} at the earliest" if dates.has_begun else when
    later = [*(p.at for p in dates.phases if p.is_entered), *(one.at for one in dates.chosen if one.is_entered)]
    return f"now, since {when}" if all(at is None or at <= phase.at for at in later) else f"✓ {when}"


def _format_phase_time(phase: CustomerPhase, dates: RolloutDates, zone: str) -> str:
    if phase.at is None:
        undated = [p for p in dates.phases if p.at is None]
        return "next, as soon as enough is known" if phase is undated[0] and dates.phases[0].at else "after that"
    when = wording.format_local_time(phase.at, zone)
    if not phase.is_entered:
        return f"{when} at the earliest" if dates.has_begun else when
    is_last = phase is [p for p in dates.phases if p.is_entered][-1]
    return f"now, since {when}" if is_last else f"✓ {when}"


def _format_audience(percent: float, left_out: str) -> str:
    if percent < 100:
        return f"{wording.format_per_hundred(percent)} customers"
    return f"all but {left_out}" if left_out else "everyone"


def _everyone_has(dates: RolloutDates) -> str:
    return f"all but {dates.left_out} have" if dates.left_out else "everyone has"


def name_left_out(rollout: Rollout) -> str:
    """Those who keep the old version even when everyone else has the new one: held back, or of a group that was
    switched back alone; empty if nobody does."""
    found = [f"{wording.format_per_hundred(rollout.held_percent)} customers"] if rollout.held_percent else []
    if rollout.is_under_way:
        found += [f"the group {wording.escape(name, 100)}" for name in rollout.strata_back]
    return " and ".join(found)
