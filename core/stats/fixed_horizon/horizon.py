"""Confidence intervals for one look at a time fixed beforehand."""

from core.stats import input_checks


def fixed_interval(
    estimate: float, standard_error: float, *, alpha: float, degrees_of_freedom: float
) -> tuple[float, float]:
    """Two-sided interval (low, high) at level 1 - alpha, by Student's t; valid for one look only.

    ValueError unless alpha is in (0, 1), the error is positive and there is a degree of freedom.
    """
    from scipy.special import stdtrit

    input_checks.check_probability("alpha", alpha)
    if not (0 < standard_error < float("inf")) or degrees_of_freedom < 1:
        raise ValueError("an interval needs a positive standard error and a degree of freedom")
    half = float(stdtrit(degrees_of_freedom, 1 - alpha / 2)) * standard_error
    return estimate - half, estimate + half


def widen_for_few_degrees(degrees_of_freedom: float, *, alpha: float) -> float:
    """By how much wider Student's t is than the normal distribution at level 1 - alpha, at least 1.

    ValueError unless alpha is in (0, 1) and there is a degree of freedom.
    """
    from scipy.special import ndtri, stdtrit

    input_checks.check_probability("alpha", alpha)
    if degrees_of_freedom < 1:
        raise ValueError("a range needs a degree of freedom")
    return float(stdtrit(degrees_of_freedom, 1 - alpha / 2) / ndtri(1 - alpha / 2))
