"""The draft of a review: what the log says about expectations, surprises, behaviour, cost and complaints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from core.judging.model.verdict import Finding, Measure, is_beyond_chance
from core.metrics.catalogue import SIGNALS
from core.reviews.final_measures import FinalMeasure, select_final_measures
from core.reviews.shortcuts import Shortcut, find_shortcuts
from core.rollout.plans.plan import Expectation, Plan
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface

COST_METRIC, COMPLAINT_METRIC = "cost_per_request", "complaint_rate"
DAYS_PER_MONTH = 30
_DAY = timedelta(days=1)


class ExpectationOutcome(StrEnum):
    """Whether a metric changed as its owner expected."""

    MET = "met"
    MISSED = "missed"
    NOT_SHOWN = "not shown"  # the data do not decide it
    NOT_STATED = "not stated"  # the plan expects nothing of this metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationRow:
    """One metric against its expectation. `final` is None if it was expected but never measured."""

    metric: str
    expectation: Expectation | None
    final: FinalMeasure | None
    outcome: ExpectationOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexpectedChange:
    """Something that nobody had foreseen: a `finding` (with its segment, if in one only), or a hold in words."""

    position: int
    at: datetime
    finding: Measure | Finding | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """The cost per request, and what the change means in a month of 30 days at today's traffic, in US$.

    `per_month` is None where the traffic is unknown; `pace_from` says where it comes from. `least` and `most` are the
    ends of the measured range, None if it has none.
    """

    final: FinalMeasure
    per_month: float | None
    least: float | None
    most: float | None
    daily_requests: float | None
    pace_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintCount:
    """Complaints as measured, and what colleagues said: how many people felt that it was off or had a concern."""

    final: FinalMeasure | None
    felt_off: int
    concerns: int
    doubts: tuple[e.FeltOff, ...] = ()  # what people said who felt that it was off


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDraft:
    """Everything in a review that follows from the log. `evidence_at` is when the newest evidence was recorded."""

    rollout: Rollout
    ended_at: datetime
    rows: tuple[ExpectationRow, ...]
    unexpected: tuple[UnexpectedChange, ...]
    behaviour: tuple[FinalMeasure, ...]
    cost: CostChange | None
    complaints: ComplaintCount
    shortcuts: tuple[Shortcut, ...]
    evidence_at: datetime | None
    unjudged: tuple[Measure, ...] = ()  # agreed limits that could not be judged by the end of what is done

    @property
    def is_rolled_back(self) -> bool:
        """Whether it ended by going back to the previous version."""
        return self.rollout.state is RolloutState.ROLLED_BACK

    def count_outcomes(self, outcome: ExpectationOutcome) -> int:
        """How many rows have this outcome."""
        return sum(row.outcome is outcome for row in self.rows)


def draft_review(rollout: Rollout, entries: Sequence[HistoryEntry], surface: Surface | None) -> ReviewDraft:
    """Draft the review of a rollout that has ended from its whole history. ValueError if it has not ended."""
    if rollout.ended_at is None:
        raise ValueError(f"{rollout.id} has not ended")
    finals = select_final_measures(entries)
    by_metric = {final.measure.metric: final for final in finals}
    return ReviewDraft(
        rollout=rollout,
        ended_at=rollout.ended_at,
        rows=tuple(_build_rows(rollout, finals)),
        unexpected=tuple(_find_unexpected(entries, finals)),
        behaviour=tuple(by_metric[metric] for metric in SIGNALS if metric in by_metric),
        cost=_compute_cost(rollout, entries, by_metric.get(COST_METRIC), surface),
        complaints=ComplaintCount(
            final=by_metric.get(COMPLAINT_METRIC),
            felt_off=len(rollout.felt_off),
            doubts=tuple(entry.event for entry in entries if isinstance(entry.event, e.FeltOff)),
            concerns=sum(isinstance(entry.event, e.ConcernRaised) for entry in entries),
        ),
        shortcuts=find_shortcuts(rollout.plan, entries),
        evidence_at=next((entry.at for entry, _ in _newest_evidence(entries)), None),
        unjudged=tuple(_find_unjudged(rollout, entries)),
    )


def judge_expectation(final: FinalMeasure | None) -> ExpectationOutcome:
    """Whether what was expected of this metric came true; `final` is None if it was never measured."""
    if final is None:
        return ExpectationOutcome.NOT_SHOWN
    match final.measure.expected:
        case "as expected":
            return ExpectationOutcome.MET
        case "not as expected":
            return ExpectationOutcome.MISSED
        case "not shown yet" | "":
            return ExpectationOutcome.NOT_SHOWN
        case _:
            assert_never(final.measure.expected)


def list_expectations(plan: Plan, finals: Sequence[FinalMeasure]) -> tuple[ExpectationRow, ...]:
    """One row per expectation of the plan, in its order."""
    by_metric = {final.measure.metric: final for final in finals}
    return tuple(
        ExpectationRow(
            metric=stated.metric,
            expectation=stated,
            final=by_metric.get(stated.metric),
            outcome=judge_expectation(by_metric.get(stated.metric)),
        )
        for stated in plan.expectations
    )


def _build_rows(rollout: Rollout, finals: Sequence[FinalMeasure]) -> Iterator[ExpectationRow]:
    """The expectations of the plan, then every other metric that was measured."""
    yield from list_expectations(rollout.plan, finals)
    stated = {expectation.metric for expectation in rollout.plan.expectations}
    for final in finals:
        if final.measure.metric not in stated and final.measure.canary is not None:
            yield ExpectationRow(
                metric=final.measure.metric, expectation=None, final=final, outcome=ExpectationOutcome.NOT_STATED
            )


def _find_unexpected(entries: Sequence[HistoryEntry], finals: Sequence[FinalMeasure]) -> Iterator[UnexpectedChange]:
    """Metrics that got worse or changed without being expected to, findings of the newest evidence, and holds."""
    for final in finals:
        if final.measure.is_bad:
            yield UnexpectedChange(position=final.position, at=final.at, finding=final.measure)
    told = {final.measure.metric for final in finals if final.measure.is_bad}
    for entry, note in _newest_notes(entries):
        if note.metric not in told or note.segment:
            yield UnexpectedChange(position=entry.position, at=entry.at, finding=note)
    for entry, evidence in _newest_evidence(entries):
        findings: tuple[Measure | Finding, ...] = evidence.segments
        for finding in findings:
            if finding.segment and not is_beyond_chance(finding):
                continue
            if finding.segment or finding.metric not in told:
                yield UnexpectedChange(position=entry.position, at=entry.at, finding=finding)
    for entry in entries:
        if isinstance(entry.event, e.Held) and not entry.event.key.startswith(holds.DECISION):  # that end was planned
            yield UnexpectedChange(position=entry.position, at=entry.at, text=entry.event.text)


def _newest_notes(entries: Sequence[HistoryEntry]) -> list[tuple[HistoryEntry, Finding]]:
    """The notes of the newest evidence, and those of the newest that compared both versions about anything else."""
    found: dict[tuple[str, str, str], tuple[HistoryEntry, Finding]] = {}
    for entry, evidence in (*_newest_evidence(entries), *_newest_evidence(entries, compared=True)):
        for note in evidence.notes:
            found.setdefault((note.metric, note.kind, note.segment), (entry, note))
    return list(found.values())


def _find_unjudged(rollout: Rollout, entries: Sequence[HistoryEntry]) -> Iterator[Measure]:
    """The agreed limits that nobody could judge when it was done; what was rolled back did not get that far."""
    if rollout.state is RolloutState.ROLLED_BACK:
        return
    for _, evidence in _newest_evidence(entries):
        for measure in evidence.measures:
            if measure.limit_text is not None and not measure.implied and not measure.is_judged:
                yield measure


def _newest_evidence(
    entries: Sequence[HistoryEntry], *, compared: bool = False
) -> tuple[tuple[HistoryEntry, e.EvidenceRecorded], ...]:
    """The newest evidence with its entry, of both versions if `compared`; empty if there is none."""
    for entry in reversed(entries):
        if isinstance(entry.event, e.EvidenceRecorded) and (entry.event.control_requests or not compared):
            return ((entry, entry.event),)
    return ()


def _compute_cost(
    rollout: Rollout, entries: Sequence[HistoryEntry], final: FinalMeasure | None, surface: Surface | None
) -> CostChange | None:
    if final is None or final.measure.canary is None:
        return None
    pace, source = estimate_daily_requests(rollout, entries, surface)
    before, after = final.measure.control, final.measure.canary
    if pace is None or before is None:
        return CostChange(final=final, per_month=None, least=None, most=None, daily_requests=pace, pace_from=source)
    requests = pace * DAYS_PER_MONTH
    one = before if final.measure.relative else 1.0  # what a difference of 1 is in US$ per request
    least, most = (None if end is None else end * one * requests for end in (final.measure.low, final.measure.high))
    per_month = (after - before) * requests
    return CostChange(final=final, per_month=per_month, least=least, most=most, daily_requests=pace, pace_from=source)


def estimate_daily_requests(
    rollout: Rollout, entries: Sequence[HistoryEntry], surface: Surface | None
) -> tuple[float | None, str]:
    """(requests per day, where that comes from): the surface file's number, else the pace of the last stage for
    everybody."""
    if surface is not None and surface.daily_requests is not None:
        return float(surface.daily_requests), "daily_requests"
    entered, stage, pace = rollout.planned_at, None, None
    for entry in entries:
        match entry.event:
            case e.StageEntered() as event:
                entered, stage = entry.at, rollout.plan.stages[event.index]
            case e.EvidenceRecorded() as event if stage is not None and stage.is_compared and stage.where is None:
                days = (entry.at - entered) / _DAY
                seen = event.canary_requests + event.control_requests
                if rollout.plan.control == "matched":
                    seen = round(event.canary_requests / (stage.percent / 100))
                share = rollout.layer.share if rollout.layer is not None else 1.0
                pace = seen / days / share if days > 0 and seen else pace
    return (pace, f"the pace of {rollout.id}") if pace is not None else (None, "")
