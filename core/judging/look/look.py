"""One look: everything the verdict needs from the sums, small enough to be recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from core.judging.limits.hypothesis import build_harm_hypotheses, build_noninferiority_hypotheses
from core.judging.look import bucket_sums, judged_segments, quantile_crossing
from core.judging.look.arm_comparison import (
    ArmComparison,
    ComparisonDraft,
    compute_margin_error,
    draft_comparisons,
)
from core.judging.look.complete_comparisons import complete_comparisons
from core.judging.look.count_new import collect_new_counts, collect_new_sums, rests_on_readings
from core.judging.look.leave_one_out import compute_design_effects
from core.judging.look.past_control import measure_past_levels, measure_past_means
from core.judging.look.unknown_units import weaken_unknown_units
from core.judging.model.evidence import (
    CANARY,
    CATEGORY_PREFIX,
    CONTROL,
    EVERYONE,
    REQUESTS,
    EvidenceSums,
    UnreadSource,
    capped_cell,
    exceedance_cell,
)
from core.judging.model.new_counts import NewCounts
from core.judging.model.question import Question
from core.judging.model.state import JudgeNews, JudgingState, PastLevel, Threshold
from core.metrics.catalogue import MetricKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureCounts:
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
class ReadingCounts:
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
    `slots` are all segments judged so far, None if this look did not look at segments. `unread` are the sources that
    have not been readable for too long. Where `judge` says that the judge was found to have moved, the state before
    this look counts without what the judge's metrics showed since it was last trusted.
    """

    at: datetime
    stage: int  # the current one
    steps: tuple[NewCounts, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    standings: tuple[ArmComparison, ...] = ()
    margins: tuple[MarginError, ...] = ()
    exposures: tuple[ExposureCounts, ...] = ()
    readings: tuple[ReadingCounts, ...] = ()
    categories: tuple[CategorySpread, ...] = ()
    baselines: Mapping[str, PastLevel] = field(default_factory=dict)
    slots: tuple[str, ...] | None = None
    left_out: int = 0
    unread: tuple[UnreadSource, ...] = ()
    judge: JudgeNews | None = None  # None where no anchors are judged

    def find_comparison(self, cell: str, since: int, segment: str = EVERYONE) -> ArmComparison | None:
        """The comparison of a cell since a stage; None if nothing came in."""
        for one in self.standings:
            if one.metric == cell and one.since == since and one.segment == segment:
                return one
        return None


def take_look(question: Question, sums: EvidenceSums, before: JudgingState, at: datetime) -> Look:
    """Take a look at these sums. Of the state it reads only counts, thresholds, past levels and judged segments."""
    counted, sums = sums, weaken_unknown_units(question, sums)
    tested = _list_tested_metrics(question, sums)
    past = measure_past_levels(question, sums, tested) if question.stages_without_control else {}
    due = judged_segments.are_segments_due(question, before, at)
    segments, left_out = (
        judged_segments.choose_segments(question, sums, before) if due else (before.slots, before.left_out)
    )
    judged = segments if due else ()
    return Look(
        at=at,
        stage=question.current,
        steps=(
            *collect_new_counts(question, sums, before, (EVERYONE, *judged)),
            *collect_new_sums(question, sums, before),
            *quantile_crossing.count_crossings(
                sums, [one for one in before.thresholds if due or one.segment == EVERYONE]
            ),
        ),
        thresholds=(
            *quantile_crossing.set_thresholds(question, sums, {**past, **before.baselines}, judged),
            *(() if due else [one for one in before.thresholds if one.segment != EVERYONE]),
        ),
        standings=tuple(
            complete_comparisons(
                list(_draft_all_comparisons(question, sums, tested, judged)),
                {
                    **_reference_levels(question, {**past, **before.baselines}),
                    **(measure_past_means(question, sums, tested) if question.stages_without_control else {}),
                },
            )
        ),
        margins=tuple(_build_margin_errors(question, sums)),
        exposures=tuple(
            ExposureCounts(
                stage=stage,
                canary=sums.first_exposures.get((stage, CANARY), 0),
                control=sums.first_exposures.get((stage, CONTROL), 0),
                moved=sums.moved.get(stage, 0),
            )
            for stage in question.exposed_stages
        ),
        readings=tuple(_count_readings(question, counted)),
        categories=tuple(_build_category_spreads(question, sums)),
        baselines={metric: past[metric] for metric in sorted(past) if metric not in before.baselines},
        slots=segments if due else None,
        left_out=left_out,
        unread=tuple(one for one in sums.unread if one.holds_from <= at),
    )


def _list_tested_metrics(question: Question, sums: EvidenceSums) -> list[str]:
    """The tested metrics that have data. Requests without any event are data too for metrics that count events."""
    here = bucket_sums.list_metrics(sums)
    agreed = {
        limit.metric
        for limit in question.limits
        if REQUESTS in here and bucket_sums.is_counted_over_requests(limit.metric)
    }
    found = [limit.metric for limit in question.criteria if not limit.is_per_category]
    return [metric for metric in dict.fromkeys(found) if metric in here or metric in agreed]


def _draft_all_comparisons(
    question: Question, sums: EvidenceSums, tested: Sequence[str], segments: Sequence[str]
) -> Iterator[ComparisonDraft]:
    limited = {limit.metric for limit in question.limits}
    for metric in tested:
        # Metrics with only default limits are compared since the first stage and since the current one.
        since = (
            question.exposed_stages if metric in limited else question.comparison_starts or question.exposed_stages[:1]
        )
        for cell in _cells_of_metric(question, metric):
            starts = tuple(dict.fromkeys((*since, *question.exposed_stages[-1:])))
            yield from draft_comparisons(question, sums, metric, cell, starts)
            if segments:
                yield from draft_comparisons(question, sums, metric, cell, question.comparison_starts, segments)


def _reference_levels(question: Question, past: Mapping[str, PastLevel]) -> Mapping[str, float]:
    """Levels other than control that a cell is compared with: the lowest absolute limit, or control's past."""
    found: dict[str, float] = {}
    for limit in question.criteria:
        if limit.is_absolute:
            quantile = limit.entry.quantile
            cell = limit.metric if quantile is None else exceedance_cell(limit.metric, limit.amount)
            found[cell] = min(limit.amount if quantile is None else 1 - quantile, found.get(cell, 1.0))
    return {**found, **{metric: level.value for metric, level in past.items()}}


def _cells_of_metric(question: Question, metric: str) -> Iterator[str]:
    """All cells of a metric: its own; for a mean with a cap also the capped one and its exceedances; for a quantile
    with absolute limits also the exceedances of each."""
    yield metric
    if question.entry_of(metric).kind is MetricKind.QUANTILE:
        amounts = {one.amount for one in question.criteria if one.metric == metric and one.is_absolute}
        yield from (exceedance_cell(metric, amount) for amount in sorted(amounts))
    if (cap := question.caps.get(metric)) is not None:
        yield capped_cell(metric, cap)
        yield exceedance_cell(metric, cap)


def _build_margin_errors(question: Question, sums: EvidenceSums) -> Iterator[MarginError]:
    for position, limit in enumerate(question.limits):
        if limit.is_absolute or not limit.entry.is_average:
            continue
        sides = [(one, question.compared_stages) for one in build_harm_hypotheses(limit) if limit.strict]
        if question.current in question.compared_stages:
            sides += [(one, (question.current,)) for one in build_noninferiority_hypotheses(limit)]
        for hypothesis, stages in sides:
            for since in stages:
                error = compute_margin_error(question, sums, limit.metric, since, hypothesis.bound_ratio)
                if error is not None:
                    yield MarginError(limit=position, side=hypothesis.side, since=since, error=error)


def _build_category_spreads(question: Question, sums: EvidenceSums) -> Iterator[CategorySpread]:
    if not any(limit.is_per_category for limit in question.limits):
        return
    for name in bucket_sums.list_category_cells(sums):
        arm = bucket_sums.read_bucket_sums(sums, question.exposed_stages, CANARY, name)
        events = arm[0, ..., 1].sum(axis=0)
        left = arm.copy()
        left[:, :, events.argmax(), :] = 0
        yield CategorySpread(
            name=name.removeprefix(CATEGORY_PREFIX),
            loudest=float(events.max()),
            design_effect=float(compute_design_effects(MetricKind.COUNT, arm)[0]),
            left_design_effect=float(compute_design_effects(MetricKind.COUNT, left)[0]),
        )


def _count_readings(question: Question, sums: EvidenceSums) -> Iterator[ReadingCounts]:
    metrics = [limit.metric for limit in question.limits if limit.can_act and rests_on_readings(limit)]
    for metric in dict.fromkeys((REQUESTS, *metrics)):
        canary, control = (
            float(bucket_sums.read_bucket_sums(sums, (question.current,), arm, metric)[..., 0].sum())
            for arm in (CANARY, CONTROL)
        )
        yield ReadingCounts(metric=metric, canary=canary, control=control)
