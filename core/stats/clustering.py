"""Design effects from bucket sums: how much less information correlated requests of one unit carry."""

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array


def design_effect(arm: ArrayLike, *, included: ArrayLike | None = None) -> Array:
    """max(1, bucket variance / binomial variance) of a proportion, shape (...), from (..., stages, buckets, 2).

    Last axis (trials, successes). 1 where nothing varies. Only stages that are `included` count, all without it; it
    broadcasts with (..., stages). Source: Kish (1965), with hash buckets as clusters.
    ValueError on NaN, negative counts, successes above trials, or fewer than 2 buckets.
    """
    sums = input_checks.check_counts("arm", arm)
    if sums.ndim < 3 or sums.shape[-1] != 2 or sums.shape[-2] < 2:
        raise ValueError(f"arm must have shape (..., stages, at least 2 buckets, 2), not {sums.shape}")
    trials, successes = sums[..., 0], sums[..., 1]
    if (successes > trials * (1 + 1e-9)).any():
        raise ValueError("successes are above trials in a bucket")
    n = trials.sum(axis=-1)
    chosen = np.ones(sums.shape[-3]) if included is None else np.asarray(included, dtype=np.float64)
    with np.errstate(all="ignore"):
        p = np.where(n > 0, successes.sum(axis=-1) / n, 0.0)
        residual = np.einsum("...s,...sb->...b", chosen, successes - p[..., np.newaxis] * trials)
        buckets = residual.shape[-1]
        observed = buckets / (buckets - 1) * (residual**2).sum(axis=-1)
        binomial = (chosen * (n * p * (1 - p))).sum(axis=-1)
        effect = np.where(binomial > 0, observed / binomial, 1.0)
    return np.asarray(np.maximum(effect, 1.0), dtype=np.float64)


def design_effect_of_mean(arm: ArrayLike, variance: float) -> float:
    """max(1, bucket variance / variance of independent values), for sums of shape (stages, buckets, 2).

    `variance` is that of single values, for example from a histogram; the result is 1 if it is 0. Source as in
    `design_effect`.
    """
    sums = input_checks.check_finite("arm", arm)
    if sums.ndim != 3 or sums.shape[-1] != 2 or sums.shape[-2] < 2:
        raise ValueError(f"arm must have shape (stages, at least 2 buckets, 2), not {sums.shape}")
    if variance < 0:
        raise ValueError("variance must be at least 0")
    weight, value = sums[..., 0], sums[..., 1]
    total = weight.sum(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        level = np.where(total > 0, value.sum(axis=-1, keepdims=True) / total, 0.0)
    residual = (value - level * weight).sum(axis=0)
    independent = float(total.sum()) * variance
    buckets = residual.size
    return max(1.0, buckets / (buckets - 1) * float((residual**2).sum()) / independent) if independent > 0 else 1.0
