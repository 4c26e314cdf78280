"""Compare quantiles by counting the values above thresholds that were set at the previous look."""

from collections.abc import Iterator, Mapping, Sequence

from core.judging.limits.hypothesis import Hypothesis, build_harm_hypotheses, build_noninferiority_hypotheses
from core.judging.limits.limits import Limit
from core.judging.look import bucket_sums
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, EvidenceSums
from core.judging.model.new_counts import NewCounts
from core.judging.model.question import Question
from core.judging.model.state import PastLevel, Threshold
from core.metrics.catalogue import MetricKind
from core.stats import quantile

MIN_CONTROL_VALUES = 50  # control values needed before its quantile becomes a threshold


def compares_quantiles(limit: Limit) -> bool:
    """Whether a limit compares a quantile of the canary with control's."""
    return limit.entry.kind is MetricKind.QUANTILE and not limit.is_absolute


def crossing_name(position: int, side: str, *, clear: bool = False) -> str:
    """Metric name under which a limit's crossings are counted; `clear` is the non-inferiority test."""
    return f"{'kept' if clear else 'crossing'}:{position}:{side}"


def is_crossing_name(metric: str) -> bool:
    """Whether a metric has the name of crossings that are counted for a limit."""
    return metric.startswith(("crossing:", "kept:"))


def set_thresholds(
    question: Question, sums: EvidenceSums, past: Mapping[str, PastLevel], segments: Sequence[str]
) -> tuple[Threshold, ...]:
    """Thresholds for the next look: control's quantile up to now, or its past one if no control is left.

    Segments use the overall threshold, and only in the current stage.
    """
    found = []
    for position, limit in enumerate(question.criteria):
        if not compares_quantiles(limit) or not _has_values(sums, question, limit):
            continue
        sides = [(hypothesis, False) for hypothesis in build_harm_hypotheses(limit)]
        if not question.is_default_limit(position) and limit.can_act:
            sides += [(hypothesis, True) for hypothesis in build_noninferiority_hypotheses(limit)]
        for hypothesis, clear in sides:
            for stage in question.exposed_stages:
                values = _threshold_values(question, sums, past, limit, hypothesis, stage, clear=clear)
                if values is None:
                    continue
                here = segments if stage == question.current and not clear else ()
                for segment in (EVERYONE, *here):
                    counted = _count_above(sums, stage, limit.metric, segment, values)
                    found.append(
                        Threshold(
                            limit=position,
                            side=hypothesis.side,
                            stage=stage,
                            metric=limit.metric,
                            canary=values[0],
                            control=values[1],
                            canary_above=counted[0],
                            canary_total=counted[1],
                            control_above=counted[2],
                            control_total=counted[3],
                            segment=segment,
                            clear=clear,
                        )
                    )
    return tuple(found)


def count_crossings(sums: EvidenceSums, before: Sequence[Threshold]) -> Iterator[NewCounts]:
    """Yield the counts above the previous look's thresholds since that look."""
    for threshold in before:
        values = (threshold.canary, threshold.control)
        above, total, control_above, control_total = _count_above(
            sums, threshold.stage, threshold.metric, threshold.segment, values
        )
        step = NewCounts(
            stage=threshold.stage,
            metric=crossing_name(threshold.limit, threshold.side, clear=threshold.clear),
            segment=threshold.segment,
            canary_trials=total - threshold.canary_total,
            canary_events=above - threshold.canary_above,
            control_trials=control_total - threshold.control_total,
            control_events=control_above - threshold.control_above,
            aside_trials=threshold.control_total,
            aside_events=threshold.control_above,
        )
        if step.has_trials:
            yield step


def _threshold_values(
    question: Question,
    sums: EvidenceSums,
    known: Mapping[str, PastLevel],
    limit: Limit,
    hypothesis: Hypothesis,
    stage: int,
    *,
    clear: bool,
) -> tuple[float, float] | None:
    """(threshold for the canary, threshold for control); None if there is no quantile to set them by."""
    paired = stage in question.compared_stages
    if paired:
        q = limit.entry.require_quantile()
        control = bucket_sums.merge_histograms(sums, (stage,), CONTROL, limit.metric)
        base = quantile.estimate_quantile(control, q) if sum(control.values()) >= MIN_CONTROL_VALUES else None
    elif stage in question.stages_without_control and limit.metric in known and not clear:
        base = known[limit.metric].least_harmful_level(hypothesis.side)
    else:
        base = None
    if base is None:
        return None
    own = quantile.upper_edge(quantile.bin_index(base))
    ratio, shift = (hypothesis.ratio, hypothesis.shift) if paired else (hypothesis.bound_ratio, hypothesis.bound_shift)
    return own if (ratio, shift) == (1.0, 0.0) else _round_edge(ratio * own + shift, hypothesis), own


def _count_above(
    sums: EvidenceSums, stage: int, metric: str, segment: str, values: tuple[float, float]
) -> tuple[int, int, int, int]:
    canary, control = (bucket_sums.merge_histograms(sums, (stage,), arm, metric, segment) for arm in (CANARY, CONTROL))
    return (
        quantile.count_above(canary, values[0]),
        sum(canary.values()),
        quantile.count_above(control, values[1]),
        sum(control.values()),
    )


def _has_values(sums: EvidenceSums, question: Question, limit: Limit) -> bool:
    return any(
        bucket_sums.merge_histograms(sums, (stage,), CANARY, limit.metric) for stage in question.exposed_stages
    ) or any(bucket_sums.merge_histograms(sums, (stage,), CONTROL, limit.metric) for stage in question.exposed_stages)


def _round_edge(value: float, hypothesis: Hypothesis) -> float:
    # Rounded to a bin edge against the hypothesis to be shown, so that the count never overstates the evidence.
    position = quantile.bin_index(max(value, 0.0))
    return quantile.upper_edge(position if hypothesis.side == "greater" else position - 1)
