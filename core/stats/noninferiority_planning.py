"""Planning of non-inferiority tests: expected trials to show that a rate keeps its limit if nothing changed."""

from math import inf, log

import numpy as np

from core.stats import input_checks
from core.stats.sequential import projection

NONINFERIORITY_ALPHA = 0.05
"""Chance that a limit which is broken is shown to be kept."""
MIXTURE_COST = 1.1  # factor over log(1/alpha) / growth for not knowing the rates; measured at 1.02 to 1.1


def noninferiority_canary_trials(
    control_rate: float,
    *,
    side: input_checks.Side,
    ratio: float,
    shift: float,
    canary_share: float,
    alpha: float = NONINFERIORITY_ALPHA,
) -> float:
    """Expected canary trials until H0 is rejected at `alpha` if both arms have `control_rate`.

    H0 as in `proportion.two_sample_increments`: canary >= ratio * control + shift for `side="less"`. Infinite where
    equal rates lie inside H0. ValueError outside (0, 1). Source: log(1/alpha) over the Kullback-Leibler distance to H0.
    """
    p = input_checks.check_probability("control_rate", control_rate)
    share = input_checks.check_probability("canary_share", canary_share)
    line = ratio * p + shift
    if (line <= p) if side == "less" else (line >= p):
        return inf
    if not 0 < line < 1:
        return 0.0  # no rate can violate such a limit
    one = np.ones(1)
    weight_C = (1 - share) / share
    y, x = projection.nearest_null(p * one, p * one, one, weight_C * one, ratio=ratio, shift=shift, where=one > 0)
    gain = _kl_divergence(p, float(y[0])) + weight_C * _kl_divergence(p, float(x[0]))
    return MIXTURE_COST * log(1 / input_checks.check_probability("alpha", alpha)) / gain if gain > 0 else inf


def noninferiority_trials_against(rate: float, *, bound: float) -> float:
    """Expected trials until H0 p >= bound is rejected if the rate is `rate`; infinite if rate >= bound."""
    p, edge = input_checks.check_probability("rate", rate), input_checks.check_probability("bound", bound)
    return MIXTURE_COST * log(1 / NONINFERIORITY_ALPHA) / _kl_divergence(p, edge) if p < edge else inf


def _kl_divergence(p: float, q: float) -> float:
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
