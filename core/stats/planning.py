"""What can be noticed, and when: expected trials until a verdict, and the smallest change seen by then."""

from datetime import timedelta
from math import log

from core.stats import checked

PRICE = 1.5  # of a mixture that does not know the effect, over log(1/alpha) / growth; measured between 1.3 and 1.9


def growth(control_rate: float, canary_rate: float, canary_share: float) -> float:
    """Nats of evidence per canary trial when both rates are known: the KL distance to the nearest equal pair."""
    p_C, p_T = checked.level("control_rate", control_rate), checked.level("canary_rate", canary_rate)
    share = checked.level("canary_share", canary_share)
    controls = (1 - share) / share
    pooled = (p_T + controls * p_C) / (1 + controls)
    return _divergence(p_T, pooled) + controls * _divergence(p_C, pooled)


def canary_trials(control_rate: float, canary_rate: float, *, canary_share: float, alpha: float = 0.05) -> float:
    """Expected canary trials until such a change is established at `alpha`; infinite when the rates are equal.

    `alpha` is the criterion's own share of the error. Source: log(1/alpha) / KL (Wald 1947) times the mixture's price.
    """
    gain = growth(control_rate, canary_rate, canary_share)
    return PRICE * log(1 / checked.level("alpha", alpha)) / gain if gain > 0 else float("inf")


def canary_units(deviation: float, effect: float, *, canary_share: float, alpha: float = 0.05) -> float:
    """Expected canary units until a change of a mean is established; `deviation` is one unit's standard deviation."""
    if not deviation > 0:
        raise ValueError("deviation must be above 0")
    share = checked.level("canary_share", canary_share)
    gain = effect**2 * (1 - share) / (2 * deviation**2)
    return PRICE * log(1 / checked.level("alpha", alpha)) / gain if gain > 0 else float("inf")


def time_until(trials: float, *, trials_per_hour: float) -> timedelta | None:
    """How long until so many trials have come in at this pace; None when never, or beyond what a date can hold."""
    if trials < 0 or trials_per_hour < 0:
        raise ValueError("trials and trials_per_hour must be at least 0")
    if trials_per_hour == 0 or trials / trials_per_hour > timedelta.max.total_seconds() / 3600:
        return None
    return timedelta(hours=trials / trials_per_hour)


def smallest_noticeable(
    control_rate: float, trials: float, *, canary_share: float, side: checked.Side, alpha: float = 0.05
) -> float | None:
    """The smallest change of a rate (in points, positive) established within so many canary trials; None if none is."""
    p_C = checked.level("control_rate", control_rate)
    far = 1 - 1e-9 if checked.side_of(side) else 1e-9

    def seen(rate: float) -> bool:
        return canary_trials(p_C, rate, canary_share=canary_share, alpha=alpha) <= trials

    if not seen(far):
        return None
    near = p_C
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (near, middle) if seen(middle) else (middle, far)
    return abs(far - p_C)


def _divergence(p: float, q: float) -> float:
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
