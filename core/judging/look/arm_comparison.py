"""Comparison of canary and control since a stage: stratified estimates, errors and design effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import isfinite, sqrt

import numpy as np

from core.judging.limits.hypothesis import build_harm_hypotheses, is_beyond_limit
from core.judging.limits.limits import Limit
from core.judging.look import bucket_sums, leave_one_out, unknown_units
from core.judging.look.leave_one_out import LeaveOneOut, compute_design_effects
from core.judging.model.confidence_range import ALPHA, Estimate
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, EvidenceSums, is_exceedance_cell
from core.judging.model.question import Question
from core.judging.model.state import Baseline
from core.metrics.catalogue import Metric, MetricKind
from core.stats import clustering, quantile
from core.stats.fixed_horizon.horizon import widen_for_few_degrees
from core.stats.input_checks import Side
from core.stats.sequential import mean, proportion

MIN_RELATIVE_SPREAD = 0.01
"""A mean's values are assumed to vary by at least 1 % of their level, so that constant values give no infinite
certainty."""

NEGLIGIBLE_ERROR = 1e-100
_SIDES: tuple[Side, ...] = ("greater", "less")
BASELINE_ALPHA = 0.01
"""Error probability alpha of the confidence sequence that bounds a past level."""


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
        wider = 1.0 if few is None else widen_for_few_degrees(few, alpha=ALPHA)
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
    everywhere = question.exposed_stages
    of_arm = {
        arm: bucket_sums.read_metric_sums(sums, everywhere, arm, entry, cell, segments) for arm in (CANARY, CONTROL)
    }
    if not starts or not (of_arm[CANARY][..., 0].any() or of_arm[CONTROL][..., 0].any()):
        return []
    ratio = entry.kind is MetricKind.RATIO
    readings = {
        arm: np.array([_count_readings(sums, (stage,), arm, cell, segments) for stage in everywhere]).T
        if ratio
        else of_arm[arm][..., 0].sum(axis=-1)
        for arm in (CANARY, CONTROL)
    }
    # One row for each start and segment, start by start.
    included = np.array([[stage >= since for stage in everywhere] for since in starts])
    compared = included & np.array([stage in question.compared_stages for stage in everywhere])
    canary, control = of_arm[CANARY], of_arm[CONTROL]
    counts = [
        (readings[arm][np.newaxis] * which[:, np.newaxis]).sum(axis=-1).ravel().tolist()
        for arm, which in ((CANARY, compared), (CONTROL, compared), (CANARY, included))
    ]
    levels, level_errors = (
        each.ravel().tolist() for each in mean.pooled_level(canary, included=included[:, np.newaxis])
    )
    sides = mean.stratify_levels(canary, control, included=compared[:, np.newaxis])
    lefts, rights, errors = (each.ravel().tolist() for each in (sides.canary, sides.control, sides.standard_error()))
    weights = {arm: of_arm[arm][..., 0].sum(axis=-1).T for arm in (CANARY, CONTROL)}
    in_control = compared @ weights[CONTROL] > 0
    effects = np.where(
        in_control,
        compute_design_effects(entry.kind, canary, control, included=compared),
        compute_design_effects(entry.kind, canary, included=included),
    ).ravel()
    freedom = sides.degrees_of_freedom().ravel().tolist() if ratio else []
    has_readings = ((included @ weights[CANARY] > 0) | in_control).ravel()
    here = segments == (EVERYONE,)
    widening = unknown_units.widen_error(question, cell)
    absolute = any(one.is_absolute and one.metric == entry.key for one in question.criteria)
    asked = [(one, of.side) for one in question.criteria if one.metric == key for of in build_harm_hypotheses(one)]
    if entry.kind is MetricKind.QUANTILE or is_exceedance_cell(cell) or here:
        asked = []
    found = []
    for row, (number, place) in enumerate(product(range(len(starts)), range(len(segments)))):
        if not has_readings[row]:
            continue
        since, left, right, own, effect = starts[number], lefts[row], rights[row], levels[row], float(effects[row])
        exposed, paired, segment = included[number], compared[number], segments[place]
        both_arms, alone = (canary[place, paired], control[place, paired]), canary[place, exposed]
        if entry.quantile is not None:
            in_both, in_all = (
                [stage for stage, yes in zip(everywhere, which, strict=True) if yes] for which in (paired, exposed)
            )
            new, old = (bucket_sums.merge_histograms(sums, in_both, arm, key, segment) for arm in (CANARY, CONTROL))
            everything = bucket_sums.merge_histograms(sums, in_all, CANARY, key, segment) if in_all != in_both else new
            left, right, own = (_read_quantile(counted, entry) for counted in (new, old, everything))
            effect = max(
                _design_effect_of_values(old, both_arms[1]),
                _design_effect_of_values(everything, alone),
            )
        standing = ArmComparison(
            metric=cell,
            since=since,
            segment=segment,
            canary=_finite_or_none(left),
            control=_finite_or_none(right),
            error=None
            if entry.quantile is not None
            else floor_error(entry, widening * errors[row], max(abs(left), abs(right)), counts[0][row]),
            canary_weight=counts[0][row],
            control_weight=counts[1][row],
            level=_finite_or_none(own),
            level_error=None
            if entry.quantile is not None
            else floor_error(entry, widening * level_errors[row], abs(levels[row]), counts[2][row]),
            level_weight=counts[2][row],
            design_effect=effect,
            assumed_units=unknown_units.count_assumed_units(question, cell, alone),
            degrees_of_freedom=freedom[row] if ratio and isfinite(left) else None,
        )
        # Only a limit that is a fixed number, and the past where no control is left, ask for the canary's level alone.
        fixed = absolute or since in question.stages_without_control[:1]
        both = fixed or (segment == EVERYONE and since == question.current)
        units = max(
            (sums.first_exposures.get((stage, CANARY), 0) for stage in everywhere if here and stage >= since), default=0
        )
        found.append(
            ComparisonDraft(
                comparison=standing,
                entry=entry,
                canary=both_arms[0],
                control=both_arms[1],
                canary_alone=alone,
                sides=_SIDES if both else _sides_to_check(asked, left, right),
                units=units if standing.assumed_units is None else round(standing.assumed_units),
                has_fixed_reference=fixed,
                widening=widening,
            )
        )
    return found


def _sides_to_check(hypotheses: Sequence[tuple[Limit, Side]], left: float, right: float) -> tuple[Side, ...]:
    """The side that the difference points to. In segments, of which there are many, only if it is beyond a limit."""
    side: Side = "greater" if left > right else "less"
    if left == right or (
        hypotheses and not any(of == side and is_beyond_limit(one, side, left, right) for one, of in hypotheses)
    ):
        return ()
    return (side,)


def complete_comparisons(
    drafts: Sequence[ComparisonDraft], reference_levels: Mapping[str, float]
) -> list[ArmComparison]:
    """The comparisons with their leave-one-out results, computed for all cells of a kind at once.

    `reference_levels` are, by cell, what the level is compared with other than control: a limit or control's past.
    """
    found: dict[tuple[int, Side], LeaveOneOut] = {}
    for side in _SIDES:
        alike: dict[tuple[MetricKind, bool], list[int]] = {}
        for number, draft in enumerate(drafts):
            if side in draft.sides:
                alike.setdefault((draft.entry.kind, draft.has_fixed_reference), []).append(number)
        for (kind, alone), numbers in alike.items():
            of = [drafts[number] for number in numbers]
            canary, control = _stack_cells([one.canary for one in of]), _stack_cells([one.control for one in of])
            units = np.array([one.units for one in of])
            left = leave_one_out.compare_without_loudest_bucket(kind, canary, control, side, units)
            if alone:
                usual = np.array(
                    [reference_levels.get(one.comparison.metric, one.comparison.level or 0.0) for one in of]
                )
                left = leave_one_out.add_level_without_loudest_bucket(
                    kind, _stack_cells([one.canary_alone for one in of]), side, units, usual, left
                )
            found |= {
                (number, side): _apply_error_floor(drafts[number], one)
                for number, one in zip(numbers, left, strict=True)
            }
    return [
        replace(draft.comparison, more=found.get((number, "greater")), less=found.get((number, "less")))
        for number, draft in enumerate(drafts)
    ]


def _stack_cells(arms: Sequence[bucket_sums.Array]) -> bucket_sums.Array:
    """Stack the sums of several cells to shape (cells, stages, 256, 2); missing stages are zero."""
    found = np.zeros((len(arms), max(arm.shape[0] for arm in arms), *arms[0].shape[1:]))
    for row, arm in zip(found, arms, strict=True):
        row[: arm.shape[0]] = arm
    return found


def _apply_error_floor(draft: ComparisonDraft, leave_one_out_result: LeaveOneOut) -> LeaveOneOut:
    entry = draft.entry
    if entry.kind is MetricKind.QUANTILE:
        effect = draft.comparison.design_effect
        return replace(leave_one_out_result, design_effect=effect, level_design_effect=effect)
    if not entry.is_average:
        return leave_one_out_result
    return replace(
        leave_one_out_result,
        error=_floor_error_at_levels(
            draft,
            leave_one_out_result.error,
            (leave_one_out_result.canary, leave_one_out_result.control),
            draft.comparison.canary_weight,
        ),
        level_error=_floor_error_at_levels(
            draft, leave_one_out_result.level_error, (leave_one_out_result.level,), draft.comparison.level_weight
        ),
    )


def _floor_error_at_levels(
    draft: ComparisonDraft, error: float | None, levels: tuple[float | None, ...], readings: float
) -> float | None:
    known = [abs(level) for level in levels if level is not None]
    if error is None or len(known) < len(levels):
        return None
    return floor_error(draft.entry, draft.widening * error, max(known), readings)


def _design_effect_of_values(counted: Mapping[int, int], source: bucket_sums.Array) -> float:
    if not source[..., 0].any():
        return 1.0
    return float(clustering.design_effect_of_mean(source, _histogram_variance(counted)))


def build_baselines(question: Question, sums: EvidenceSums, metrics: Sequence[str]) -> Mapping[str, Baseline]:
    """Control's level over all stages that had one, by metric."""
    found = (
        (metric, _build_baseline(question, sums, question.entry_of(metric)))
        for metric in metrics
        if question.compared_stages
    )
    return {metric: baseline for metric, baseline in found if baseline is not None}


def _build_baseline(question: Question, sums: EvidenceSums, entry: Metric) -> Baseline | None:
    if entry.quantile is not None:
        counted = bucket_sums.merge_histograms(sums, question.compared_stages, CONTROL, entry.key)
        value = quantile.estimate_quantile(counted, entry.quantile)
        if value is None:
            return None
        source = bucket_sums.read_metric_sums(sums, question.compared_stages, CONTROL, entry, entry.key)[0]
        effect = _design_effect_of_values(counted, source)
        low, high = (
            quantile.estimate_quantile(counted, q)
            for q in bound_past_rate(entry.quantile, sum(counted.values()), effect)
        )
        return Baseline(value=value, error=None, low=low, high=high)
    cell = question.comparison_cell(entry.key)
    arm = bucket_sums.read_metric_sums(sums, question.compared_stages, CONTROL, entry, cell)
    readings = float(_count_readings(sums, question.compared_stages, CONTROL, cell, (EVERYONE,))[0])
    levels, errors = mean.pooled_level(arm)
    level = float(levels[0])
    if not isfinite(level):
        return None
    error = floor_error(entry, unknown_units.widen_error(question, cell) * float(errors[0]), level, readings)
    if entry.is_average:
        return Baseline(value=level, error=error)
    trials, effect = float(arm[..., 0].sum()), float(compute_design_effects(entry.kind, arm)[0])
    low, high = bound_past_rate(level, trials, effect)
    return Baseline(value=level, error=error, low=low, high=high, readings=trials, design_effect=effect)


def bound_past_rate(rate: float, trials: float, design_effect: float) -> tuple[float, float]:
    """Confidence sequence of a past rate, so that its own error is not mistaken for harm."""
    counted = trials / design_effect
    return proportion.confidence_sequence(min(rate, 1.0) * counted, counted, alpha=BASELINE_ALPHA)


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


def compute_margin_error(question: Question, sums: EvidenceSums, metric: str, since: int, ratio: float) -> float | None:
    """Standard error of canary - ratio * control of a mean since a stage; None when it is unknown."""
    paired = [stage for stage in question.compared_stages if stage >= since]
    if not paired:
        return None
    entry, cell = question.entry_of(metric), question.comparison_cell(metric)
    canary, control = (bucket_sums.read_metric_sums(sums, paired, arm, entry, cell) for arm in (CANARY, CONTROL))
    readings = float(_count_readings(sums, paired, CANARY, cell, (EVERYONE,))[0])
    levels = mean.stratify_levels(canary, control)
    larger = float(np.maximum(np.abs(levels.canary), np.abs(levels.control))[0])
    error = unknown_units.widen_error(question, cell) * float(levels.standard_error(ratio)[0])
    return floor_error(entry, error, larger, readings)


def floor_error(entry: Metric, error: float, level: float, readings: float) -> float | None:
    """The error, raised for a mean or ratio to that of `readings` values that vary by `MIN_RELATIVE_SPREAD`.

    None when it is unknown; 0 when it is too small to be squared.
    """
    if not isfinite(error):
        return None
    if entry.is_average and isfinite(level):
        error = max(error, MIN_RELATIVE_SPREAD * level / sqrt(readings))
    return error if error > NEGLIGIBLE_ERROR else 0.0


def _count_readings(
    sums: EvidenceSums, stages: Sequence[int], arm: str, cell: str, segments: Sequence[str]
) -> bucket_sums.Array:
    """Readings of one arm over these stages, by segment."""
    return np.asarray(bucket_sums.read_bucket_sums(sums, stages, arm, cell, segments)[..., 0].sum((1, 2)))


def _read_quantile(counted: Mapping[int, int], entry: Metric) -> float:
    value = quantile.estimate_quantile(counted, entry.require_quantile())
    return float("nan") if value is None else value


def _histogram_variance(counts: Mapping[int, int]) -> float:
    total = sum(counts.values())
    if total < 2:
        return 0.0
    values = np.array([quantile.bin_value(position) for position in counts])
    weights = np.array(list(counts.values()), dtype=np.float64)
    centre = float((weights * values).sum()) / total
    return float((weights * (values - centre) ** 2).sum()) / (total - 1)


def _finite_or_none(value: float) -> float | None:
    return value if isfinite(value) else None
