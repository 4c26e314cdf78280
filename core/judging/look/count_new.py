"""Count what is new since the last look: trials and events of every cell that feeds an exact kernel."""

from collections.abc import Iterator, Sequence

import numpy as np

from core.judging.limits.limits import Limit
from core.judging.look import bucket_sums, quantile_crossing
from core.judging.model.evidence import (
    BUCKETS,
    CANARY,
    CATEGORY_PREFIX,
    CONTROL,
    REQUESTS,
    EvidenceSums,
    exceedance_cell,
)
from core.judging.model.new_counts import NewCounts
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.metrics.catalogue import MetricKind

MIN_BATCH = 20
"""Readings of a mean or ratio that each arm has in a batch at least; fewer wait for the next look."""
LEARNING_BUCKETS = BUCKETS // 2
"""Control buckets that only estimate the base rate in a stage's first look, so that a single batch can be judged."""


def rests_on_readings(limit: Limit) -> bool:
    """Whether a limit's metric has a reading per request, instead of counting events that may arrive at any time."""
    return not limit.is_per_category and limit.entry.kind is not MetricKind.COUNT


def exact_kernel_cell(question: Question, limit: Limit) -> str | None:
    """Name of the cell whose counts feed a criterion's exact kernel.

    None if quantile crossings or error categories feed it, or if a mean has no cap yet.
    """
    entry = limit.entry
    if limit.is_per_category:
        return None
    if entry.kind is MetricKind.QUANTILE:
        return exceedance_cell(limit.metric, limit.amount) if limit.is_absolute else None
    if entry.is_average:
        cap = question.caps.get(limit.metric)
        return None if cap is None else exceedance_cell(limit.metric, cap)
    return limit.metric


def level_cell(question: Question, limit: Limit) -> str | None:
    """Name of the cell whose new sums say how a mean's or ratio's level is just now.

    None if nobody agreed on the limit, if it is a fixed number, or if a mean has no cap yet.
    """
    if not limit.entry.is_average or limit.is_absolute or not limit.can_act or limit not in question.limits:
        return None
    if limit.entry.kind is MetricKind.RATIO:
        return limit.metric
    return question.comparison_cell(limit.metric) if limit.metric in question.caps else None


def cell_of_new_sums(question: Question, limit: Limit) -> str | None:
    """Name of the cell whose new weights and values each look counts: that of a level, or a quantile's own values."""
    return limit.metric if quantile_crossing.compares_quantiles(limit) else level_cell(question, limit)


def collect_new_sums(question: Question, sums: EvidenceSums, before: JudgingState) -> Iterator[NewCounts]:
    """Yield the sums of means, ratios and a quantile's values since the last batch, in stages with both arms, as
    weights and values.

    A batch is left for a later look until each arm has `MIN_BATCH` readings: how many there are says nothing of what
    they say, and no reading is lost where an arm has few.
    """
    cells = {name: limit for limit in question.criteria if (name := cell_of_new_sums(question, limit)) is not None}
    for name, limit in cells.items():
        for stage in question.compared_stages:
            done = before.get_total(stage, name)
            known = ((done.canary_trials, done.canary_events), (done.control_trials, done.control_events))
            new = []
            for arm, (weight_before, value_before) in zip((CANARY, CONTROL), known, strict=True):
                arrays = bucket_sums.read_metric_sums(sums, (stage,), arm, limit.entry, name)[0, 0]
                readings = float(bucket_sums.read_bucket_sums(sums, (stage,), arm, name)[0, 0, :, 0].sum())
                weight, value = arrays.sum(axis=0).tolist()
                if readings <= 0 or (weight - weight_before) * readings < MIN_BATCH * weight or weight <= weight_before:
                    break
                new.append((weight - weight_before, value - value_before))
            if len(new) == 2:
                (canary_trials, canary_events), (control_trials, control_events) = new
                yield NewCounts(
                    stage=stage,
                    metric=name,
                    canary_trials=canary_trials,
                    canary_events=canary_events,
                    control_trials=control_trials,
                    control_events=control_events,
                )


def collect_new_counts(
    question: Question, sums: EvidenceSums, before: JudgingState, segments: Sequence[str]
) -> Iterator[NewCounts]:
    """Yield the counts since the last look: overall in every stage, by segment only in the last two stages.

    The previous stage is included because its last moments came after the last look at it.
    """
    metrics = [
        REQUESTS,
        *(name for limit in question.criteria if (name := exact_kernel_cell(question, limit)) is not None),
    ]
    named = bucket_sums.list_category_cells(sums) if any(limit.is_per_category for limit in question.limits) else ()
    here = bucket_sums.list_metrics(sums)
    for metric in dict.fromkeys((*metrics, *named)):
        if metric not in here:
            continue
        for stage in question.exposed_stages:
            divided = stage in question.latest_stages and not metric.startswith(CATEGORY_PREFIX)
            cut = segments if divided else segments[:1]
            canary, control = (
                bucket_sums.read_bucket_sums(sums, (stage,), arm, metric, cut)[:, 0] for arm in (CANARY, CONTROL)
            )
            # Column by column: numpy takes 30 times as long to add rows of two.
            totals = np.stack([arm[..., column].sum(axis=1) for arm in (canary, control) for column in (0, 1)], axis=1)
            for i, segment in enumerate(cut):
                step = _build_new_counts(before, stage, metric, segment, totals[i].tolist(), canary[i], control[i])
                if step.has_any_counts:
                    yield step


def _build_new_counts(
    before: JudgingState,
    stage: int,
    metric: str,
    segment: str,
    totals: list[float],
    canary: bucket_sums.Array,
    control: bucket_sums.Array,
) -> NewCounts:
    canary_trials, canary_events, control_trials, control_events = totals
    done = before.get_total(stage, metric, segment)
    weighed = before.get_total(stage, REQUESTS, segment) if metric.startswith(CATEGORY_PREFIX) else done
    new = NewCounts(
        stage=stage,
        metric=metric,
        segment=segment,
        canary_trials=max(canary_trials - weighed.canary_trials, 0.0),
        canary_events=max(canary_events - done.canary_events, 0.0),
        control_trials=max(control_trials - weighed.control_trials, 0.0),
        control_events=max(control_events - done.control_events, 0.0),
    )
    if metric.startswith(CATEGORY_PREFIX) and weighed.canary_trials == 0:
        trials, events = canary[: BUCKETS // 2].sum(axis=0).tolist()
        return new.set_aside(CANARY, trials, events)
    if metric != REQUESTS and not bucket_sums.is_counted_over_requests(metric) and done.control_trials == 0:
        trials, events = control[:LEARNING_BUCKETS].sum(axis=0).tolist()
        return new.set_aside(CONTROL, trials, events)
    return new
