"""The difference between the arms and its confidence sequence: valid at 95 % however often people look at it."""

from dataclasses import dataclass
from math import hypot

from core.judging.model.limits import Limit, Scale
from core.metrics.catalogue import Kind, MarginScale, Metric
from core.stats import mean, proportion

ALPHA = 0.05
SHOWN_FROM = 30  # canary requests; below this a normal approximation is meaningless
SHOWN_EVENTS = 5  # events; the same holds below this
LEAST_TUNING = 1e-100  # times the error; a control level of almost zero gives no typical harm to tune by

Range = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Estimate of one metric in both arms. `error` is the standard error of the difference. `n_control` is 0 when the
    control is a past baseline. None means unknown."""

    canary: float | None
    control: float | None
    error: float | None
    n_canary: float
    n_control: float
    design_effect: float = 1.0
    note: str = ""


def shown(limit: Limit | None, entry: Metric, seen: Seen) -> Range:
    """Confidence sequence (low, high) of canary minus control, relative to control where `is_relative` says so.

    (None, None) when it is unknown.
    """
    if seen.canary is None or seen.control is None:
        return None, None
    if entry.binary and seen.n_canary > 0 and seen.n_control > 0:
        return _of_rates(seen, seen.canary, seen.control, relative=is_relative(limit, entry))
    return _of_means(limit, entry, seen, seen.canary, seen.control)


def difference(limit: Limit | None, entry: Metric, seen: Seen) -> float | None:
    """Canary minus control, relative to control where `is_relative` says so; None when it is unknown."""
    if seen.canary is None or seen.control is None:
        return None
    if not is_relative(limit, entry):
        return seen.canary - seen.control
    return seen.canary / seen.control - 1 if seen.control > 0 else None


def is_relative(limit: Limit | None, entry: Metric) -> bool:
    """Whether differences of this metric are expressed relative to control."""
    if limit is not None and not limit.absolute:
        return limit.scale is Scale.RELATIVE
    return entry.margin_scale is MarginScale.RELATIVE


def _of_rates(seen: Seen, canary: float, control: float, *, relative: bool) -> Range:
    """Range of a difference of rates: the exact confidence sequence of each rate, combined by variance recovery
    (Newcombe 1998, method 10; Zou and Donner 2008). It is informative as early as the exact kernel; a normal
    approximation is not."""
    # Levels over several stages are weighted sums and can exceed 1 by a rounding error.
    canary, control = min(canary, 1.0), min(control, 1.0)
    n_canary, n_control = seen.n_canary / seen.design_effect, seen.n_control / seen.design_effect
    low_canary, high_canary = proportion.confidence_sequence(canary * n_canary, n_canary, alpha=ALPHA)
    low_control, high_control = proportion.confidence_sequence(control * n_control, n_control, alpha=ALPHA)
    moved = canary - control
    low = moved - hypot(canary - low_canary, high_control - control)
    high = moved + hypot(high_canary - canary, control - low_control)
    if not relative:
        return low, high
    return (low / control, high / control) if control > 0 else (None, None)


def _of_means(limit: Limit | None, entry: Metric, seen: Seen, canary: float, control: float) -> Range:
    if seen.error is None or seen.error <= 0 or seen.n_canary < SHOWN_FROM:
        return None, None
    rarer = seen.n_canary * (min(canary, 1 - canary) if entry.binary else canary)
    if (entry.binary or entry.kind is Kind.COUNT) and rarer < SHOWN_EVENTS:
        return None, None
    tau = 2 * _margin(limit, entry, control)
    if tau <= LEAST_TUNING * seen.error:
        return None, None
    low, high = mean.interval(canary - control, seen.error, tau=tau, alpha=ALPHA)
    low = max(low, -control) if control >= 0 else low  # the canary's level cannot be negative
    if not is_relative(limit, entry):
        return low, high
    return (low / control, high / control) if control > 0 else (None, None)


def _margin(limit: Limit | None, entry: Metric, control: float) -> float:
    """Typical harm in the metric's own unit; it tunes the width of the range."""
    if limit is not None and not limit.absolute:
        amount, relative = limit.amount, limit.scale is Scale.RELATIVE
    else:
        amount, relative = entry.default_margin or 0.02, entry.margin_scale is MarginScale.RELATIVE
    return amount * abs(control) if relative else amount
