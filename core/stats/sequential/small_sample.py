"""Exact evidence from a handful of yes-or-no answers of two groups, however often it is looked at."""

from math import exp, inf, lgamma, log, log1p


def log_e_more_often(canary_yes: int, canary_all: int, control_yes: int, control_all: int) -> float:
    """Log e-value that yes is more frequent in the canary than in control; at most 0 if it is not.

    H0: the canary's rate is at most control's, whatever both are. The numerator is the likelihood under a uniform
    mixture of every pair of rates with the canary's above control's, the denominator the largest likelihood under H0.
    So it may be looked at after every answer. ValueError on counts that cannot have happened.
    Source: universal inference, Wasserman, Ramdas and Balakrishnan (2020); Ville (1939).
    """
    for yes, asked in ((canary_yes, canary_all), (control_yes, control_all)):
        if not 0 <= yes <= asked:
            raise ValueError(f"{yes} of {asked} answers cannot have happened")
    if not canary_all or not control_all:
        return 0.0
    canary, control = (canary_yes + 1, canary_all - canary_yes + 1), (control_yes + 1, control_all - control_yes + 1)
    above = compute_chance_above(*canary, *control)
    mixed = log(2) + _log_beta(*canary) + _log_beta(*control) + (log(above) if above > 0 else -inf)
    return mixed - _log_likelihood_under_null(canary_yes, canary_all, control_yes, control_all)


def compute_chance_above(first_yes: int, first_no: int, second_yes: int, second_no: int) -> float:
    """The chance that a Beta(first_yes, first_no) rate lies above an independent Beta(second_yes, second_no) rate.

    All four are at least 1. A finite sum, exact up to rounding.
    """
    terms = (
        exp(
            _log_beta(second_yes + i, second_no + first_no)
            - log(first_no + i)
            - _log_beta(1 + i, first_no)
            - _log_beta(second_yes, second_no)
        )
        for i in range(first_yes)
    )
    return min(1.0, sum(terms))


def _log_likelihood_under_null(canary_yes: int, canary_all: int, control_yes: int, control_all: int) -> float:
    if canary_yes * control_all <= control_yes * canary_all:
        return _log_likelihood(canary_yes, canary_all) + _log_likelihood(control_yes, control_all)
    return _log_likelihood(canary_yes + control_yes, canary_all + control_all)


def _log_likelihood(yes: int, asked: int) -> float:
    """The log likelihood of the answers at their own rate."""
    if yes in {0, asked}:
        return 0.0
    rate = yes / asked
    return yes * log(rate) + (asked - yes) * log1p(-rate)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
