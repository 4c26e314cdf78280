"""One look: everything the verdict needs from the sums, small enough to be recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from core.judging.look import cells, quantile_crossing
from core.judging.look.arm_comparison import Draft, Standing, baselines, completed, margin_error, standings
from core.judging.look.leave_one_out import design_effects
from core.judging.look.new_counts import counted, steps
from core.judging.model.evidence import CANARY, CATEGORY, CONTROL, EVERYONE, REQUESTS, Sums, capped, counter
from core.judging.model.hypothesis import clearing, hypotheses
from core.judging.model.increment import Step
from core.judging.model.question import Question
from core.judging.model.state import Baseline, State, Threshold
from core.metrics.catalogue import CATALOGUE, Kind

SLOTS = 12
"""Segments that are judged per rollout at most; every slot has an equal share of the weight, taken or not."""
LEAST = 50  # requests that a segment needs in the current stage to get a slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Distinct units exposed in a stage so far, by the arm of their first exposure.

    `moved` is the number of them last seen in the canary minus the number first seen there.
    """

    stage: int
    canary: int
    control: int
    moved: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginError:
    """Standard error of a mean's contrast with the limit's margin included, since a stage."""

    limit: int
    side: str
    since: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Number of readings of a metric in the current stage so far, by arm."""

    metric: str
    canary: float
    control: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CategorySpread:
    """How an error category's canary events spread over the buckets: the count of the loudest bucket, and the design
    effects with it and without it."""

    name: str
    loudest: float = 0.0
    design_effect: float = 1.0
    left_design_effect: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at the evidence.

    `steps` are the new counts; `standings`, `readings` (of the current stage) and `exposures` describe the present.
    `slots` are all segments judged so far, None if this look did not look at segments.
    """

    at: datetime
    stage: int  # the current one
    steps: tuple[Step, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    standings: tuple[Standing, ...] = ()
    margins: tuple[MarginError, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    readings: tuple[Readings, ...] = ()
    categories: tuple[CategorySpread, ...] = ()
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    slots: tuple[str, ...] | None = None
    left_out: int = 0

    def standing(self, cell: str, since: int, segment: str = EVERYONE) -> Standing | None:
        """The comparison of a cell since a stage; None if nothing came in."""
        return next(
            (one for one in self.standings if (one.metric, one.since, one.segment) == (cell, since, segment)), None
        )


def reduce(question: Question, sums: Sums, before: State, at: datetime) -> Look:
    """Take a look at these sums. Of the state it reads only counts, thresholds, baselines and slots."""
    tested = _tested(question, sums)
    past = baselines(question, sums, tested) if question.alone else {}
    due = segments_due(question, before, at)
    slots, left_out = _slots(question, sums, before) if due else (before.slots, before.left_out)
    judged = slots if due else ()
    return Look(
        at=at,
        stage=question.current,
        steps=(
            *steps(question, sums, before, (EVERYONE, *judged)),
            *quantile_crossing.steps(sums, [one for one in before.thresholds if due or one.segment == EVERYONE]),
        ),
        thresholds=(
            *quantile_crossing.thresholds(question, sums, {**past, **before.baselines}, judged),
            *(() if due else [one for one in before.thresholds if one.segment != EVERYONE]),
        ),
        standings=tuple(
            completed(list(_standings(question, sums, tested, judged)), _fixed(question, {**past, **before.baselines}))
        ),
        margins=tuple(_margins(question, sums)),
        exposures=tuple(
            Exposure(
                stage=stage,
                canary=sums.first_exposures.get((stage, CANARY), 0),
                control=sums.first_exposures.get((stage, CONTROL), 0),
                moved=sums.moved.get(stage, 0),
            )
            for stage in question.exposed
        ),
        readings=tuple(_readings(question, sums)),
        categories=tuple(_categories(question, sums)),
        baselines={metric: past[metric] for metric in sorted(past) if metric not in before.baselines},
        slots=slots if due else None,
        left_out=left_out,
    )


def segments_due(question: Question, before: State, at: datetime) -> bool:
    """Whether this look must include the segments: at most once per `question.segments_every`."""
    last = before.segments_seen
    return bool(question.cuts) and (last is None or at - last >= question.segments_every)


def _tested(question: Question, sums: Sums) -> list[str]:
    """The tested metrics that have data. Requests without any event are data too for metrics that count events."""
    here = cells.present(sums)
    agreed = {limit.metric for limit in question.limits if REQUESTS in here and cells.over_requests(limit.metric)}
    found = [limit.metric for limit in question.criteria if not limit.per_category]
    return [metric for metric in dict.fromkeys(found) if metric in here or metric in agreed]


def _slots(question: Question, sums: Sums, before: State) -> tuple[tuple[str, ...], int]:
    """(segments with a slot, number of segments without one). Segments get a slot, largest first, once they have
    `MIN_SEGMENT_REQUESTS`, and keep it."""
    found = cells.segments(sums, question.current, question.cuts)
    fresh = sorted((-requests, name) for name, requests in found.items() if name not in before.slots)
    ready = [name for requests, name in fresh if -requests >= LEAST]
    slots = (*before.slots, *ready)[:SLOTS]
    return slots, len([name for name in found if name not in slots])


def _standings(question: Question, sums: Sums, tested: Sequence[str], segments: Sequence[str]) -> Iterator[Draft]:
    limited = {limit.metric for limit in question.limits}
    for metric in tested:
        # Metrics with only default limits are compared since the first stage and since the current one.
        since = question.exposed if metric in limited else question.epochs or question.exposed[:1]
        for cell in _cells(question, metric):
            for stage in dict.fromkeys((*since, *question.exposed[-1:])):
                yield from standings(question, sums, metric, cell, stage)
            for stage in question.epochs if segments else ():
                yield from standings(question, sums, metric, cell, stage, segments)


def _fixed(question: Question, past: Mapping[str, Baseline]) -> Mapping[str, float]:
    """Levels other than control that a cell is compared with: the lowest absolute limit, or control's past."""
    found: dict[str, float] = {}
    for limit in question.criteria:
        if limit.absolute:
            quantile = CATALOGUE[limit.metric].quantile
            cell = limit.metric if quantile is None else counter(limit.metric, limit.amount)
            found[cell] = min(limit.amount if quantile is None else 1 - quantile, found.get(cell, 1.0))
    return {**found, **{metric: baseline.value for metric, baseline in past.items()}}


def _cells(question: Question, metric: str) -> Iterator[str]:
    """All cells of a metric: its own; for a mean with a cap also the capped one and its exceedances; for a quantile
    with absolute limits also the exceedances of each."""
    yield metric
    if CATALOGUE[metric].kind is Kind.QUANTILE:
        amounts = {one.amount for one in question.criteria if one.metric == metric and one.absolute}
        yield from (counter(metric, amount) for amount in sorted(amounts))
    if (cap := question.caps.get(metric)) is not None:
        yield capped(metric, cap)
        yield counter(metric, cap)


def _margins(question: Question, sums: Sums) -> Iterator[MarginError]:
    for position, limit in enumerate(question.limits):
        if limit.absolute or CATALOGUE[limit.metric].kind is not Kind.MEAN:
            continue
        sides = [(one, question.compared) for one in hypotheses(limit) if limit.strict]
        if question.current in question.compared:
            sides += [(one, (question.current,)) for one in clearing(limit)]
        for hypothesis, stages in sides:
            for since in stages:
                error = margin_error(question, sums, limit.metric, since, hypothesis.bound_ratio)
                if error is not None:
                    yield MarginError(limit=position, side=hypothesis.side, since=since, error=error)


def _categories(question: Question, sums: Sums) -> Iterator[CategorySpread]:
    if not any(limit.per_category for limit in question.limits):
        return
    for name in cells.categories(sums):
        arm = cells.stages(sums, question.exposed, CANARY, name)
        events = arm[0, ..., 1].sum(axis=0)
        left = arm.copy()
        left[:, :, events.argmax(), :] = 0
        yield CategorySpread(
            name=name.removeprefix(CATEGORY),
            loudest=float(events.max()),
            design_effect=float(design_effects(Kind.COUNT, arm)[0]),
            left_design_effect=float(design_effects(Kind.COUNT, left)[0]),
        )


def _readings(question: Question, sums: Sums) -> Iterator[Readings]:
    metrics = [limit.metric for limit in question.limits if limit.acts and counted(limit)]
    for metric in dict.fromkeys((REQUESTS, *metrics)):
        canary, control = (
            float(cells.stages(sums, (question.current,), arm, metric)[..., 0].sum()) for arm in (CANARY, CONTROL)
        )
        yield Readings(metric=metric, canary=canary, control=control)
