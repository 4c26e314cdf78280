"""What one rollout's events say of its course: when it was planned, exposed, shipped or taken back, and by what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.reviews.draft import ExpectationRow, list_expectations
from core.reviews.final_measures import select_final_measures
from core.reviews.shortcuts import Shortcut, find_shortcuts
from core.rollout.plans.plan import Plan, Stage
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry

FACT_EVENTS: tuple[type[e.RolloutEvent], ...] = (
    e.Planned,
    e.ApprovalRequested,
    e.Started,
    e.StageEntered,
    e.BlindSpotsAccepted,
    e.GlassBroken,
    e.Held,
    e.Rejected,
    e.Resumed,
    e.RolledBack,
    e.FlipConfirmed,
    e.Completed,
    e.Abandoned,
    e.ReviewRequested,
    e.ReviewSubmitted,
)
"""The events that the facts follow from, without the evidence, which only expectations need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """An event at its place in the log."""

    position: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """A rollback. `percent` is the share of everybody who could get the new version then; None if only a cohort could.

    `exposed_units` is a lower bound of the people who had it. `flip_seconds` is real time; None while unconfirmed.
    """

    decided: Occurrence
    is_automatic: bool
    after_done: bool
    percent: float | None
    exposed_units: int
    flip: Occurrence | None = None
    flip_seconds: float | None = None

    @property
    def protected_units(self) -> int | None:
        """How many people used the feature meanwhile and did not get the version: computed from the share.

        People are assigned by hash, so `exposed_units` are `percent` of everybody who came. None where that is
        unknown.
        """
        if self.percent is None or self.percent <= 0 or self.after_done:
            return None
        return round(self.exposed_units * (100 - self.percent) / self.percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFacts:
    """The course of one rollout up to a moment. `everyone` is when all people got the new version.

    `review_due` is None if no review is owed.
    """

    rollout: str
    plan: Plan
    planned: Occurrence
    started: Occurrence | None = None
    exposed: Occurrence | None = None  # the first people got the new version
    everyone: Occurrence | None = None
    completed: Occurrence | None = None
    rollback: Rollback | None = None
    abandoned: Occurrence | None = None
    review_requested: Occurrence | None = None
    review_due: datetime | None = None
    shortcuts: tuple[Shortcut, ...] = ()
    expectations: tuple[ExpectationRow, ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether it has started and not ended."""
        return self.started is not None and self.completed is None and self.rollback is None

    @property
    def is_open(self) -> bool:
        """Whether it is planned or under way."""
        return self.completed is None and self.rollback is None and self.abandoned is None

    @property
    def lead_time(self) -> timedelta | None:
        """From its first plan to everyone; None if it was not shipped."""
        if self.completed is None:
            return None
        return (self.everyone or self.completed).at - self.planned.at

    @property
    def careful_time(self) -> timedelta | None:
        """From its start to everyone: what growing step by step took; None if it was not shipped."""
        if self.completed is None or self.started is None:
            return None
        return (self.everyone or self.completed).at - self.started.at

    @property
    def time_to_detect(self) -> timedelta | None:
        """From the first people on the new version to the decision to go back; None if that never happened."""
        if self.rollback is None or self.exposed is None:
            return None
        return self.rollback.decided.at - self.exposed.at

    @property
    def time_to_restore(self) -> timedelta | None:
        """From the first people on the new version until nobody was served it any more; None while unconfirmed."""
        detected = self.time_to_detect
        if detected is None or self.rollback is None or self.rollback.flip_seconds is None:
            return None
        return detected + timedelta(seconds=self.rollback.flip_seconds)


def collect_facts(rollout: str, entries: Sequence[HistoryEntry], until: datetime) -> RolloutFacts | None:
    """The facts of one rollout from its history before `until`; None if it was not planned by then."""
    before = [entry for entry in entries if entry.at < until]
    folding = _FactFold()
    for entry in before:
        folding.apply(entry)
    if folding.plan is None or folding.planned is None:
        return None
    return RolloutFacts(
        rollout=rollout,
        plan=folding.plan,
        planned=folding.planned,
        started=folding.started,
        exposed=folding.exposed,
        everyone=folding.everyone,
        completed=folding.completed,
        rollback=folding.rollback,
        abandoned=folding.abandoned,
        review_requested=folding.review_requested if folding.review_due is not None else None,
        review_due=folding.review_due,
        shortcuts=find_shortcuts(folding.plan, before),
        expectations=list_expectations(folding.plan, select_final_measures(before)),
    )


class _FactFold:
    """Collects the facts, one event after the other."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.planned: Occurrence | None = None
        self.started: Occurrence | None = None
        self.exposed: Occurrence | None = None
        self.everyone: Occurrence | None = None
        self.completed: Occurrence | None = None
        self.abandoned: Occurrence | None = None
        self.rollback: Rollback | None = None
        self.review_requested: Occurrence | None = None
        self.review_due: datetime | None = None
        self._share = 1.0  # of all users that it may touch, by its layer
        self._stage: Stage | None = None

    def apply(self, entry: HistoryEntry) -> None:
        """Take one more event into account; those that tell nothing are passed over."""
        here = Occurrence(position=entry.position, at=entry.at)
        match entry.event:
            case e.Planned() as planned:
                self.plan = planned.plan
                if self.planned is None or self.abandoned is not None:
                    self.planned, self.abandoned = here, None
            case e.Started() as started:
                self.started = here
                self._share = started.layer.share if started.layer is not None else 1.0
            case e.StageEntered() as entered:
                self._enter_stage(entered, here)
            case e.Completed():
                self.completed = here
                self.everyone = self.everyone or here
            case e.Abandoned():
                self.abandoned = here
            case e.RolledBack() as decided:
                self.rollback = self._build_rollback(decided, here)
            case e.FlipConfirmed(stratum=None) as flip if self.rollback is not None:
                self.rollback = replace(self.rollback, flip=here, flip_seconds=flip.seconds)
            case e.ReviewRequested() as requested:
                self.review_requested, self.review_due = here, requested.due_at
            case e.ReviewSubmitted():
                self.review_due = None

    def _enter_stage(self, entered: e.StageEntered, here: Occurrence) -> None:
        assert self.plan is not None, "a rollout is planned before it starts"
        self._stage = self.plan.stages[entered.index]
        if entered.percent > 0:
            self.exposed = self.exposed or here
        if entered.percent >= 100 and self._stage.where is None and self._share == 1.0:
            self.everyone = self.everyone or here

    def _build_rollback(self, decided: e.RolledBack, here: Occurrence) -> Rollback:
        open_to_all = self._stage is not None and self._stage.where is None
        return Rollback(
            decided=here,
            is_automatic=bool(decided.findings),
            after_done=decided.after_done,
            percent=self._stage.percent * self._share if open_to_all and self._stage is not None else None,
            exposed_units=decided.exposed_units,
        )
