"""Planning: expected trials until a verdict, and the smallest change that is noticeable by then.

Every function works elementwise on arrays that broadcast; a scalar gives an array without axes.
"""

from collections.abc import Callable
from datetime import timedelta
from math import log

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array

MIXTURE_COST = (
    1.5  # factor over log(1/alpha) / growth for a mixture that does not know the effect; measured at 1.3 to 1.9
)
HALVINGS = 60
LEAST_RATE = 1e-9


def growth(control_rate: ArrayLike, canary_rate: ArrayLike, canary_share: ArrayLike) -> Array:
    """Evidence in nats per canary trial if both rates are known: the KL divergence from the nearest equal pair."""
    p_C, p_T = _check_probabilities("control_rate", control_rate), _check_probabilities("canary_rate", canary_rate)
    share = _check_probabilities("canary_share", canary_share)
    controls = (1 - share) / share
    pooled = (p_T + controls * p_C) / (1 + controls)
    return np.asarray(_kl_divergence(p_T, pooled) + controls * _kl_divergence(p_C, pooled), dtype=np.float64)


def canary_trials(
    control_rate: ArrayLike, canary_rate: ArrayLike, *, canary_share: ArrayLike, alpha: ArrayLike = 0.05
) -> Array:
    """Expected canary trials until this change is established at `alpha`; infinite when the rates are equal.

    `alpha` is the criterion's own share of the error. Source: log(1/alpha) / KL (Wald 1947) times `MIXTURE_COST`.
    """
    return _trials_until(growth(control_rate, canary_rate, canary_share), alpha)


def canary_trials_against(bound: ArrayLike, canary_rate: ArrayLike, *, alpha: ArrayLike = 0.05) -> Array:
    """Expected trials against a fixed rate, without control: log(1/alpha) / KL(canary, bound) times `MIXTURE_COST`."""
    return _trials_until(
        _kl_divergence(_check_probabilities("canary_rate", canary_rate), _check_probabilities("bound", bound)), alpha
    )


def canary_units(deviation: ArrayLike, effect: ArrayLike, *, canary_share: ArrayLike, alpha: ArrayLike = 0.05) -> Array:
    """Expected canary units until a change of a mean is established; `deviation` is one unit's standard deviation."""
    spread = _check_positive("deviation", deviation)
    share = _check_probabilities("canary_share", canary_share)
    return _trials_until(input_checks.check_finite("effect", effect) ** 2 * (1 - share) / (2 * spread**2), alpha)


def clip_rate(rate: float) -> float:
    """The rate, moved away from 0 and 1 by `LEAST_RATE` where it lies closer: nothing is planned for certainties."""
    return min(max(rate, LEAST_RATE), 1 - LEAST_RATE)


def time_until(trials: float, *, trials_per_hour: float) -> timedelta | None:
    """Time until this many trials have come in; None when that is never or longer than a timedelta can hold."""
    if trials < 0 or trials_per_hour < 0:
        raise ValueError("trials and trials_per_hour must be at least 0")
    if trials_per_hour == 0 or trials / trials_per_hour > timedelta.max.total_seconds() / 3600:
        return None
    return timedelta(hours=trials / trials_per_hour)


def smallest_noticeable(
    control_rate: ArrayLike,
    trials: ArrayLike,
    *,
    canary_share: ArrayLike,
    side: input_checks.Side,
    alpha: ArrayLike = 0.05,
) -> Array:
    """Smallest change of a rate (positive, in points) that is established within these canary trials; NaN if none."""
    p_C = _check_probabilities("control_rate", control_rate)
    return _bisect_smallest(
        p_C, trials, side, lambda rate: canary_trials(p_C, rate, canary_share=canary_share, alpha=alpha)
    )


def smallest_noticeable_against(
    bound: ArrayLike, trials: ArrayLike, *, side: input_checks.Side, alpha: ArrayLike = 0.05
) -> Array:
    """Smallest distance beyond a fixed rate `bound` that is established within these trials; NaN if none."""
    p = _check_probabilities("bound", bound)
    return _bisect_smallest(p, trials, side, lambda rate: canary_trials_against(p, rate, alpha=alpha))


def smallest_noticeable_mean(standard_error: ArrayLike, *, tau: ArrayLike, alpha: ArrayLike = 0.05) -> Array:
    """Smallest change of a mean, in its own unit, that the one-sided mixture establishes at this standard error.

    SE * sqrt((1+r)/r * (ln(1+r) + 2 ln(1/alpha) - 2 ln 2)), r = tau^2/SE^2: where `mean.log_e_half_normal` reaches
    ln(1/alpha), its tail taken as 1. Source: Howard, Ramdas, McAuliffe and Sekhon (2021), section 3, solved for z.
    """
    error, typical = _check_positive("standard_error", standard_error), _check_positive("tau", tau)
    r = (typical / error) ** 2
    return np.asarray(error * np.sqrt((1 + r) / r * (np.log1p(r) + _twice_log_threshold(alpha))), dtype=np.float64)


def error_needed(effect: ArrayLike, *, tau: ArrayLike, alpha: ArrayLike = 0.05) -> Array:
    """Standard error at which a change of a mean by `effect` is just noticeable: inverse of `smallest_noticeable_mean`.

    An error shrinks as 1/sqrt(n), so (SE / error_needed)^2 is the multiple of the present evidence that it takes.
    """
    wanted, typical = _check_positive("effect", effect), _check_positive("tau", tau)
    wanted, typical, level = np.broadcast_arrays(wanted, typical, input_checks.check_finite("alpha", alpha))
    low, high = np.zeros_like(wanted), np.array(wanted)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        seen = smallest_noticeable_mean(middle, tau=typical, alpha=level) <= wanted
        low, high = np.where(seen, middle, low), np.where(seen, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)


def _bisect_smallest(
    start: Array, trials: ArrayLike, side: input_checks.Side, needed: Callable[[Array], Array]
) -> Array:
    """Bisect between `start`, where nothing is ever noticeable, and the far end of [0, 1]."""
    there = input_checks.check_counts("trials", trials)
    far = np.asarray(1 - LEAST_RATE if input_checks.is_greater_side(side) else LEAST_RATE)
    possible = needed(far) <= there
    near, far, there = (np.array(x) for x in np.broadcast_arrays(start, far, there))
    near, far, there, possible = np.broadcast_arrays(near, far, there, possible)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        seen = needed(middle) <= there
        near, far = np.where(seen, near, middle), np.where(seen, middle, far)
    return np.where(possible, np.abs(far - start), np.nan)


def _trials_until(gain: Array, alpha: ArrayLike) -> Array:
    bar = MIXTURE_COST * np.log(1 / _check_probabilities("alpha", alpha))
    with np.errstate(divide="ignore"):
        return np.where(gain > 0, bar / np.where(gain > 0, gain, 1.0), np.inf)


def _twice_log_threshold(alpha: ArrayLike) -> Array:
    return np.asarray(-2 * np.log(_check_probabilities("alpha", alpha)) - 2 * log(2), dtype=np.float64)


def _kl_divergence(p: Array, q: Array) -> Array:
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)), dtype=np.float64)


def _check_probabilities(name: str, value: ArrayLike) -> Array:
    array = input_checks.check_finite(name, value)
    if ((array <= 0) | (array >= 1)).any():
        raise ValueError(f"{name} must lie strictly between 0 and 1")
    return array


def _check_positive(name: str, value: ArrayLike) -> Array:
    array = input_checks.check_finite(name, value)
    if (array <= 0).any():
        raise ValueError(f"{name} must be above 0")
    return array
