"""Comparison of canary and control since a stage: stratified estimates, errors and design effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt

import numpy as np

from core.judging.look import cells, leave_one_out
from core.judging.look.leave_one_out import Without, design_effects
from core.judging.model.confidence_range import Seen
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, Sums
from core.judging.model.hypothesis import hypotheses, is_beyond
from core.judging.model.limits import Limit
from core.judging.model.question import Question
from core.judging.model.state import Baseline
from core.metrics.catalogue import CATALOGUE, Kind, Metric
from core.stats import clustering, mean, proportion, quantile
from core.stats.checked import Side

LEAST_SPREAD = 0.01
"""A mean's values are assumed to vary by at least 1 % of their level, so that constant values give no infinite
certainty."""

NOTHING = 1e-100
_SIDES: tuple[Side, ...] = ("greater", "less")
UNSURE = 0.01
"""Error probability alpha of the confidence sequence that bounds a past level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Comparison of one metric's cell over the stages from `since` on, overall or in one `segment`.

    `canary`, `control` and `error` (of their difference) come from the stages that have both arms, stratified by stage.
    `level` is the canary's alone, over all stages. None is unknown. Weights count requests. `design_effect` is the
    larger one of both arms. `more` and `less` are the comparison without the bucket that has most evidence for side
    "greater" or "less"; None if there is no evidence for that side.
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
    more: Without | None = None
    less: Without | None = None

    def without(self, side: Side) -> Without | None:
        """The comparison without the bucket with most evidence for a side; None if there is no evidence for it."""
        return self.more if side == "greater" else self.less

    @property
    def beside(self) -> Seen:
        """Estimate of both arms over the stages that have both."""
        return Seen(
            canary=self.canary,
            control=self.control,
            error=self.error,
            n_canary=self.canary_weight,
            n_control=self.control_weight,
            design_effect=self.design_effect,
        )

    @property
    def alone(self) -> Seen:
        """Estimate of the canary over all its stages, for comparison with a fixed number. Control is informative
        only."""
        return replace(self.beside, canary=self.level, error=self.level_error, n_canary=self.level_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A comparison that still lacks its leave-one-out results, with its sums, shape (stages, 256, 2).

    `sides` are the sides on which there may be a finding. `has_fixed_reference` says that the canary's level alone may
    give one too.
    """

    standing: Standing
    entry: Metric
    canary: cells.Array
    control: cells.Array
    alone: cells.Array
    sides: tuple[Side, ...]
    units: int
    fixed: bool


def standings(
    question: Question, sums: Sums, key: str, cell: str, since: int, segments: Sequence[str] = (EVERYONE,)
) -> list[Draft]:
    """Draft the comparisons of one cell of metric `key` since a stage, one per segment that has a reading.

    `cell` is the metric's own cell, its capped one, or the one that counts readings above a threshold.
    """
    entry = CATALOGUE[key] if ">" not in cell else replace(CATALOGUE[key], kind=Kind.PROPORTION)
    everywhere = [stage for stage in question.exposed if stage >= since]
    paired = [stage for stage in question.compared if stage >= since]
    canary, control = (cells.stages(sums, paired, arm, cell, segments) for arm in (CANARY, CONTROL))
    alone = canary if paired == everywhere else cells.stages(sums, everywhere, CANARY, cell, segments)
    level, level_error = mean.level(alone)
    sides = _Sides(len(segments)) if not paired else _Sides.of(canary, control)
    effects = design_effects(entry.kind, *((canary, control) if paired else (alone,)))
    here = segments == (EVERYONE,)
    units = max((sums.first_exposures.get((stage, CANARY), 0) for stage in everywhere if here), default=0)
    fixed = any(one.absolute and one.metric == entry.key for one in question.criteria) or bool(question.alone)
    asked = [(one, of.side) for one in question.criteria if one.metric == key for of in hypotheses(one)]
    if entry.kind is Kind.QUANTILE or ">" in cell or here:
        asked = []
    found = []
    for i, segment in enumerate(segments):
        if not (alone[i, ..., 0].any() or control[i, ..., 0].any()):
            continue
        left, right, own = sides.canary[i], sides.control[i], float(level[i])
        effect = float(effects[i])
        if entry.quantile is not None:
            left, right = (_quantile(sums, paired, arm, entry, segment) for arm in (CANARY, CONTROL))
            own = _quantile(sums, everywhere, CANARY, entry, segment)
            effect = max(
                _effect_of_values(sums, paired, CONTROL, key, segment, control[i]),
                _effect_of_values(sums, everywhere, CANARY, key, segment, alone[i]),
            )
        elif paired and not control[i, ..., 0].any():
            effect = float(design_effects(entry.kind, alone[i : i + 1])[0])
        spread = max(abs(left), abs(right))
        standing = Standing(
            metric=cell,
            since=since,
            segment=segment,
            canary=_known(left),
            control=_known(right),
            error=None if entry.quantile is not None else floored(entry, sides.error[i], spread, canary[i]),
            canary_weight=float(canary[i, ..., 0].sum()),
            control_weight=float(control[i, ..., 0].sum()),
            level=_known(own),
            level_error=None
            if entry.quantile is not None
            else floored(entry, float(level_error[i]), abs(float(level[i])), alone[i]),
            level_weight=float(alone[i, ..., 0].sum()),
            design_effect=effect,
        )
        both = fixed or (segment == EVERYONE and since == question.current)
        found.append(
            Draft(
                standing=standing,
                entry=entry,
                canary=canary[i],
                control=control[i],
                alone=alone[i],
                sides=_SIDES if both else _spoken(asked, left, right),
                units=units,
                fixed=fixed,
            )
        )
    return found


def _spoken(asked: Sequence[tuple[Limit, Side]], left: float, right: float) -> tuple[Side, ...]:
    """The side that the difference points to. In segments, of which there are many, only if it is beyond a limit."""
    side: Side = "greater" if left > right else "less"
    if left == right or (asked and not any(of == side and is_beyond(one, side, left, right) for one, of in asked)):
        return ()
    return (side,)


def completed(drafts: Sequence[Draft], fixed: Mapping[str, float]) -> list[Standing]:
    """The comparisons with their leave-one-out results, computed for all cells of a kind at once.

    `reference_levels` are, by cell, what the level is compared with other than control: a limit or control's past.
    """
    found: dict[tuple[int, Side], Without] = {}
    for side in _SIDES:
        alike: dict[tuple[Kind, bool], list[int]] = {}
        for number, draft in enumerate(drafts):
            if side in draft.sides:
                alike.setdefault((draft.entry.kind, draft.fixed), []).append(number)
        for (kind, alone), numbers in alike.items():
            of = [drafts[number] for number in numbers]
            canary, control = _stacked([one.canary for one in of]), _stacked([one.control for one in of])
            units = np.array([one.units for one in of])
            left = leave_one_out.beside(kind, canary, control, side, units)
            if alone:
                usual = np.array([fixed.get(one.standing.metric, one.standing.level or 0.0) for one in of])
                left = leave_one_out.alone(kind, _stacked([one.alone for one in of]), side, units, usual, left)
            found |= {(number, side): _finished(drafts[number], one) for number, one in zip(numbers, left, strict=True)}
    return [
        replace(draft.standing, more=found.get((number, "greater")), less=found.get((number, "less")))
        for number, draft in enumerate(drafts)
    ]


def _stacked(arms: Sequence[cells.Array]) -> cells.Array:
    """Stack the sums of several cells to shape (cells, stages, 256, 2); missing stages are zero."""
    found = np.zeros((len(arms), max(arm.shape[0] for arm in arms), *arms[0].shape[1:]))
    for row, arm in zip(found, arms, strict=True):
        row[: arm.shape[0]] = arm
    return found


def _finished(draft: Draft, left: Without) -> Without:
    entry = draft.entry
    if entry.kind is Kind.QUANTILE:
        return replace(left, design_effect=draft.standing.design_effect)
    if entry.kind is not Kind.MEAN:
        return left
    return replace(
        left,
        error=_floored_at(entry, left.error, (left.canary, left.control), draft.canary),
        level_error=_floored_at(entry, left.level_error, (left.level,), draft.alone),
    )


def _floored_at(entry: Metric, error: float | None, levels: tuple[float | None, ...], arm: cells.Array) -> float | None:
    known = [abs(level) for level in levels if level is not None]
    if error is None or len(known) < len(levels):
        return None
    return floored(entry, error, max(known), arm)


def _effect_of_values(
    sums: Sums, stages: Sequence[int], arm: str, key: str, segment: str, source: cells.Array
) -> float:
    if not source[..., 0].any():
        return 1.0
    counted = cells.histogram(sums, stages, arm, key, segment)
    return float(clustering.design_effect_of_mean(source, _variance(counted)))


def baselines(question: Question, sums: Sums, metrics: Sequence[str]) -> Mapping[str, Baseline]:
    """Control's level over all stages that had one, by metric."""
    found = ((metric, _baseline(question, sums, CATALOGUE[metric])) for metric in metrics if question.compared)
    return {metric: baseline for metric, baseline in found if baseline is not None}


def _baseline(question: Question, sums: Sums, entry: Metric) -> Baseline | None:
    if entry.quantile is not None:
        counted = cells.histogram(sums, question.compared, CONTROL, entry.key)
        value = quantile.quantile(counted, entry.quantile)
        if value is None:
            return None
        low, high = (quantile.quantile(counted, q) for q in _around(entry.quantile, sum(counted.values())))
        return Baseline(value=value, error=None, low=low, high=high)
    arm = cells.stages(sums, question.compared, CONTROL, question.cell(entry.key))
    levels, errors = mean.level(arm)
    level = float(levels[0])
    if not isfinite(level):
        return None
    error = floored(entry, float(errors[0]), level, arm)
    if entry.kind is Kind.MEAN:
        return Baseline(value=level, error=error)
    low, high = _around(level, float(arm[..., 0].sum()) / float(design_effects(entry.kind, arm)[0]))
    return Baseline(value=level, error=error, low=low, high=high)


def _around(rate: float, trials: float) -> tuple[float, float]:
    """Confidence sequence of a past rate, so that its own error is not mistaken for harm."""
    return proportion.confidence_sequence(min(rate, 1.0) * trials, trials, alpha=UNSURE)


def margin_error(question: Question, sums: Sums, metric: str, since: int, ratio: float) -> float | None:
    """Standard error of canary - ratio * control of a mean since a stage; None when it is unknown."""
    paired = [stage for stage in question.compared if stage >= since]
    if not paired:
        return None
    canary, control = (cells.stages(sums, paired, arm, question.cell(metric)) for arm in (CANARY, CONTROL))
    levels = mean.stratified(canary, control)
    larger = float(np.maximum(np.abs(levels.canary), np.abs(levels.control))[0])
    return floored(CATALOGUE[metric], float(levels.error(ratio)[0]), larger, canary[0])


def floored(entry: Metric, error: float, level: float, arm: cells.Array) -> float | None:
    """The error, raised for a mean to that of values that vary by `MIN_RELATIVE_SPREAD`.

    None when it is unknown; 0 when it is too small to be squared.
    """
    if not isfinite(error):
        return None
    if entry.kind is Kind.MEAN and isfinite(level):
        error = max(error, LEAST_SPREAD * level / sqrt(float(arm[..., 0].sum())))
    return error if error > NOTHING else 0.0


class _Sides:
    """Both arms' levels and the error of their difference, by segment; NaN and inf if no stage has both arms."""

    def __init__(self, segments: int) -> None:
        unknown = [float("nan")] * segments
        self.canary, self.control, self.error = unknown, unknown, [float("inf")] * segments

    @classmethod
    def of(cls, canary: cells.Array, control: cells.Array) -> "_Sides":
        levels = mean.stratified(canary, control)
        sides = cls(0)
        sides.canary, sides.control = levels.canary.tolist(), levels.control.tolist()
        sides.error = levels.error().tolist()
        return sides


def _quantile(sums: Sums, stages: Sequence[int], arm: str, entry: Metric, segment: str) -> float:
    assert entry.quantile is not None
    value = quantile.quantile(cells.histogram(sums, stages, arm, entry.key, segment), entry.quantile)
    return float("nan") if value is None else value


def _variance(counts: Mapping[int, int]) -> float:
    total = sum(counts.values())
    if total < 2:
        return 0.0
    values = np.array([quantile.value_of(position) for position in counts])
    weights = np.array(list(counts.values()), dtype=np.float64)
    centre = float((weights * values).sum()) / total
    return float((weights * (values - centre) ** 2).sum()) / (total - 1)


def _known(value: float) -> float | None:
    return value if isfinite(value) else None
