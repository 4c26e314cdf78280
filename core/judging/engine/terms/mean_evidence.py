"""Log e-values of means: how far an estimate lies beyond a bound, against its standard error."""

from core.judging.limits.hypothesis import Hypothesis
from core.stats.sequential import mean


def log_e_against_past(
    hypothesis: Hypothesis, level: float | None, bound: float, error: float | None, tau: float | None
) -> float:
    """Evidence that a level lies beyond a bound that control's past gives."""
    return 0.0 if level is None else _log_e_half_normal(hypothesis.sign * (level - bound), error, tau)


def log_e_above_amount(level: float | None, amount: float, error: float | None, tau: float | None) -> float:
    """Evidence that a level lies above a fixed number."""
    return 0.0 if level is None else _log_e_half_normal(level - amount, error, tau)


def log_e_of_difference(
    hypothesis: Hypothesis, canary: float | None, control: float | None, error: float | None, tau: float | None
) -> float:
    """Evidence that the canary differs from control by more than the hypothesis allows."""
    if canary is None or control is None:
        return 0.0
    return _log_e_half_normal(hypothesis.sign * (canary - hypothesis.ratio * control - hypothesis.shift), error, tau)


def _log_e_half_normal(estimate: float, error: float | None, tau: float | None) -> float:
    """Log e-value of the half-normal mixture; 0 if error or tau is unknown. An error of 0 is not certainty either."""
    if error is None or error <= 0 or tau is None:
        return 0.0
    return float(mean.log_e_half_normal(estimate / error, (tau / error) ** 2))
