"""How a comparison stands without the bucket of units that speaks loudest, so that no finding rests on one bucket."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.judging.look import cells
from core.metrics.catalogue import Kind
from core.stats import clustering, leave_out, mean, proportion
from core.stats.checked import Side

Ints: TypeAlias = NDArray[np.int64]

FEW = 50
"""One in so many of the units seen so far may be liars: twice one in a hundred, as busy ones are seen first."""
LEAST = 3
"""So many at any rate."""
_DRAWN_IN = frozenset(Kind) - {Kind.MEAN, Kind.QUANTILE, Kind.COUNT}  # complaints are rare
HALF = 0.5
"""Of its evidence a finding has to keep without its loudest bucket; with less, only what is left counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """A standing without the bucket whose leaving takes most from one side.

    `share` is how much of a rate's evidence is left, at most 1, negative where it turns round; `error` a mean's own.
    `drawn_in` is the canary's rate where its loudest buckets count no more than the next one, None where `canary` says
    it all. `level*` are the canary's alone, without its own loudest buckets; only there where it is held against
    something fixed. None is unknown: nothing is left.
    """

    canary: float | None = None
    control: float | None = None
    canary_weight: float = 0.0
    drawn_in: float | None = None
    error: float | None = None
    share: float = 0.0
    design_effect: float = 1.0
    level: float | None = None
    level_error: float | None = None
    level_weight: float = 0.0
    level_design_effect: float = 1.0


def beside(kind: Kind, canary: cells.Array, control: cells.Array, side: Side, units: Ints) -> list[Without]:
    """For each of several cells, from sums of shape (cells, stages, buckets, 2) of the stages that have both arms.

    A rate's share is also what is left where the loudest buckets, as many as one in fifty of the canary's `units`,
    count no more than the next one.
    """
    if canary.shape[1] == 0:
        return [Without()] * canary.shape[0]
    found = leave_out.heaviest(canary, control, side=side)
    left, right = found.without(canary), found.without(control)
    levels = mean.stratified(left, right)
    errors = levels.error()
    shares, drawn_in = _shares(kind, canary, control, left, right), None
    if kind in _DRAWN_IN:
        drawn = leave_out.winsorised(canary, leave_out.usual_level(control, canary), _so_many(units))
        drawn_in = mean.stratified(drawn, control).canary
        shares = np.minimum(shares, _bounded(leave_out.evidence(drawn, control), leave_out.evidence(canary, control)))
    effects = design_effects(kind, left, right)
    return [
        Without(
            canary=_known(levels.canary[i]),
            control=_known(levels.control[i]),
            canary_weight=float(left[i, ..., 0].sum()),
            drawn_in=_known(drawn_in[i]) if drawn_in is not None else None,
            error=_known(errors[i]) if kind is Kind.MEAN else None,
            share=float(shares[i]),
            design_effect=float(effects[i]),
        )
        for i in range(canary.shape[0])
    ]


def alone(
    kind: Kind, arm: cells.Array, side: Side, units: Ints, usual: cells.Array, beside: Sequence[Without]
) -> list[Without]:
    """The same cells with their `level*`: one arm without its own loudest bucket.

    A rate's level is the one that says less for the side: that, or the one where the loudest buckets, as many as one in
    fifty of its `units`, count no more than the next one beyond the `usual` level (both of shape (cells,)).
    """
    if arm.shape[1] == 0:
        return list(beside)
    left = leave_out.heaviest_alone(arm, side=side).without(arm)
    levels, errors = mean.level(left)
    effects = design_effects(kind, left)
    if kind in _DRAWN_IN:
        many = _so_many(units)
        drawn = leave_out.winsorised(arm, usual[..., np.newaxis], many)
        # A bucket drawn up to the next one may be of fewer requests: it holds no more than all of them.
        drawn[..., 1] = np.minimum(drawn[..., 1], drawn[..., 0])
        bounded, _ = mean.level(drawn)
        less = bounded < levels if side == "greater" else bounded > levels
        # What is drawn in varies less than what it was drawn from. Source: Tukey and McLaughlin 1963.
        kept = 1 - 2 * np.minimum(many / arm.shape[-2], 0.25)
        levels = np.where(less, bounded, levels)
        effects = np.where(less, design_effects(kind, drawn) / kept**2, effects)
    return [
        replace(
            one,
            level=_known(levels[i]),
            level_error=_known(errors[i]),
            level_weight=float(left[i, ..., 0].sum()),
            level_design_effect=float(effects[i]),
        )
        for i, one in enumerate(beside)
    ]


def _so_many(units: Ints) -> Ints:
    return np.maximum(np.ceil(units / FEW), LEAST).astype(np.int64)


def design_effects(kind: Kind, *arms: cells.Array) -> cells.Array:
    """The larger of the arms' design effects: one unit that repeats itself weakens what it says in either of them."""
    segments = arms[0].shape[0]
    if kind in {Kind.MEAN, Kind.QUANTILE}:
        return np.ones(segments)
    found = [np.ones(segments)]
    for arm in arms:
        if arm.shape[1] == 0:
            continue
        weight, value = arm[..., 0], arm[..., 1]
        if kind is Kind.COUNT:  # complaints may outnumber the requests of their bucket
            weight = np.maximum(weight, value)
        found.append(clustering.design_effect(np.stack([weight, value], axis=-1)))
    return np.asarray(np.max(found, axis=0), dtype=np.float64)


def upheld(components: ArrayLike, effect: float, left: Without | None, share: float | None = None) -> float:
    """The log e-value of these components, as far as it does not rest on one bucket.

    All of it where at least half is left without the loudest bucket, else what is left. `share` replaces the one of
    `left` where the evidence is about the canary's level and not about a difference. It is never more than the
    e-process gives but for the design effect, which the loudest bucket no longer inflates.
    """
    logs = np.asarray(components, dtype=np.float64)
    whole = float(proportion.log_mean(logs / effect))
    if left is None or whole <= 0:
        return whole
    part, rest_effect = (left.share, left.design_effect) if share is None else (share, left.level_design_effect)
    if part <= 0:
        return 0.0
    rest = float(proportion.log_mean(logs * (part / rest_effect)))
    return max(whole, rest) if part >= HALF else rest


def upheld_mean(whole: float, rest: float) -> float:
    """The same of a mean, whose evidence without the loudest bucket is computed from what is left."""
    if whole <= 0:
        return whole
    return max(whole, rest) if rest >= HALF * whole else max(rest, 0.0)


def share_against(rate: float | None, weight: float, bound: float, left: Without) -> float:
    """How much of the evidence against a fixed rate is left."""
    if rate is None or left.level is None:
        return 0.0
    whole = weight * float(leave_out.divergence(min(rate, 1.0), bound))
    rest = left.level_weight * float(leave_out.divergence(min(left.level, 1.0), bound))
    turned = (rate > bound) != (left.level > bound)
    return 0.0 if turned or whole <= 0 else min(rest / whole, 1.0)


def _shares(
    kind: Kind, canary: cells.Array, control: cells.Array, left: cells.Array, right: cells.Array
) -> cells.Array:
    """Of the evidence as it is, what is left. A quantile's is read off the mean of its values: its histogram has no
    buckets."""
    if kind is Kind.MEAN:
        return np.zeros(canary.shape[0])
    if kind is not Kind.QUANTILE:
        return _bounded(leave_out.evidence(left, right), leave_out.evidence(canary, control))
    before, after = (mean.stratified(a, b) for a, b in ((canary, control), (left, right)))
    with np.errstate(all="ignore"):
        ratio = (after.canary - after.control) / (before.canary - before.control)
    return _bounded(np.sign(ratio) * ratio**2, np.ones(canary.shape[0]))


def _bounded(rest: cells.Array, whole: cells.Array) -> cells.Array:
    """What share of the whole the rest is, within -1 and 1; 0 where there is no whole."""
    with np.errstate(all="ignore"):
        shares = rest / whole
    return np.where(np.isfinite(shares), np.clip(shares, -1.0, 1.0), 0.0)


def _known(value: float) -> float | None:
    return float(value) if isfinite(value) else None
