"""Which segment stands out: whether its harm is larger than the others' beyond chance, so that it may be named."""

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from core.judging.limits.hypothesis import measure_effect
from core.judging.limits.limits import Limit, LimitScale
from core.judging.model.alpha_shares import MAX_JUDGED_SEGMENTS
from core.judging.model.confidence_range import Estimate
from core.judging.model.verdict import Measure

CHANCE = 0.01
"""How likely it may be that any segment is named although all are harmed alike."""

_ERRORS = NormalDist().inv_cdf(1 - CHANCE / MAX_JUDGED_SEGMENTS)


class _Effect(NamedTuple):
    """A difference between the arms and its standard error, both in the unit of the limit."""

    size: float
    error: float


def does_segment_stand_out(limit: Limit, segment: Estimate, overall: Estimate) -> bool:
    """Whether the effect in a segment exceeds that of everybody, which it is part of; False where that is unknown."""
    relative = limit.scale is LimitScale.RELATIVE
    return _exceeds_whole(_measure(limit, segment, relative), _measure(limit, overall, relative))


def does_row_stand_out(segment: Measure, overall: Measure) -> bool:
    """The same of two rows of a summary."""
    return _exceeds_whole(_measure_row(segment), _measure_row(overall))


def _exceeds_whole(part: _Effect | None, whole: _Effect | None) -> bool:
    """The difference between an estimate of a part and an efficient one of the whole has the variance of the part less
    that of the whole (Hausman 1978, Econometrica 46, 1251-1271)."""
    if part is None or whole is None:
        return False
    variance = part.error**2 - whole.error**2
    if variance <= 0:
        return False  # everybody is in that segment, or the two were measured over different times
    further = (part.size - whole.size) * (1 if whole.size > 0 else -1)
    return further > _ERRORS * sqrt(variance)


def _measure(limit: Limit, estimate: Estimate, relative: bool) -> _Effect | None:
    canary, control, error = estimate.canary, estimate.control, estimate.error
    if canary is None or control is None or error is None or (relative and control <= 0):
        return None
    return _Effect(measure_effect(limit, canary, control), error / control if relative else error)


def _measure_row(row: Measure) -> _Effect | None:
    """Of a mean, or of a rate, whose error follows from its counts; None of a quantile."""
    new, now, error = row.canary, row.control, row.error
    if new is None or now is None or row.difference is None or (row.relative and now <= 0):
        return None
    if error is None:
        if not (0 <= new <= 1 and 0 <= now <= 1 and row.n_canary and row.n_control and row.unit.startswith("%")):
            return None
        error = sqrt(row.design_effect * (new * (1 - new) / row.n_canary + now * (1 - now) / row.n_control))
    return _Effect(row.difference, error / now if row.relative else error)
