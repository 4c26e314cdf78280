"""Comparisons without their loudest bucket of units, so that no finding rests on a single bucket."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.judging.look import bucket_sums
from core.metrics.catalogue import AVERAGES, MetricKind
from core.stats import clustering, heaviest_bucket
from core.stats.input_checks import Side
from core.stats.sequential import mean, proportion

Ints: TypeAlias = NDArray[np.int64]

UNITS_PER_OUTLIER = 50
"""One in this many units may be an outlier: twice one in a hundred, as busy units are seen first."""
MIN_OUTLIER_BUCKETS = 5
"""Outlier buckets to allow for at least beside control: three of the first thirty who ask may be robots."""
MIN_OUTLIER_BUCKETS_OF_LEVEL = 3
"""The same for an arm alone: the range of the past allows for how much units differ as well."""
# counted events are too rare to winsorise
_WINSORISED_KINDS = frozenset(MetricKind) - {MetricKind.COUNT}
REQUIRED_SHARE = 0.5
"""Share of its evidence that a finding must keep without its loudest bucket; below it only the rest counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """A comparison without the bucket whose removal weakens one side most. None is unknown: nothing is left.

    `share` is the share of a rate's evidence that remains, at most 1, negative if it reverses. `error` is that of a
    mean. `drawn_in` is the canary's level with its loudest buckets winsorised, None for kinds that are not winsorised;
    `level_drawn_in` is that of the canary alone, around another reference than control.
    `level*` describe the canary alone without its own loudest buckets, only where it is compared with a fixed number or
    with the past. Of a quantile they are about the mean of its values; `level_share` is the share of its evidence
    against the past that remains, None for other kinds.
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
    level_share: float | None = None
    level_drawn_in: float | None = None


def compare_without_loudest_bucket(
    kind: MetricKind, canary: bucket_sums.Array, control: bucket_sums.Array, side: Side, units: Ints
) -> list[LeaveOneOut]:
    """Each cell's comparison without its loudest bucket.

    The sums have shape (cells, stages, buckets, 2) and cover the stages that have both arms. A rate's `share` also
    allows for outliers: it is at most what remains after winsorising one in fifty of the canary's `units`.
    """
    if canary.shape[1] == 0:
        return [LeaveOneOut()] * canary.shape[0]
    found = heaviest_bucket.find_heaviest_bucket(canary, control, side=side)
    left, right = found.remove_from(canary), found.remove_from(control)
    levels = mean.stratify_levels(left, right)
    errors = levels.standard_error() if kind in AVERAGES else None
    drawn_in = None
    if kind in AVERAGES:
        shares = np.zeros(canary.shape[0])
    elif kind is MetricKind.QUANTILE:
        # Histograms have no buckets, so the share is that of the mean of the values.
        whole = mean.stratify_levels(canary, control)
        shares = _share_of_distance(levels.canary, whole.canary, levels.control, whole.control)
    else:
        evidence = heaviest_bucket.signed_log_likelihood_ratio(canary, control)
        shares = _bounded_ratio(heaviest_bucket.signed_log_likelihood_ratio(left, right), evidence)
    if kind in _WINSORISED_KINDS:
        drawn = heaviest_bucket.winsorise_buckets(
            canary, heaviest_bucket.reference_level(control, canary), _count_outlier_buckets(units, MIN_OUTLIER_BUCKETS)
        )
        drawn_in = mean.stratify_levels(drawn, control).canary
        if kind not in AVERAGES and kind is not MetricKind.QUANTILE:
            shares = np.minimum(
                shares,
                _bounded_ratio(heaviest_bucket.signed_log_likelihood_ratio(drawn, control), evidence),
            )
    effects = compute_design_effects(kind, left, right)
    return [
        LeaveOneOut(
            canary=_finite_or_none(levels.canary[i]),
            control=_finite_or_none(levels.control[i]),
            canary_weight=float(left[i, ..., 0].sum()),
            drawn_in=_finite_or_none(drawn_in[i]) if drawn_in is not None else None,
            error=_finite_or_none(errors[i]) if errors is not None else None,
            share=float(shares[i]),
            design_effect=float(effects[i]),
        )
        for i in range(canary.shape[0])
    ]


def add_level_without_loudest_bucket(
    kind: MetricKind,
    arm: bucket_sums.Array,
    side: Side,
    units: Ints,
    reference_levels: bucket_sums.Array,
    comparisons: Sequence[LeaveOneOut],
) -> list[LeaveOneOut]:
    """The same cells with `level*` filled in: one arm without its own loudest bucket.

    A rate's level is the weaker one for the side: that one, or the level after winsorising one in fifty of its `units`
    around `reference_levels` (both of shape (cells,)). A quantile's is that of the mean of its values: histograms have
    no buckets.
    """
    if arm.shape[1] == 0:
        return list(comparisons)
    left = heaviest_bucket.find_heaviest_bucket_of_arm(arm, side=side).remove_from(arm)
    levels, errors = mean.pooled_level(left)
    effects = compute_design_effects(kind, left)
    shares: list[float | None] = [None] * len(comparisons)
    drawn_in: list[float | None] = [None] * len(comparisons)
    if kind in _WINSORISED_KINDS and kind not in AVERAGES:
        many = _count_outlier_buckets(units, MIN_OUTLIER_BUCKETS_OF_LEVEL)
        drawn = heaviest_bucket.winsorise_buckets(arm, reference_levels[..., np.newaxis], many)
        if kind is not MetricKind.QUANTILE:
            # A bucket that winsorising raises cannot have more events than requests.
            drawn[..., 1] = np.minimum(drawn[..., 1], drawn[..., 0])
        bounded, _ = mean.pooled_level(drawn)
        less = bounded < levels if side == "greater" else bounded > levels
        # Winsorised sums vary less than the original ones. Source: Tukey and McLaughlin 1963.
        kept = 1 - 2 * np.minimum(many / arm.shape[-2], 0.25)
        levels = np.where(less, bounded, levels)
        if kind is not MetricKind.QUANTILE:
            drawn_in = [_finite_or_none(one) for one in bounded]
        else:
            shares = _share_of_distance(levels, mean.pooled_level(arm)[0], reference_levels).tolist()
        effects = np.where(less, compute_design_effects(kind, drawn) / kept**2, effects)
    return [
        replace(
            one,
            level=_finite_or_none(levels[i]),
            level_error=_finite_or_none(errors[i]),
            level_weight=float(left[i, ..., 0].sum()),
            level_design_effect=float(effects[i]),
            level_share=shares[i],
            level_drawn_in=drawn_in[i],
        )
        for i, one in enumerate(comparisons)
    ]


def _count_outlier_buckets(units: Ints, at_least: int) -> Ints:
    return np.maximum(np.ceil(units / UNITS_PER_OUTLIER), at_least).astype(np.int64)


def compute_design_effects(
    kind: MetricKind, *arms: bucket_sums.Array, included: NDArray[np.bool_] | None = None
) -> bucket_sums.Array:
    """The larger one of the arms' design effects, shape (cells,); 1 for means and quantiles.

    With `included`, of shape (rows, stages), over these stages only, shape (rows, cells).
    """
    shape = (arms[0].shape[0],) if included is None else (included.shape[0], arms[0].shape[0])
    if kind in AVERAGES or kind is MetricKind.QUANTILE:
        return np.ones(shape)
    found = [np.ones(shape)]
    for arm in arms:
        if arm.shape[1] == 0:
            continue
        # Events may outnumber the requests of their bucket.
        sums = np.stack([arm.max(axis=-1), arm[..., 1]], axis=-1) if kind is MetricKind.COUNT else arm
        found.append(clustering.design_effect(sums, included=included if included is None else included[:, np.newaxis]))
    return np.asarray(np.max(found, axis=0), dtype=np.float64)


def robust_log_e(
    components: ArrayLike, design_effect: float, without: LeaveOneOut | None, share: float | None = None
) -> float:
    """The log e-value of these components, as far as it does not rest on one bucket.

    It counts in full if at least half remains without the loudest bucket, else only the rest counts. `share` replaces
    that of `without` if the evidence is about the canary's level, not a difference. The result may exceed the full
    value only because the loudest bucket no longer inflates the design effect.
    """
    logs = np.asarray(components, dtype=np.float64)
    whole = float(proportion.log_mean(logs / design_effect))
    if without is None or whole <= 0:
        return whole
    part, rest_effect = (
        (without.share, without.design_effect) if share is None else (share, without.level_design_effect)
    )
    if part <= 0:
        return 0.0
    rest = float(proportion.log_mean(logs * (part / rest_effect)))
    return max(whole, rest) if part >= REQUIRED_SHARE else rest


def robust_log_e_of_mean(whole: float, rest: float) -> float:
    """`robust_log_e` for a mean: `whole` and `rest` are the log e-values with and without the loudest bucket."""
    if whole <= 0:
        return whole
    return max(whole, rest) if rest >= REQUIRED_SHARE * whole else max(rest, 0.0)


def remaining_share_against_bound(rate: float | None, weight: float, bound: float, without: LeaveOneOut) -> float:
    """Share of the evidence against a fixed rate that remains without the loudest bucket, 0 to 1."""
    if rate is None or without.level is None:
        return 0.0
    whole = weight * float(heaviest_bucket.kl_divergence(min(rate, 1.0), bound))
    rest = without.level_weight * float(heaviest_bucket.kl_divergence(min(without.level, 1.0), bound))
    turned = (rate > bound) != (without.level > bound)
    return 0.0 if turned or whole <= 0 else min(rest / whole, 1.0)


def _share_of_distance(
    rest: bucket_sums.Array,
    whole: bucket_sums.Array,
    rest_reference: bucket_sums.Array,
    whole_reference: bucket_sums.Array | None = None,
) -> bucket_sums.Array:
    """Share of the evidence that a mean's distance from a reference keeps: it grows with the square of the distance."""
    with np.errstate(all="ignore"):
        ratio = (rest - rest_reference) / (whole - (rest_reference if whole_reference is None else whole_reference))
    return _bounded_ratio(np.sign(ratio) * ratio**2, np.ones(len(ratio)))


def _bounded_ratio(rest: bucket_sums.Array, whole: bucket_sums.Array) -> bucket_sums.Array:
    """rest / whole, clipped to [-1, 1]; 0 where it is undefined."""
    with np.errstate(all="ignore"):
        shares = rest / whole
    return np.where(np.isfinite(shares), np.clip(shares, -1.0, 1.0), 0.0)


def _finite_or_none(value: float) -> float | None:
    return float(value) if isfinite(value) else None
