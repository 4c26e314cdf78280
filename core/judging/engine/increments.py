"""The increments that one look adds to every exact e-process, with one kernel call for all that share parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.judging.look import quantile_crossing
from core.judging.look.look import Look
from core.judging.look.new_counts import channel
from core.judging.model.evidence import EVERYONE, REQUESTS
from core.judging.model.hypothesis import Hypothesis, clearing, hypotheses
from core.judging.model.increment import Step
from core.judging.model.limits import Limit, Scale
from core.judging.model.question import Question
from core.judging.model.state import Part, State, Total
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import proportion, rate
from core.stats.checked import Array, Side

EDGE = 1e-6

_Kernel = tuple[str, Side, float, float]  # name, side, ratio (or bound), shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What `new_counts` adds to the log components, shape (K,), of one criterion's e-process.

    `cell` names the cell whose design effect applies.
    """

    limit: int
    side: Side
    part: Part
    step: Step
    cell: str
    added: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    limit: int
    side: Side
    part: Part
    step: Step
    kernel: _Kernel
    numbers: tuple[float, ...]


def gains(question: Question, look: Look, before: State, current: State) -> list[Gain]:
    """All increments of a look, in the order of the criteria.

    `before` is the state before the look; `current` already has its counts and the baselines.
    """
    by_metric: dict[str, list[Step]] = {}
    for step in look.steps:
        by_metric.setdefault(step.metric, []).append(step)
    jobs = [
        job
        for position, limit in enumerate(question.criteria)
        for job in _jobs(question, position, limit, by_metric, before, current)
    ]
    together: dict[_Kernel, list[int]] = {}
    for i, job in enumerate(jobs):
        together.setdefault(job.kernel, []).append(i)
    added: dict[int, Array] = {}
    for kernel, numbered in together.items():
        numbers = np.array([jobs[i].numbers for i in numbered]).T
        added |= dict(zip(numbered, _evaluate(kernel, numbers), strict=True))
    return [
        Gain(
            limit=job.limit,
            side=job.side,
            part=job.part,
            step=job.step,
            cell=question.criteria[job.limit].metric if ":" in job.step.metric else job.step.metric,
            added=added[i],
        )
        for i, job in enumerate(jobs)
    ]


def _jobs(
    question: Question,
    position: int,
    limit: Limit,
    by_metric: dict[str, list[Step]],
    before: State,
    current: State,
) -> Iterator[_Job]:
    own = channel(question, limit)
    for hypothesis in hypotheses(limit):
        name = quantile_crossing.metric_of(position, hypothesis.side) if quantile_crossing.is_crossed(limit) else own
        for step in by_metric.get(name or "", ()):
            if step.segment != EVERYONE and not question.is_divided(position):
                continue
            if (job := _harm(question, position, limit, hypothesis, step, before, current)) is not None:
                yield job
    if question.is_implied(position) or not limit.acts or CATALOGUE[limit.metric].kind is Kind.MEAN:
        return
    for hypothesis in clearing(limit):
        crossed = quantile_crossing.is_crossed(limit)
        name = quantile_crossing.metric_of(position, hypothesis.side, clear=True) if crossed else own
        for step in by_metric.get(name or "", ()):
            if step.segment != EVERYONE or step.stage != question.current:
                continue
            if (job := _kept(question, position, limit, hypothesis, step, before, current)) is not None:
                yield job


def _harm(
    question: Question,
    position: int,
    limit: Limit,
    hypothesis: Hypothesis,
    step: Step,
    before: State,
    current: State,
) -> _Job | None:
    entry, side = CATALOGUE[limit.metric], hypothesis.side
    if limit.absolute and entry.kind is not Kind.MEAN:
        bound = 1 - entry.quantile if entry.quantile is not None else limit.amount
        return _against(position, side, "fixed", step, bound)
    if entry.kind is Kind.MEAN:
        # More readings above the cap are harm. If less is harm, capping cannot hide it, so there is no tail test.
        if side == "less" or step.stage not in question.compared:
            return None
        return _beside(position, "tail", limit, _any_harm(side), step, before, current)
    if step.stage in question.compared:
        return _beside(position, "pair", limit, hypothesis, step, before, current)
    baseline = current.baselines.get(limit.metric)
    if step.stage not in question.alone or baseline is None or step.segment != EVERYONE:
        return None
    if quantile_crossing.is_crossed(limit):
        assert entry.quantile is not None
        return _against(position, side, "alone", step, 1 - entry.quantile)
    return _against(
        position, side, "alone", step, hypothesis.bound_ratio * baseline.edge(side) + hypothesis.bound_shift
    )


def _kept(
    question: Question,
    position: int,
    limit: Limit,
    hypothesis: Hypothesis,
    step: Step,
    before: State,
    current: State,
) -> _Job | None:
    quantile = CATALOGUE[limit.metric].quantile
    if limit.absolute:
        bound = 1 - quantile if quantile is not None else limit.amount
        return _against(position, hypothesis.side, "clear", step, bound)
    if step.stage not in question.compared:
        return None
    # The thresholds of a quantile crossing already include the limit.
    asked = _any_harm(hypothesis.side) if quantile_crossing.is_crossed(limit) else hypothesis
    return _beside(position, "clear", limit, asked, step, before, current)


def _any_harm(side: Side) -> Hypothesis:
    return Hypothesis(side=side, ratio=1.0, shift=0.0, bound_ratio=1.0, bound_shift=0.0, share=1.0)


def _against(position: int, side: Side, part: Part, step: Step, bound: float) -> _Job | None:
    # An event that arrives after its request's look counts as a trial again, which only understates the rate.
    trials = max(step.canary_trials, step.canary_events)
    if trials == 0:
        return None
    kernel = ("one", side, min(max(bound, EDGE), 1 - EDGE), 0.0)
    return _Job(limit=position, side=side, part=part, step=step, kernel=kernel, numbers=(step.canary_events, trials))


def _beside(
    position: int, part: Part, limit: Limit, asked: Hypothesis, step: Step, before: State, current: State
) -> _Job | None:
    if CATALOGUE[limit.metric].kind is Kind.COUNT:
        # Events may arrive later than their requests, so the exposure is all requests of the stage so far.
        served = current.total(step.stage, REQUESTS, step.segment)
        if step.canary_events + step.control_events == 0:
            return None
        ratio = asked.ratio if limit.scale is Scale.RELATIVE else 1.0
        counts = (step.canary_events, step.control_events, served.canary_trials, served.control_trials)
        kernel = ("rate", asked.side, ratio, 0.0)
        return _Job(limit=position, side=asked.side, part=part, step=step, kernel=kernel, numbers=counts)
    if step.canary_trials == 0 or step.control_trials == 0:
        return None
    earlier = Total() if ":" in step.metric else before.total(step.stage, step.metric, step.segment)
    numbers = (
        min(step.canary_events, step.canary_trials),
        step.canary_trials,
        min(step.control_events, step.control_trials),
        step.control_trials,
        earlier.control_events + step.aside_events,
        earlier.control_trials + step.aside_trials,
    )
    kernel = ("two", asked.side, asked.ratio, asked.shift)
    return _Job(limit=position, side=asked.side, part=part, step=step, kernel=kernel, numbers=numbers)


def _evaluate(kernel: _Kernel, numbers: Array) -> Array:
    name, side, ratio, shift = kernel
    match name:
        case "one":
            return proportion.one_sample_steps(numbers[0], numbers[1], side=side, bound=ratio)
        case "rate":
            return rate.two_sample_steps(*numbers, side=side, ratio=ratio)
    return proportion.two_sample_steps(
        *numbers[:4],
        earlier_successes=numbers[4],
        earlier_trials=numbers[5],
        side=side,
        ratio=ratio,
        shift=shift,
    )
