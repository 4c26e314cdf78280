"""Exact e-processes for 0/1 outcomes, valid under any ramp, any drift and any number of looks."""

from collections.abc import Callable
from math import lgamma, log, log1p
from sys import float_info

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array, Side
from core.stats.sequential import projection

RATE_EDGE = 1e-6
MIN_POSITIVE = float_info.min
ANY_HARM_ODDS = np.array([1.3, 1.6, 2.5, 7.0, 11.0])  # the first two for slight harm, the last two for rare events
ONE_SAMPLE_ODDS = np.geomspace(1.15, 40.0, 12)
STRICT_STEPS = np.array([0.5, 1.5, 3.0, 5.5, 9.5, 16.0])
NONINFERIORITY_STEPS = np.array([0.65, 1.0, 1.0, 1.5, 1.5, 2.5])
LEFTOVER = 0.05  # share of the room between the edge and certainty that an alternative leaves free


def two_sample_increments(
    canary_successes: ArrayLike,
    canary_trials: ArrayLike,
    control_successes: ArrayLike,
    control_trials: ArrayLike,
    *,
    earlier_successes: ArrayLike,
    earlier_trials: ArrayLike,
    side: Side,
    ratio: float = 1.0,
    shift: float = 0.0,
    alternatives: ArrayLike | None = None,
) -> Array:
    """Increments of the K log components for one tick, shape (..., K).

    `side="greater"`: H0 canary <= ratio * control + shift; `"less"`: H0 canary >= ratio * control + shift. `earlier_*`
    are control's counts before the tick; before its first trial, nothing is added. `alternatives` are odds ratios above
    1, shape (K,). Increments add up over ticks; `log_mean` of the sums is the log e-value. ValueError on counts that
    cannot have happened, shapes that do not fit, an empty H0, or a bad side or ratio. Source: generic e-variables of
    Turner, Ly and Gruenwald (2024); margins by Turner and Gruenwald (2023).
    """
    more = input_checks.is_greater_side(side)
    s_T, n_T = input_checks.check_successes("canary_", canary_successes, canary_trials)
    s_C, n_C = input_checks.check_successes("control_", control_successes, control_trials)
    before_s = input_checks.check_counts("earlier_successes", earlier_successes)
    before_n = input_checks.check_counts("earlier_trials", earlier_trials)
    s_T, n_T, s_C, n_C, before_s, before_n = input_checks.broadcast_together(
        {
            "canary_successes": s_T,
            "canary_trials": n_T,
            "control_successes": s_C,
            "control_trials": n_C,
            "earlier_successes": before_s,
            "earlier_trials": before_n,
        }
    )
    _check_null(more, ratio, shift)

    p_C = np.clip((before_s + 0.5) / (before_n + 1), RATE_EDGE, 1 - RATE_EDGE)
    speaks = ((n_T > 0) & (n_C > 0) & (before_n > 0))[..., np.newaxis]
    s_T, n_T, s_C, n_C, p_C = (each[..., np.newaxis] for each in (s_T, n_T, s_C, n_C, p_C))
    if ratio == 1.0 and shift == 0.0:
        p_T = _raise_odds(p_C, _odds_for_side(more, ANY_HARM_ODDS, alternatives))
        with np.errstate(all="ignore"):
            pooled = (n_T * p_T + n_C * p_C) / (n_T + n_C)
            null = _log_likelihood(s_T + s_C, n_T + n_C, pooled)
    else:
        line = ratio * p_C + shift
        p_T = _rates_beyond_margin(np.clip(line, RATE_EDGE, 1 - RATE_EDGE), p_C, more, alternatives)
        speaks = speaks & (p_T > line if more else p_T < line)
        y, x = projection.nearest_null(p_T, p_C, n_T, n_C, ratio=ratio, shift=shift, where=speaks)
        with np.errstate(all="ignore"):
            null = _log_likelihood(s_T, n_T, y) + _log_likelihood(s_C, n_C, x)
    gain = _log_likelihood(s_T, n_T, p_T) + _log_likelihood(s_C, n_C, p_C) - null
    return np.where(speaks, gain, 0.0)


def one_sample_increments(
    successes: ArrayLike, trials: ArrayLike, *, side: Side, bound: float, alternatives: ArrayLike | None = None
) -> Array:
    """Increments of the K log components for one tick, shape (..., K); `log_mean` of their sums is the log e-value.

    H0 p <= bound ("greater"), p >= bound ("less"). ValueError on counts that cannot have happened, a bound outside
    (0, 1), a bad side or alternatives. Source: mixture of simple likelihood ratios (Ville 1939; Robbins 1970).
    """
    more = input_checks.is_greater_side(side)
    s, n = (counts[..., np.newaxis] for counts in input_checks.check_successes("", successes, trials))
    p = input_checks.check_probability("bound", bound)
    odds = _odds_for_side(more, ONE_SAMPLE_ODDS, alternatives)
    log_scale = np.log1p((odds - 1) * p)
    return np.asarray(s * np.log(odds) - n * log_scale, dtype=np.float64)


def log_mean(components: ArrayLike) -> Array:
    """Log of the mean of exp(components) over the last axis: the log e-value of an equal mixture."""
    logs = input_checks.check_not_nan("components", components)
    peak = logs.max(axis=-1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(peak[..., 0] + np.log(np.exp(logs - peak).mean(axis=-1)), dtype=np.float64)


def confidence_sequence(successes: float, trials: float, *, alpha: float) -> tuple[float, float]:
    """Confidence sequence (low, high) of one rate: the p that a Beta(1/2, 1/2) mixture does not reject at `alpha`.

    Counts may be fractions (tempered by a design effect). Without trials it is (0, 1). Exact for 0/1 readings at any
    number of looks. ValueError on counts that cannot have happened. Source: Robbins (1970).
    """
    s, n = (float(count) for count in input_checks.check_successes("", successes, trials))
    input_checks.check_probability("alpha", alpha)
    if n == 0:
        return 0.0, 1.0
    mixed = lgamma(s + 0.5) + lgamma(n - s + 0.5) - lgamma(n + 1) - 2 * lgamma(0.5)

    def is_rejected(p: float) -> bool:
        p = min(max(p, MIN_POSITIVE), 1 - float_info.epsilon)  # bisection may reach 0 or 1
        likelihood = (s * log(p) if s else 0.0) + ((n - s) * log1p(-p) if n > s else 0.0)
        return mixed - likelihood >= -log(alpha)

    return _bisect_edge(0.0, s / n, is_rejected), _bisect_edge(1.0, s / n, is_rejected)


def _bisect_edge(outside: float, inside: float, rejected: Callable[[float], bool]) -> float:
    """Bisect for the end of the rejection region between 0 or 1 and the estimate, which is never rejected."""
    if outside == inside:
        return outside
    for _ in range(50):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if rejected(middle) else (outside, middle)
    return inside


def clip_rate(rate: float) -> float:
    """The rate, moved away from 0 and 1 by `RATE_EDGE` where it lies closer, so that its logarithms are finite."""
    return min(max(rate, RATE_EDGE), 1 - RATE_EDGE)


def _log_likelihood(successes: Array, trials: Array, rate: Array) -> Array:
    return np.asarray(successes * np.log(rate) + (trials - successes) * np.log(1 - rate), dtype=np.float64)


def _odds_for_side(more: bool, default: Array, alternatives: ArrayLike | None) -> Array:
    odds = default if alternatives is None else input_checks.check_odds_ratios(alternatives)
    return odds if more else 1 / odds


def _raise_odds(rate: Array, odds: Array) -> Array:
    """The rates whose odds are `odds` times those of `rate`."""
    return np.asarray(odds * rate / (1 + (odds - 1) * rate), dtype=np.float64)


def _rates_beyond_margin(y: Array, p_C: Array, more: bool, alternatives: ArrayLike | None) -> Array:
    """Alternative canary rates beyond a margin's edge `y`: by odds ratios if given, else in steps of the margin."""
    if alternatives is not None:
        return _raise_odds(y, _odds_for_side(more, ANY_HARM_ODDS, alternatives))
    width = np.abs(y - p_C)
    beyond_control = y >= p_C if more else y <= p_C
    reach = np.where(beyond_control, width * STRICT_STEPS, width * NONINFERIORITY_STEPS)
    room = (1 - y if more else y) * (1 - LEFTOVER)
    return np.asarray(y + (1 if more else -1) * np.minimum(reach, room), dtype=np.float64)


def _check_null(more: bool, ratio: float, shift: float) -> None:
    if not (np.isfinite(ratio) and np.isfinite(shift)):
        raise ValueError("ratio and shift must be finite")
    if ratio <= 0:
        raise ValueError(f"ratio must be above 0, not {ratio}")
    if (more and ratio + shift <= 0) or (not more and shift >= 1):
        raise ValueError(f"no two proportions satisfy H0 with ratio {ratio} and shift {shift}")
