"""The increments that one look adds to every exact e-process, with one kernel call for all that share parameters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

import numpy as np

from core.judging.limits.hypothesis import Hypothesis, build_harm_hypotheses, build_noninferiority_hypotheses
from core.judging.limits.limits import Limit, LimitScale
from core.judging.look import quantile_crossing
from core.judging.look.count_new import exact_kernel_cell, level_cell
from core.judging.look.look import Look
from core.judging.model.evidence import EVERYONE, REQUESTS
from core.judging.model.new_counts import NewCounts
from core.judging.model.question import Question
from core.judging.model.state import CountTotals, EProcessKind, JudgingState
from core.metrics.catalogue import MetricKind
from core.stats.input_checks import Array, Side
from core.stats.sequential import mean, proportion, rate

LEVEL_EFFECTS = (0.5, 1.0)
"""Changes of a mean's or ratio's level that its fast test looks for, in multiples of tau: the limit, and twice it."""


class _Kernel(NamedTuple):
    """What all calls that are evaluated together share; the numbers of each follow from its name."""

    name: Literal["one", "two", "rate", "level"]
    side: Side
    ratio: float  # the bound of a rate, for "one"
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """What `new_counts` adds to the log components, shape (K,), of one criterion's e-process.

    `cell` names the cell whose design effect applies.
    """

    limit: int
    side: Side
    part: EProcessKind
    new_counts: NewCounts
    cell: str
    log_components: Array


class _KernelCall(NamedTuple):
    limit: int
    part: EProcessKind
    new_counts: NewCounts
    kernel: _Kernel
    numbers: tuple[float, ...]


def compute_increments(question: Question, look: Look, before: JudgingState, current: JudgingState) -> list[Increment]:
    """All increments of a look, in the order of the criteria.

    `before` is the state before the look; `current` already has its counts and the past levels.
    """
    by_metric: dict[str, list[NewCounts]] = {}
    for step in look.steps:
        by_metric.setdefault(step.metric, []).append(step)
    builder = _CallBuilder(question=question, by_metric=by_metric, before=before, current=current)
    jobs = [job for position, limit in enumerate(question.criteria) for job in builder.build_calls(position, limit)]
    together: dict[_Kernel, list[int]] = {}
    for i, job in enumerate(jobs):
        together.setdefault(job.kernel, []).append(i)
    added: dict[int, Array] = {}
    for kernel, numbered in together.items():
        numbers = np.array([jobs[i].numbers for i in numbered]).T
        added |= dict(zip(numbered, _evaluate_kernel(kernel, numbers), strict=True))
    return [
        Increment(
            limit=job.limit,
            side=job.kernel.side,
            part=job.part,
            new_counts=job.new_counts,
            cell=question.criteria[job.limit].metric
            if quantile_crossing.is_crossing_name(job.new_counts.metric)
            else job.new_counts.metric,
            log_components=added[i],
        )
        for i, job in enumerate(jobs)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CallBuilder:
    """Builds the kernel calls of a look. `by_metric` are its new counts; the states are as in `compute_increments`."""

    question: Question
    by_metric: Mapping[str, Sequence[NewCounts]]
    before: JudgingState
    current: JudgingState

    def build_calls(self, position: int, limit: Limit) -> Iterator[_KernelCall]:
        """The calls of one criterion."""
        question, crossed = self.question, quantile_crossing.compares_quantiles(limit)
        own = exact_kernel_cell(question, limit)
        yield from self._build_level_calls(position, limit)
        for hypothesis in build_harm_hypotheses(limit):
            name = quantile_crossing.crossing_name(position, hypothesis.side) if crossed else own
            for step in self.by_metric.get(name or "", ()):
                if step.segment != EVERYONE and not question.is_judged_in_segments(position):
                    continue
                if (job := self._build_harm_call(position, limit, hypothesis, step)) is not None:
                    yield job
        if question.is_default_limit(position) or not limit.can_act or limit.entry.is_average:
            return
        for hypothesis in build_noninferiority_hypotheses(limit):
            name = quantile_crossing.crossing_name(position, hypothesis.side, clear=True) if crossed else own
            for step in self.by_metric.get(name or "", ()):
                if step.segment != EVERYONE or step.stage != question.current:
                    continue
                if (job := self._build_noninferiority_call(position, limit, hypothesis, step)) is not None:
                    yield job

    def _build_harm_call(
        self, position: int, limit: Limit, hypothesis: Hypothesis, new_counts: NewCounts
    ) -> _KernelCall | None:
        entry, side, question = limit.entry, hypothesis.side, self.question
        if limit.is_absolute and not entry.is_average:
            bound = 1 - entry.quantile if entry.quantile is not None else limit.amount
            return _build_one_sample_call(position, side, "fixed", new_counts, bound)
        if entry.is_average:
            # More readings above the cap are harm. If less is harm, capping cannot hide it, so there is no tail test.
            if side == "less" or new_counts.stage not in question.compared_stages:
                return None
            return self._build_two_sample_call(position, "tail", limit, _any_harm_hypothesis(side), new_counts)
        if new_counts.stage in question.compared_stages:
            return self._build_two_sample_call(position, "pair", limit, hypothesis, new_counts)
        past = self.current.baselines.get(limit.metric)
        if new_counts.stage not in question.stages_without_control or past is None or new_counts.segment != EVERYONE:
            return None
        if quantile_crossing.compares_quantiles(limit):
            return _build_one_sample_call(position, side, "alone", new_counts, 1 - entry.require_quantile())
        bound = hypothesis.bound_ratio * past.least_harmful_level(side) + hypothesis.bound_shift
        return _build_one_sample_call(position, side, "alone", new_counts, bound)

    def _build_level_calls(self, position: int, limit: Limit) -> Iterator[_KernelCall]:
        """The new readings of a mean or ratio, once its variance and typical harm are known from earlier looks."""
        cell, tau = level_cell(self.question, limit), self.before.taus.get(str(position))
        variance = self.before.variances.get(cell or "")
        if cell is None or tau is None or variance is None:
            return
        for hypothesis in build_harm_hypotheses(limit):
            for step in self.by_metric.get(cell, ()):
                counts = (step.canary_events, step.canary_trials, step.control_events, step.control_trials)
                kernel = _Kernel("level", hypothesis.side, hypothesis.ratio, hypothesis.shift)
                yield _KernelCall(position, "level", step, kernel, (*counts, variance, tau))

    def _build_noninferiority_call(
        self, position: int, limit: Limit, hypothesis: Hypothesis, new_counts: NewCounts
    ) -> _KernelCall | None:
        quantile = limit.entry.quantile
        if limit.is_absolute:
            bound = 1 - quantile if quantile is not None else limit.amount
            return _build_one_sample_call(position, hypothesis.side, "clear", new_counts, bound)
        if new_counts.stage not in self.question.compared_stages:
            return None
        # The thresholds of a quantile crossing already include the limit.
        asked = _any_harm_hypothesis(hypothesis.side) if quantile_crossing.compares_quantiles(limit) else hypothesis
        return self._build_two_sample_call(position, "clear", limit, asked, new_counts)

    def _build_two_sample_call(
        self, position: int, part: EProcessKind, limit: Limit, hypothesis: Hypothesis, new_counts: NewCounts
    ) -> _KernelCall | None:
        if limit.entry.kind is MetricKind.COUNT:
            # Events may arrive later than their requests, so the exposure is all requests of the stage so far.
            served = self.current.get_total(new_counts.stage, REQUESTS, new_counts.segment)
            if new_counts.canary_events + new_counts.control_events == 0:
                return None
            ratio = hypothesis.ratio if limit.scale is LimitScale.RELATIVE else 1.0
            counts = (new_counts.canary_events, new_counts.control_events, served.canary_trials, served.control_trials)
            return _KernelCall(position, part, new_counts, _Kernel("rate", hypothesis.side, ratio), counts)
        if new_counts.canary_trials == 0 or new_counts.control_trials == 0:
            return None
        earlier = (
            CountTotals()
            if quantile_crossing.is_crossing_name(new_counts.metric)
            else self.before.get_total(new_counts.stage, new_counts.metric, new_counts.segment)
        )
        numbers = (
            min(new_counts.canary_events, new_counts.canary_trials),
            new_counts.canary_trials,
            min(new_counts.control_events, new_counts.control_trials),
            new_counts.control_trials,
            earlier.control_events + new_counts.aside_events,
            earlier.control_trials + new_counts.aside_trials,
        )
        kernel = _Kernel("two", hypothesis.side, hypothesis.ratio, hypothesis.shift)
        return _KernelCall(position, part, new_counts, kernel, numbers)


def _any_harm_hypothesis(side: Side) -> Hypothesis:
    return Hypothesis(side=side, ratio=1.0, shift=0.0, bound_ratio=1.0, bound_shift=0.0, share=1.0)


def _build_one_sample_call(
    position: int, side: Side, part: EProcessKind, new_counts: NewCounts, bound: float
) -> _KernelCall | None:
    # An event that arrives after its request's look counts as a trial again, which only understates the rate.
    trials = max(new_counts.canary_trials, new_counts.canary_events)
    if trials == 0:
        return None
    kernel = _Kernel("one", side, proportion.clip_rate(bound))
    return _KernelCall(position, part, new_counts, kernel, (new_counts.canary_events, trials))


def _evaluate_kernel(kernel: _Kernel, numbers: Array) -> Array:
    side, ratio, shift = kernel.side, kernel.ratio, kernel.shift
    match kernel.name:
        case "one":
            events, trials = numbers
            return proportion.one_sample_increments(events, trials, side=side, bound=ratio)
        case "rate":
            return rate.two_sample_increments(*numbers, side=side, ratio=ratio)
        case "level":
            *counts, variance, tau = numbers
            effects = tau[:, np.newaxis] * np.array(LEVEL_EFFECTS)
            return mean.level_increments(
                *counts, variance=variance, effects=effects, side=side, ratio=ratio, shift=shift
            )
        case "two":
            *counts, earlier_events, earlier_trials = numbers
            return proportion.two_sample_increments(
                *counts,
                earlier_successes=earlier_events,
                earlier_trials=earlier_trials,
                side=side,
                ratio=ratio,
                shift=shift,
            )
        case _:
            assert_never(kernel.name)
