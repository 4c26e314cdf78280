"""The difference between the arms and its confidence sequence: valid at 95 % however often people look at it."""

from dataclasses import dataclass
from math import hypot

from core.judging.limits.limits import Limit, LimitScale
from core.metrics.catalogue import MarginScale, Metric, MetricKind
from core.stats.sequential import mean, proportion

RANGE_ALPHA = 0.05
"""Chance that a range ever misses the true difference, however often people look at it."""
MIN_REQUESTS_FOR_RANGE = 30  # canary requests; below this a normal approximation is meaningless
MIN_EVENTS_FOR_RANGE = 5  # events; the same holds below this
MIN_TUNING = 1e-100  # times the error; a control level of almost zero gives no typical harm to tune by

Range = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Estimate of one metric in both arms. `error` is the standard error of the difference. `n_control` is 0 when the
    control is a level of the past. None means unknown."""

    canary: float | None
    control: float | None
    error: float | None
    n_canary: float
    n_control: float
    design_effect: float = 1.0
    note: str = ""


def compute_range(limit: Limit | None, entry: Metric, estimate: Estimate) -> Range:
    """Confidence sequence (low, high) of canary minus control, relative to control where `is_relative` says so.

    (None, None) when it is unknown.
    """
    if estimate.canary is None or estimate.control is None:
        return None, None
    if entry.is_binary and estimate.n_canary > 0 and estimate.n_control > 0:
        return _rate_range(estimate, estimate.canary, estimate.control, relative=is_relative(limit, entry))
    return _mean_range(limit, entry, estimate, estimate.canary, estimate.control)


def compute_difference(limit: Limit | None, entry: Metric, estimate: Estimate) -> float | None:
    """Canary minus control, relative to control where `is_relative` says so; None when it is unknown."""
    if estimate.canary is None or estimate.control is None:
        return None
    if not is_relative(limit, entry):
        return estimate.canary - estimate.control
    return estimate.canary / estimate.control - 1 if estimate.control > 0 else None


def is_relative(limit: Limit | None, entry: Metric) -> bool:
    """Whether differences of this metric are expressed relative to control."""
    if limit is not None and not limit.is_absolute:
        return limit.scale is LimitScale.RELATIVE
    return entry.margin_scale is MarginScale.RELATIVE


def _rate_range(estimate: Estimate, canary: float, control: float, *, relative: bool) -> Range:
    """Range of a difference of rates: the exact confidence sequence of each rate, combined by variance recovery
    (Newcombe 1998, method 10; Zou and Donner 2008). It is informative as early as the exact kernel; a normal
    approximation is not."""
    # Levels over several stages are weighted sums and can exceed 1 by a rounding error.
    canary, control = min(canary, 1.0), min(control, 1.0)
    n_canary, n_control = estimate.n_canary / estimate.design_effect, estimate.n_control / estimate.design_effect
    low_canary, high_canary = proportion.confidence_sequence(canary * n_canary, n_canary, alpha=RANGE_ALPHA)
    low_control, high_control = proportion.confidence_sequence(control * n_control, n_control, alpha=RANGE_ALPHA)
    moved = canary - control
    low = moved - hypot(canary - low_canary, high_control - control)
    high = moved + hypot(high_canary - canary, control - low_control)
    if not relative:
        return low, high
    return (low / control, high / control) if control > 0 else (None, None)


def _mean_range(limit: Limit | None, entry: Metric, estimate: Estimate, canary: float, control: float) -> Range:
    if estimate.error is None or estimate.error <= 0 or estimate.n_canary < MIN_REQUESTS_FOR_RANGE:
        return None, None
    rarer = estimate.n_canary * (min(canary, 1 - canary) if entry.is_binary else canary)
    if (entry.is_binary or entry.kind is MetricKind.COUNT) and rarer < MIN_EVENTS_FOR_RANGE:
        return None, None
    tau = 2 * _typical_harm(limit, entry, control)
    if tau <= MIN_TUNING * estimate.error:
        return None, None
    low, high = mean.confidence_sequence(canary - control, estimate.error, tau=tau, alpha=RANGE_ALPHA)
    low = max(low, -control) if control >= 0 else low  # the canary's level cannot be negative
    if not is_relative(limit, entry):
        return low, high
    return (low / control, high / control) if control > 0 else (None, None)


def _typical_harm(limit: Limit | None, entry: Metric, control: float) -> float:
    """Typical harm in the metric's own unit; it tunes the width of the range."""
    if limit is not None and not limit.is_absolute:
        amount, relative = limit.amount, limit.scale is LimitScale.RELATIVE
    else:
        amount, relative = entry.default_margin or 0.02, entry.margin_scale is MarginScale.RELATIVE
    return amount * abs(control) if relative else amount
