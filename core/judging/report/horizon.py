"""Compare the arms at the horizon of a long comparison: one test per deciding metric, all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.judging.limits.limits import NEW_CATEGORY_METRIC, LimitKind, LimitScale
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.look import Look
from core.judging.model import confidence_range
from core.judging.model.comparison import Advice, HorizonComparison, MetricCourse
from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import BUCKETS
from core.judging.model.question import Question
from core.judging.model.verdict import Measure, MeasureLabel
from core.judging.report.measures import ONE_BUCKET_NOTE
from core.metrics.catalogue import HarmDirection, MarginScale, Metric, MetricKind
from core.stats.fixed_horizon.horizon import fixed_interval

COMPARISON_ALPHA = 0.05
"""Chance that any of the ranges misses its true difference."""
MIN_REQUESTS = 100  # readings per arm; below this a normal approximation is not used
MIN_EVENTS = 10  # per arm, of either outcome; the same holds below this
_NOTHING = Estimate(canary=None, control=None, error=None, n_canary=0.0, n_control=0.0)
_KINDS: Mapping[HarmDirection, frozenset[LimitKind]] = {
    "more": frozenset({LimitKind.RISES_BY, LimitKind.CHANGES_BY, LimitKind.EXCEEDS_NORMAL_BY}),
    "less": frozenset({LimitKind.DROPS_BY, LimitKind.CHANGES_BY}),
    "either": frozenset({LimitKind.CHANGES_BY, LimitKind.RISES_BY, LimitKind.DROPS_BY}),
}


def compare_at_horizon(
    question: Question,
    look: Look,
    measures: Sequence[Measure],
    decide_on: Sequence[str],
    courses: tuple[MetricCourse, ...] = (),
) -> HorizonComparison:
    """Judge the deciding metrics on everything since the stage began. Valid once, at a horizon fixed beforehand.

    `measures` are the rows of the same look. The ranges are Bonferroni-corrected over the deciding metrics. Where too
    little came in for a normal approximation, and for quantiles, the range stays the anytime-valid one, which is wider.
    """
    rows = tuple(
        _judge_metric(question, look, measures, metric, COMPARISON_ALPHA / len(decide_on)) for metric in decide_on
    )
    return HorizonComparison(advice=_advise(rows), measures=rows, courses=courses)


def has_fixed_test(metric: Metric) -> bool:
    """Whether a long comparison can be decided on this metric: it has a level per arm with an error."""
    return metric.key != NEW_CATEGORY_METRIC and metric.kind is not MetricKind.QUANTILE


def _judge_metric(question: Question, look: Look, measures: Sequence[Measure], metric: str, alpha: float) -> Measure:
    standing = look.find_comparison(question.comparison_cell(metric), question.current)
    row = next((one for one in measures if one.metric == metric and not one.segment and not one.absolute), None)
    if row is None:
        row = _build_row(question.entry_of(metric), standing)
    if standing is None or row.canary is None or row.control is None:
        return replace(row, word="No data")
    if ONE_BUCKET_NOTE in row.note:
        return row
    row = _narrow_range(row, question.entry_of(metric), standing, alpha)
    return replace(row, word=_choose_label(question, row))


def _build_row(entry: Metric, standing: ArmComparison | None) -> Measure:
    """The row of a metric of which nothing came in, or that the file holds only against a fixed number."""
    seen = standing.paired_estimate if standing is not None else _NOTHING
    low, high = confidence_range.compute_range(None, entry, seen)
    return Measure(
        metric=entry.key,
        title=entry.title,
        limit_text=None,
        canary=seen.canary,
        control=seen.control,
        difference=confidence_range.compute_difference(None, entry, seen),
        low=low,
        high=high,
        log_e=0.0,
        word="No data",
        n_canary=round(seen.n_canary),
        n_control=round(seen.n_control),
        unit=entry.unit,
        relative=confidence_range.is_relative(None, entry),
        weaker=False,
        implied=True,
        error=seen.error,
        design_effect=seen.design_effect,
    )


def _narrow_range(row: Measure, entry: Metric, standing: ArmComparison, alpha: float) -> Measure:
    """The row with the range for one look; unchanged where a normal approximation does not hold."""
    canary, control = standing.canary, standing.control
    if canary is None or control is None or not standing.error or not _is_nearly_normal(entry, standing):
        return row
    low, high = fixed_interval(
        canary - control, standing.error, alpha=alpha, degrees_of_freedom=standing.degrees_of_freedom or BUCKETS - 1
    )
    if not row.relative:
        return replace(row, low=low, high=high)
    if control <= 0:
        return replace(row, low=None, high=None)
    # The error of a ratio grows with the ratio, as control's own error counts that much more.
    half = (high - low) / 2 * max(1.0, canary / control) / control
    middle = canary / control - 1
    return replace(row, low=max(middle - half, -1.0), high=middle + half)


def _is_nearly_normal(entry: Metric, standing: ArmComparison) -> bool:
    if entry.kind is MetricKind.QUANTILE or min(standing.canary_weight, standing.control_weight) < MIN_REQUESTS:
        return False
    if entry.is_average:
        return True
    for level, weight in ((standing.canary, standing.canary_weight), (standing.control, standing.control_weight)):
        assert level is not None
        rarer = min(level, 1 - level) if entry.is_binary else level
        if rarer * weight / standing.design_effect < MIN_EVENTS:
            return False
    return True


def _choose_label(question: Question, row: Measure) -> MeasureLabel:
    """The label by the range: within the margin for certain, beyond zero for certain, or neither."""
    entry = question.entry_of(row.metric)
    # That of the file's limit, else the one against what is desired of the metric.
    direction = entry.harm_direction if row.implied else row.harm
    low, high, margin = row.low, row.high, _find_margin(question, row, direction)
    if low is None or high is None:
        return "Not enough data"
    if direction == "either":
        if -margin < low and high < margin:
            return "Fine"
        return "Changed unexpectedly" if low > 0 or high < 0 else "Not enough data"
    worst, best = (high, low) if direction == "more" else (-low, -high)
    if worst < 0:
        return "Better"
    if worst < margin:
        return "Slightly worse, within limit" if best > 0 else "Fine"
    return "Worse" if best > 0 else "Not enough data"


def _find_margin(question: Question, row: Measure, direction: HarmDirection) -> float:
    """The change that counts as too large, in the unit of the row's difference: the first limit on that side, else the
    metric's margin; 0 if there is none in this unit."""
    kinds = _KINDS[direction]
    for limit in question.criteria:
        if limit.metric == row.metric and limit.kind in kinds and (limit.scale is LimitScale.RELATIVE) == row.relative:
            return limit.amount
    entry = question.entry_of(row.metric)
    same = (entry.margin_scale is MarginScale.RELATIVE) == row.relative
    return entry.default_margin or 0.0 if same else 0.0


def _advise(rows: Sequence[Measure]) -> Advice:
    if any(row.is_bad for row in rows):
        return "go back"
    return "keep" if all(row.is_good for row in rows) else "cannot tell"
