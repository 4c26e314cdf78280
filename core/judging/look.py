"""One look: what the verdict needs from the sums since the look before, small enough to be recorded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.judging import cells, crossing
from core.judging.evidence import BUCKETS, CANARY, CATEGORY, CONTROL, REQUESTS, Sums, counter
from core.judging.hypothesis import hypotheses
from core.judging.question import Question
from core.judging.standing import Standing, baselines, margin_error, standings
from core.judging.state import Baseline, State, Threshold
from core.judging.step import Step
from core.metrics.catalogue import CATALOGUE, Kind

SET_ASIDE = BUCKETS // 8
"""Control's buckets that only tell the base rate in a stage's first look, so that one batch alone can be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Distinct units seen in a stage so far, by arm."""

    stage: int
    canary: int
    control: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginError:
    """The standard error of a mean's contrast with the limit's margin in it, since a stage."""

    limit: int
    side: str
    since: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`steps` and `crossings` are what is new; `standings` and `exposures` where things stand now."""

    at: datetime
    steps: tuple[Step, ...] = ()
    crossings: tuple[Step, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    standings: tuple[Standing, ...] = ()
    margins: tuple[MarginError, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    def standing(self, metric: str, since: int) -> Standing | None:
        """How a metric stands since a stage; None when nothing came in."""
        return next((one for one in self.standings if one.metric == metric and one.since == since), None)


def reduce(question: Question, sums: Sums, before: State, at: datetime) -> Look:
    """The look at these sums; of the state only `totals`, `thresholds` and `baselines` are read."""
    past = baselines(question, sums) if question.alone else {}
    known = {**past, **before.baselines}
    return Look(
        at=at,
        steps=tuple(_steps(question, sums, before)),
        crossings=crossing.steps(sums, before.thresholds),
        thresholds=crossing.thresholds(question, sums, known),
        standings=standings(question, sums),
        margins=tuple(_margins(question, sums)),
        exposures=tuple(
            Exposure(
                stage=stage,
                canary=sums.first_exposures.get((stage, CANARY), 0),
                control=sums.first_exposures.get((stage, CONTROL), 0),
            )
            for stage in question.exposed
        ),
        baselines={metric: past[metric] for metric in sorted(past) if metric not in before.baselines},
    )


def counted_metrics(question: Question) -> tuple[str, ...]:
    """The cells whose counts feed an exact kernel, requests first."""
    found = [REQUESTS]
    for limit in question.limits:
        entry = CATALOGUE[limit.metric]
        if limit.per_category:
            continue
        if entry.kind is Kind.QUANTILE and limit.absolute:
            found.append(counter(limit.metric, limit.amount))
        elif entry.binary or entry.kind is Kind.COUNT:
            found.append(limit.metric)
    return tuple(dict.fromkeys(found))


def _steps(question: Question, sums: Sums, before: State) -> Iterator[Step]:
    metrics = counted_metrics(question)
    named = cells.categories(sums) if any(limit.per_category for limit in question.limits) else ()
    for stage in question.exposed:
        for metric in (*metrics, *named):
            step = _step(sums, before, stage, metric)
            if step.moved:
                yield step


def _step(sums: Sums, before: State, stage: int, metric: str) -> Step:
    canary, control = (cells.buckets(sums, stage, arm, metric) for arm in (CANARY, CONTROL))
    done = before.total(stage, metric)
    weighed = before.total(stage, REQUESTS) if metric.startswith(CATEGORY) else done
    (canary_trials, canary_events), (control_trials, control_events) = canary.sum(axis=0), control.sum(axis=0)
    new = Step(
        stage=stage,
        metric=metric,
        canary_trials=max(float(canary_trials) - weighed.canary_trials, 0.0),
        canary_events=max(float(canary_events) - done.canary_events, 0.0),
        control_trials=max(float(control_trials) - weighed.control_trials, 0.0),
        control_events=max(float(control_events) - done.control_events, 0.0),
    )
    if metric.startswith(CATEGORY) and weighed.canary_trials == 0:
        trials, events = canary[: BUCKETS // 2].sum(axis=0)
        return new.setting_aside(CANARY, float(trials), float(events))
    exact = not metric.startswith(CATEGORY) and not (metric in CATALOGUE and CATALOGUE[metric].kind is Kind.COUNT)
    if exact and metric != REQUESTS and done.control_trials == 0:
        trials, events = control[:SET_ASIDE].sum(axis=0)
        return new.setting_aside(CONTROL, float(trials), float(events))
    return new


def _margins(question: Question, sums: Sums) -> Iterator[MarginError]:
    for position, limit in enumerate(question.limits):
        if not limit.strict or limit.absolute or CATALOGUE[limit.metric].kind is not Kind.MEAN:
            continue
        for hypothesis in hypotheses(limit):
            for since in question.compared:
                error = margin_error(question, sums, limit.metric, since, hypothesis.ratio)
                if error is not None:
                    yield MarginError(limit=position, side=hypothesis.side, since=since, error=error)
