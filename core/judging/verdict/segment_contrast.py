"""Whether harm in one segment is larger than in the others beyond chance, so that it may be named as where it is."""

from math import sqrt
from statistics import NormalDist

from core.judging.limits.hypothesis import measure_effect
from core.judging.limits.limits import Limit, LimitScale
from core.judging.model.alpha_shares import SEGMENT_SLOTS
from core.judging.model.confidence_range import Estimate

CHANCE = 0.01
"""How likely it may be that any segment is named although all are harmed alike."""

_ERRORS = NormalDist().inv_cdf(1 - CHANCE / SEGMENT_SLOTS)


def is_larger_in_segment(limit: Limit, segment: Estimate, overall: Estimate) -> bool:
    """Whether the effect in a segment exceeds that of everybody, which it is part of; False where that is unknown.

    The difference between an estimate of a part and an efficient one of the whole has the variance of the part less
    that of the whole (Hausman 1978, Econometrica 46, 1251-1271).
    """
    one, everybody = _measure(limit, segment), _measure(limit, overall)
    if one is None or everybody is None:
        return False
    (effect, error), (effect_overall, error_overall) = one, everybody
    variance = error**2 - error_overall**2
    if variance <= 0:
        return False  # everybody is in that segment, or the two were measured over different times
    further = (effect - effect_overall) * (1 if effect_overall > 0 else -1)
    return further > _ERRORS * sqrt(variance)


def _measure(limit: Limit, estimate: Estimate) -> tuple[float, float] | None:
    """(effect, standard error), both relative to control where the limit is; None if either is unknown."""
    canary, control, error = estimate.canary, estimate.control, estimate.error
    if canary is None or control is None or error is None:
        return None
    relative = limit.scale is LimitScale.RELATIVE
    if relative and control <= 0:
        return None
    return measure_effect(limit, canary, control), error / control if relative else error
