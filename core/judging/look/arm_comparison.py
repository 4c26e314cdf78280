"""Comparison of canary and control since a stage: stratified estimates, errors and design effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, product
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.judging.limits.hypothesis import build_harm_hypotheses, is_beyond_limit
from core.judging.limits.limits import Limit
from core.judging.look import bucket_sums, unknown_units
from core.judging.look.error_floor import floor_error
from core.judging.look.leave_one_out import LeaveOneOut, compute_design_effects
from core.judging.model.confidence_range import RANGE_ALPHA, Estimate
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, EvidenceSums, is_exceedance_cell
from core.judging.model.question import Question
from core.metrics.catalogue import Metric, MetricKind
from core.stats import clustering, quantile
from core.stats.fixed_horizon.horizon import widen_for_few_degrees
from core.stats.input_checks import Side
from core.stats.sequential import mean

SIDES: tuple[Side, ...] = ("greater", "less")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """Comparison of one metric's cell over the stages from `since` on, overall or in one `segment`.

    `canary`, `control` and `error` (of their difference) come from the stages that have both arms, stratified by stage.
    `level` is the canary's alone, over all stages. None is unknown. Weights count requests. `design_effect` is the
    larger one of both arms. `more` and `less` are the comparison without the bucket that has most evidence for side
    "greater" or "less"; None if there is no evidence for that side. `assumed_units` are the canary's where units are
    unknown; None where they are counted. `degrees_of_freedom` are those of a ratio's error, which may rest on few
    units; None for other kinds.
    """

    metric: str
    since: int
    segment: str = EVERYONE
    canary: float | None
    control: float | None
    error: float | None
    canary_weight: float
    control_weight: float
    level: float | None
    level_error: float | None
    level_weight: float
    design_effect: float
    more: LeaveOneOut | None = None
    less: LeaveOneOut | None = None
    assumed_units: float | None = None
    degrees_of_freedom: float | None = None

    def without_loudest_bucket(self, side: Side) -> LeaveOneOut | None:
        """The comparison without the bucket with most evidence for a side; None if there is no evidence for it."""
        return self.more if side == "greater" else self.less

    @property
    def paired_estimate(self) -> Estimate:
        """Estimate of both arms over the stages that have both. The error of a ratio is as wide as its few busy units
        ask for; what is told and shown has that, and evidence, which asks for more, has not."""
        few = self.degrees_of_freedom
        wider = 1.0 if few is None else widen_for_few_degrees(few, alpha=RANGE_ALPHA)
        return Estimate(
            canary=self.canary,
            control=self.control,
            error=None if self.error is None else self.error * wider,
            n_canary=self.canary_weight,
            n_control=self.control_weight,
            design_effect=self.design_effect,
        )

    @property
    def level_estimate(self) -> Estimate:
        """Estimate of the canary over all its stages, for comparison with a fixed number. Control is informative
        only."""
        return replace(self.paired_estimate, canary=self.level, error=self.level_error, n_canary=self.level_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDraft:
    """A comparison that still lacks its leave-one-out results, with its sums, shape (stages, 256, 2).

    `sides` are the sides on which there may be a finding. `has_fixed_reference` says that the canary's level alone may
    give one too.
    """

    comparison: ArmComparison
    entry: Metric
    canary: bucket_sums.Array
    control: bucket_sums.Array
    canary_alone: bucket_sums.Array
    sides: tuple[Side, ...]
    units: int
    has_fixed_reference: bool
    widening: float = 1.0  # of the standard error of a mean, where units are unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """Levels of many comparisons, one a row: those of all segments since the first start, since the second, and so on.

    Names are as in `ArmComparison`; `degrees_of_freedom` is empty unless the metric is a ratio.
    """

    canary: list[float]
    control: list[float]
    error: list[float]
    canary_weight: list[float]
    control_weight: list[float]
    level: list[float]
    level_error: list[float]
    level_weight: list[float]
    design_effect: list[float]
    degrees_of_freedom: list[float]
    has_readings: list[bool]


def draft_comparisons(
    question: Question,
    sums: EvidenceSums,
    key: str,
    cell: str,
    starts: Sequence[int],
    segments: Sequence[str] = (EVERYONE,),
) -> list[ComparisonDraft]:
    """Draft the comparisons of one cell of metric `key` since each of these stages, per segment that has a reading.

    `cell` is the metric's own cell, its capped one, or the one that counts readings above a threshold.
    """
    entry = question.entry_of(key)
    if is_exceedance_cell(cell):
        entry = replace(entry, kind=MetricKind.PROPORTION)
    stages = question.exposed_stages
    canary, control = (
        bucket_sums.read_metric_sums(sums, stages, arm, entry, cell, segments) for arm in (CANARY, CONTROL)
    )
    if not starts or not (canary[..., 0].any() or control[..., 0].any()):
        return []
    # Which stages count since each start: for the canary alone, and for the comparison of both arms.
    exposed = np.array([[stage >= since for stage in stages] for since in starts])
    paired = exposed & np.array([stage in question.compared_stages for stage in stages])
    readings = [arm[..., 0].sum(axis=-1) for arm in (canary, control)]
    if entry.kind is MetricKind.RATIO:
        readings = [
            np.array([bucket_sums.count_readings(sums, (stage,), arm, cell, segments) for stage in stages]).T
            for arm in (CANARY, CONTROL)
        ]
    rows = _compute_levels(entry.kind, canary, control, readings, exposed, paired)
    is_overall = segments == (EVERYONE,)
    widening = unknown_units.widen_error(question, cell)
    has_absolute_limit = any(one.is_absolute and one.metric == entry.key for one in question.criteria)
    hypotheses = [(one, of.side) for one in question.criteria if one.metric == key for of in build_harm_hypotheses(one)]
    if entry.kind is MetricKind.QUANTILE or is_exceedance_cell(cell) or is_overall:
        hypotheses = []
    drafts = []
    for row, (start, place) in enumerate(product(range(len(starts)), range(len(segments)))):
        if not rows.has_readings[row]:
            continue
        since, segment = starts[start], segments[place]
        of_canary, of_control, canary_alone = (
            canary[place, paired[start]],
            control[place, paired[start]],
            canary[place, exposed[start]],
        )
        if entry.quantile is not None:
            in_both, in_all = list(compress(stages, paired[start])), list(compress(stages, exposed[start]))
            numbers = _compare_quantile(sums, key, entry, segment, in_both, in_all, of_control, canary_alone)
        else:
            numbers = _compare_row(rows, row, entry, widening)
        comparison = ArmComparison(
            metric=cell,
            since=since,
            segment=segment,
            canary=_finite_or_none(numbers.canary),
            control=_finite_or_none(numbers.control),
            error=numbers.error,
            canary_weight=rows.canary_weight[row],
            control_weight=rows.control_weight[row],
            level=_finite_or_none(numbers.level),
            level_error=numbers.level_error,
            level_weight=rows.level_weight[row],
            design_effect=numbers.design_effect,
            assumed_units=unknown_units.count_assumed_units(question, cell, canary_alone),
            degrees_of_freedom=rows.degrees_of_freedom[row]
            if rows.degrees_of_freedom and isfinite(numbers.canary)
            else None,
        )
        # Only a limit that is a fixed number, and the past where no control is left, ask for the canary's level alone.
        has_fixed_reference = has_absolute_limit or since in question.stages_without_control[:1]
        checks_both_sides = has_fixed_reference or (segment == EVERYONE and since == question.current)
        sides = SIDES if checks_both_sides else _list_sides_to_check(hypotheses, numbers.canary, numbers.control)
        units = max(
            (sums.first_exposures.get((stage, CANARY), 0) for stage in stages if is_overall and stage >= since),
            default=0,
        )
        drafts.append(
            ComparisonDraft(
                comparison=comparison,
                entry=entry,
                canary=of_canary,
                control=of_control,
                canary_alone=canary_alone,
                sides=sides,
                units=units if comparison.assumed_units is None else round(comparison.assumed_units),
                has_fixed_reference=has_fixed_reference,
                widening=widening,
            )
        )
    return drafts


class _RowNumbers(NamedTuple):
    """Levels of one comparison, NaN if unknown, and their errors; a quantile has no error."""

    canary: float
    control: float
    level: float
    error: float | None
    level_error: float | None
    design_effect: float


def _compare_row(rows: _Levels, row: int, entry: Metric, widening: float) -> _RowNumbers:
    canary, control, level = rows.canary[row], rows.control[row], rows.level[row]
    error = floor_error(entry, widening * rows.error[row], max(abs(canary), abs(control)), rows.canary_weight[row])
    level_error = floor_error(entry, widening * rows.level_error[row], abs(level), rows.level_weight[row])
    return _RowNumbers(canary, control, level, error, level_error, rows.design_effect[row])


def _compare_quantile(
    sums: EvidenceSums,
    key: str,
    entry: Metric,
    segment: str,
    in_both: list[int],
    in_all: list[int],
    of_control: bucket_sums.Array,
    canary_alone: bucket_sums.Array,
) -> _RowNumbers:
    """Quantiles over the stages that have both arms, and the canary's over all that it was exposed in."""
    canary, control = (bucket_sums.merge_histograms(sums, in_both, arm, key, segment) for arm in (CANARY, CONTROL))
    alone = canary if in_all == in_both else bucket_sums.merge_histograms(sums, in_all, CANARY, key, segment)
    new, old, level = (_read_quantile(counts, entry) for counts in (canary, control, alone))
    design_effect = max(
        clustering.design_effect_of_mean(of_control, quantile.histogram_variance(control)),
        clustering.design_effect_of_mean(canary_alone, quantile.histogram_variance(alone)),
    )
    return _RowNumbers(new, old, level, None, None, design_effect)


def _compute_levels(
    kind: MetricKind,
    canary: bucket_sums.Array,
    control: bucket_sums.Array,
    readings: Sequence[bucket_sums.Array],
    exposed: NDArray[np.bool_],
    paired: NDArray[np.bool_],
) -> _Levels:
    """Levels of all segments since all starts at once.

    The sums have shape (segments, stages, 256, 2), both arms' `readings` (segments, stages), and the masks of stages
    (starts, stages).
    """
    stratified = mean.stratify_levels(canary, control, included=paired[:, np.newaxis])
    level, level_error = mean.pooled_level(canary, included=exposed[:, np.newaxis])
    canary_weight, control_weight, level_weight = (
        (of_arm[np.newaxis] * counted[:, np.newaxis]).sum(axis=-1).ravel().tolist()
        for of_arm, counted in ((readings[0], paired), (readings[1], paired), (readings[0], exposed))
    )
    has_canary = exposed @ canary[..., 0].sum(axis=-1).T > 0
    has_control = paired @ control[..., 0].sum(axis=-1).T > 0
    design_effect = np.where(
        has_control,
        compute_design_effects(kind, canary, control, included=paired),
        compute_design_effects(kind, canary, included=exposed),
    )
    return _Levels(
        canary=stratified.canary.ravel().tolist(),
        control=stratified.control.ravel().tolist(),
        error=stratified.standard_error().ravel().tolist(),
        canary_weight=canary_weight,
        control_weight=control_weight,
        level=level.ravel().tolist(),
        level_error=level_error.ravel().tolist(),
        level_weight=level_weight,
        design_effect=design_effect.ravel().tolist(),
        degrees_of_freedom=stratified.degrees_of_freedom().ravel().tolist() if kind is MetricKind.RATIO else [],
        has_readings=(has_canary | has_control).ravel().tolist(),
    )


def _list_sides_to_check(hypotheses: Sequence[tuple[Limit, Side]], canary: float, control: float) -> tuple[Side, ...]:
    """The side that the difference points to. In segments, of which there are many, only if it is beyond a limit."""
    side: Side = "greater" if canary > control else "less"
    if canary == control or (
        hypotheses and not any(of == side and is_beyond_limit(one, side, canary, control) for one, of in hypotheses)
    ):
        return ()
    return (side,)


def compute_margin_error(question: Question, sums: EvidenceSums, metric: str, since: int, ratio: float) -> float | None:
    """Standard error of canary - ratio * control of a mean since a stage; None when it is unknown."""
    paired = [stage for stage in question.compared_stages if stage >= since]
    if not paired:
        return None
    entry, cell = question.entry_of(metric), question.comparison_cell(metric)
    canary, control = (bucket_sums.read_metric_sums(sums, paired, arm, entry, cell) for arm in (CANARY, CONTROL))
    readings = float(bucket_sums.count_readings(sums, paired, CANARY, cell)[0])
    levels = mean.stratify_levels(canary, control)
    larger = float(np.maximum(np.abs(levels.canary), np.abs(levels.control))[0])
    error = unknown_units.widen_error(question, cell) * float(levels.standard_error(ratio)[0])
    return floor_error(entry, error, larger, readings)


def _read_quantile(counted: Mapping[int, int], entry: Metric) -> float:
    value = quantile.estimate_quantile(counted, entry.require_quantile())
    return float("nan") if value is None else value


def _finite_or_none(value: float) -> float | None:
    return value if isfinite(value) else None
