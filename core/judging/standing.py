"""How canary and control stand since a stage: stratified estimates, errors and design effects, from the sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from core.judging import cells
from core.judging.evidence import CANARY, CONTROL, Sums
from core.judging.question import Question
from core.judging.state import Baseline
from core.metrics.catalogue import CATALOGUE, Kind, Metric
from core.stats import clustering, mean, quantile

LEAST_SPREAD = 0.01
"""A mean's values are taken to vary by at least 1 % of their level, so that constant ones give a finite certainty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One metric over the stages from `since` on.

    `canary`, `control` and `error` (of their difference) come from the stages that have both arms, each stage compared
    within itself; `level` is the canary's alone, over all stages. None is unknown. Weights count requests.
    """

    metric: str
    since: int
    canary: float | None
    control: float | None
    error: float | None
    canary_weight: float
    control_weight: float
    level: float | None
    level_error: float | None
    level_weight: float
    design_effect: float


def standings(question: Question, sums: Sums) -> tuple[Standing, ...]:
    """Metrics with a limit since every stage, watched ones over the stage under way; none where nothing came in."""
    limited = dict.fromkeys(limit.metric for limit in question.limits if not limit.per_category)
    found = [standing(question, sums, metric, since) for metric in limited for since in question.exposed]
    if question.current in question.exposed:
        found += [standing(question, sums, key, question.current) for key in question.watched if key not in limited]
    return tuple(one for one in found if one is not None)


def standing(question: Question, sums: Sums, metric: str, since: int) -> Standing | None:
    """One metric over the stages from `since` on; None when neither arm has anything."""
    entry = CATALOGUE[metric]
    all_stages = [stage for stage in question.exposed if stage >= since]
    paired = [stage for stage in question.compared if stage >= since]
    canary, control = (cells.stages(sums, paired, arm, metric) for arm in (CANARY, CONTROL))
    everywhere = cells.stages(sums, all_stages, CANARY, metric)
    if not (everywhere[..., 0].any() or control[..., 0].any()):
        return None
    left, right, error = _compare(sums, entry, paired, canary, control)
    level, level_error = mean.level(everywhere)
    alone = _known(level)
    if entry.quantile is not None:
        alone = quantile.quantile(cells.histogram(sums, all_stages, CANARY, metric), entry.quantile)
    judged_by = control if control[..., 0].any() else everywhere
    return Standing(
        metric=metric,
        since=since,
        canary=left,
        control=right,
        error=error,
        canary_weight=float(canary[..., 0].sum()),
        control_weight=float(control[..., 0].sum()),
        level=alone,
        level_error=None if entry.quantile is not None else _floored(entry, level_error, level, everywhere),
        level_weight=float(everywhere[..., 0].sum()),
        design_effect=_design_effect(entry, judged_by, sums, paired if judged_by is control else all_stages),
    )


def baselines(question: Question, sums: Sums) -> Mapping[str, Baseline]:
    """Control's level over all stages that had one, per metric that is compared with it."""
    found: dict[str, Baseline] = {}
    for metric in dict.fromkeys(
        [limit.metric for limit in question.limits if not limit.per_category] + [*question.watched]
    ):
        entry = CATALOGUE[metric]
        if entry.quantile is not None:
            value = quantile.quantile(cells.histogram(sums, question.compared, CONTROL, metric), entry.quantile)
            if value is not None:
                found[metric] = Baseline(value=value, error=None)
        elif question.compared:
            level, error = mean.level(cells.stages(sums, question.compared, CONTROL, metric))
            if isfinite(float(level)):
                found[metric] = Baseline(value=float(level), error=float(error))
    return found


def margin_error(question: Question, sums: Sums, metric: str, since: int, ratio: float) -> float | None:
    """The standard error of canary - ratio * control since a stage; None when it is unknown."""
    paired = [stage for stage in question.compared if stage >= since]
    if not paired:
        return None
    canary, control = (cells.stages(sums, paired, arm, metric) for arm in (CANARY, CONTROL))
    levels = mean.stratified(canary, control)
    larger = np.maximum(np.abs(levels.canary), np.abs(levels.control))
    return _floored(CATALOGUE[metric], mean.contrast(canary, control, ratio=ratio)[1], larger, canary)


def _compare(
    sums: Sums, entry: Metric, paired: Sequence[int], canary: cells.Array, control: cells.Array
) -> tuple[float | None, float | None, float | None]:
    if not paired:
        return None, None, None
    if entry.quantile is not None:
        left, right = (
            quantile.quantile(cells.histogram(sums, paired, arm, entry.key), entry.quantile)
            for arm in (CANARY, CONTROL)
        )
        return left, right, None
    levels = mean.stratified(canary, control)
    larger = np.maximum(np.abs(levels.canary), np.abs(levels.control))
    error = _floored(entry, mean.contrast(canary, control)[1], larger, canary)
    return _known(levels.canary), _known(levels.control), error


def _design_effect(entry: Metric, arm: cells.Array, sums: Sums, stages: Sequence[int]) -> float:
    if not stages or entry.kind is Kind.MEAN:
        return 1.0
    if entry.kind is Kind.QUANTILE:
        side = CONTROL if cells.histogram(sums, stages, CONTROL, entry.key) else CANARY
        return float(clustering.design_effect_of_mean(arm, _variance(cells.histogram(sums, stages, side, entry.key))))
    if entry.kind is Kind.COUNT:  # complaints may outnumber the requests of their bucket
        arm = np.stack([np.maximum(arm[..., 0], arm[..., 1]), arm[..., 1]], axis=-1)
    return float(clustering.design_effect(arm))


def _variance(counts: Mapping[int, int]) -> float:
    total = sum(counts.values())
    if total < 2:
        return 0.0
    values = np.array([quantile.value_of(position) for position in counts])
    weights = np.array(list(counts.values()), dtype=np.float64)
    centre = float((weights * values).sum()) / total
    return float((weights * (values - centre) ** 2).sum()) / (total - 1)


def _floored(entry: Metric, error: cells.Array, level: cells.Array, arm: cells.Array) -> float | None:
    found = _known(error)
    if found is None or entry.kind is not Kind.MEAN:
        return found
    return max(found, LEAST_SPREAD * abs(float(level)) / sqrt(float(arm[..., 0].sum())))


def _known(value: cells.Array) -> float | None:
    number = float(value)
    return number if isfinite(number) else None
