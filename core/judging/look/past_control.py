"""Control's levels over all stages that had one: what the canary is compared with once no control is left."""

from collections.abc import Mapping, Sequence
from math import isfinite

from core.judging.look import bucket_sums, unknown_units
from core.judging.look.error_floor import floor_error
from core.judging.look.leave_one_out import compute_design_effects
from core.judging.model.evidence import CONTROL, EvidenceSums
from core.judging.model.question import Question
from core.judging.model.state import PastLevel
from core.metrics.catalogue import Metric, MetricKind
from core.stats import clustering, quantile
from core.stats.sequential import mean, proportion

PAST_LEVEL_ALPHA = 0.01
"""Error probability alpha of the confidence sequence that bounds a past level."""


def measure_past_levels(question: Question, sums: EvidenceSums, metrics: Sequence[str]) -> Mapping[str, PastLevel]:
    """Control's level over all stages that had one, by metric."""
    found = (
        (metric, _measure_past_level(question, sums, question.entry_of(metric)))
        for metric in metrics
        if question.compared_stages
    )
    return {metric: level for metric, level in found if level is not None}


def _measure_past_level(question: Question, sums: EvidenceSums, entry: Metric) -> PastLevel | None:
    if entry.quantile is not None:
        counted = bucket_sums.merge_histograms(sums, question.compared_stages, CONTROL, entry.key)
        value = quantile.estimate_quantile(counted, entry.quantile)
        if value is None:
            return None
        source = bucket_sums.read_metric_sums(sums, question.compared_stages, CONTROL, entry, entry.key)[0]
        effect = clustering.design_effect_of_mean(source, quantile.histogram_variance(counted))
        low, high = (
            quantile.estimate_quantile(counted, q)
            for q in bound_past_rate(entry.quantile, sum(counted.values()), effect)
        )
        return PastLevel(value=value, error=None, low=low, high=high)
    cell = question.comparison_cell(entry.key)
    arm = bucket_sums.read_metric_sums(sums, question.compared_stages, CONTROL, entry, cell)
    readings = float(bucket_sums.count_readings(sums, question.compared_stages, CONTROL, cell)[0])
    levels, errors = mean.pooled_level(arm)
    level = float(levels[0])
    if not isfinite(level):
        return None
    error = floor_error(entry, unknown_units.widen_error(question, cell) * float(errors[0]), level, readings)
    if entry.is_average:
        return PastLevel(value=level, error=error)
    trials, effect = float(arm[..., 0].sum()), float(compute_design_effects(entry.kind, arm)[0])
    low, high = bound_past_rate(level, trials, effect)
    return PastLevel(value=level, error=error, low=low, high=high, readings=trials, design_effect=effect)


def bound_past_rate(rate: float, trials: float, design_effect: float) -> tuple[float, float]:
    """Confidence sequence of a past rate, so that its own error is not mistaken for harm."""
    counted = trials / design_effect
    return proportion.confidence_sequence(min(rate, 1.0) * counted, counted, alpha=PAST_LEVEL_ALPHA)


def measure_past_means(question: Question, sums: EvidenceSums, metrics: Sequence[str]) -> Mapping[str, float]:
    """Control's mean of the values whose quantile is judged, over all stages that had one, by metric."""
    found: dict[str, float] = {}
    for metric in metrics:
        entry = question.entry_of(metric)
        if entry.kind is MetricKind.QUANTILE:
            arm = bucket_sums.read_metric_sums(sums, question.compared_stages, CONTROL, entry, metric)
            level = float(mean.pooled_level(arm)[0][0])
            found |= {metric: level} if isfinite(level) else {}
    return found
