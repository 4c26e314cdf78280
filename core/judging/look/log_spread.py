"""How widely values spread near a quantile, by what the thresholds of its tests counted."""

from math import log
from statistics import NormalDist

from core.judging.limits.limits import Limit, LimitScale
from core.judging.look import quantile_crossing
from core.judging.model.state import JudgingState

ASSUMED_LOG_SPREAD = 0.75
"""Assumed standard deviation of the logarithm of latencies if the data do not show it."""
NARROWEST, WIDEST = 0.3, 1.2
_NORMAL = NormalDist()


def estimate_log_spread(state: JudgingState, position: int, limit: Limit) -> float:
    """Standard deviation of the logarithm of values near a quantile, from the canary values above quantile plus limit.

    `ASSUMED_LOG_SPREAD` if there are too few values.
    """
    quantile = limit.entry.require_quantile()
    found = [
        one
        for one in state.thresholds
        if one.limit == position
        and one.clear
        and not one.segment
        and one.canary_total >= quantile_crossing.MIN_CONTROL_VALUES
    ]
    if not found or limit.scale is not LimitScale.RELATIVE:
        return ASSUMED_LOG_SPREAD
    last = max(found, key=lambda one: one.stage)
    above = (last.canary_above + 0.5) / (last.canary_total + 1)
    apart = _NORMAL.inv_cdf(1 - above) - _NORMAL.inv_cdf(quantile)
    moved = log(last.canary / last.control) if last.canary > 0 and last.control > 0 else 0.0
    if moved * apart <= 0:
        return ASSUMED_LOG_SPREAD
    return min(max(moved / apart, NARROWEST), WIDEST)
