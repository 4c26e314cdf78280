"""A difference and its range as people see them: always valid at 95 %, however often it is looked at."""

from dataclasses import dataclass
from math import hypot

from core.judging.model.limits import Limit, Scale
from core.metrics.catalogue import Kind, MarginScale, Metric
from core.stats import mean, proportion

ALPHA = 0.05
SHOWN_FROM = 30  # requests of the canary, below which a normal range means nothing
SHOWN_EVENTS = 5  # and events
LEAST_TUNING = 1e-100  # of the error: a control that is next to nothing tells no typical harm

Range = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Both arms of one metric. `error` is the difference's standard error; `n_control` is 0 where the control is a
    record of the past; None is unknown."""

    canary: float | None
    control: float | None
    error: float | None
    n_canary: float
    n_control: float
    design_effect: float = 1.0
    note: str = ""


def shown(limit: Limit | None, entry: Metric, seen: Seen) -> Range:
    """(low, high) of canary minus control, relative to control where the row is; (None, None) where it is unknown."""
    if seen.canary is None or seen.control is None:
        return None, None
    if entry.binary and seen.n_canary > 0 and seen.n_control > 0:
        return _of_rates(seen, seen.canary, seen.control, relative=is_relative(limit, entry))
    return _of_means(limit, entry, seen, seen.canary, seen.control)


def difference(limit: Limit | None, entry: Metric, seen: Seen) -> float | None:
    """Canary minus control, relative to control where the row is; None where it is unknown."""
    if seen.canary is None or seen.control is None:
        return None
    if not is_relative(limit, entry):
        return seen.canary - seen.control
    return seen.canary / seen.control - 1 if seen.control > 0 else None


def is_relative(limit: Limit | None, entry: Metric) -> bool:
    """Whether a difference is shown relative to control."""
    if limit is not None and not limit.absolute:
        return limit.scale is Scale.RELATIVE
    return entry.margin_scale is MarginScale.RELATIVE


def _of_rates(seen: Seen, canary: float, control: float, *, relative: bool) -> Range:
    """The exact always-valid range of each rate, joined by recovering variances (Newcombe 1998, method 10; Zou and
    Donner 2008). It speaks as early as the exact kernel does, which a normal range does not."""
    # Levels over several stages are weighted sums, so that where everything passes they may be above 1 by a rounding.
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
    low = max(low, -control) if control >= 0 else low  # nothing here falls below 0
    if not is_relative(limit, entry):
        return low, high
    return (low / control, high / control) if control > 0 else (None, None)


def _margin(limit: Limit | None, entry: Metric, control: float) -> float:
    """A typical harm in the metric's own unit, from which the range takes its tuning."""
    if limit is not None and not limit.absolute:
        amount, relative = limit.amount, limit.scale is Scale.RELATIVE
    else:
        amount, relative = entry.default_margin or 0.02, entry.margin_scale is MarginScale.RELATIVE
    return amount * abs(control) if relative else amount
