"""Whether complaints are beyond the baseline of the same hours of the week, as Poisson counts."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from core.rollout.plans.baseline import HourlyComplaints
from core.stats.input_checks import Array
from core.stats.sequential import rate

AT_MOST_CHANCE = 0.99  # of a number of complaints up to `ComplaintComparison.at_most` where nothing has changed
MARGIN = 0.5  # a rise by less is not called beyond the baseline
_THRESHOLD = log(100)  # at most one rollout in a hundred is held though its complaints rose by less than the margin


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintComparison:
    """Complaints of some hours beside the baseline of the same hours of the week.

    `expected` is the baseline's number for as many requests; `at_most` is not exceeded in 99 of 100 such periods, the
    uncertainty of the past included. `log_e` is the log e-value of a rise by more than half.
    """

    requests: int
    complaints: int
    expected: float
    at_most: int
    log_e: float

    @property
    def is_beyond_baseline(self) -> bool:
        """Whether a rise by more than half is shown, however often it was looked at."""
        return self.log_e >= _THRESHOLD


def compare_with_baseline(
    counted: Sequence[HourlyComplaints], baseline: Sequence[HourlyComplaints]
) -> ComplaintComparison | None:
    """Compare the hours of a week with the baseline's; None if no hour is in both.

    `counted` are different hours of the week in the order in which they passed, at most one week. Given both numbers,
    the share of the complaints that is new is binomial, whatever the hour's rate.
    """
    baseline_by_hour = {one.hour: one for one in baseline if one.requests}
    both = [(one, baseline_by_hour[one.hour]) for one in counted if one.requests and one.hour in baseline_by_hour]
    if not both:
        return None
    new_events, new_requests = (np.array([getattr(one, key) for one, _ in both]) for key in ("complaints", "requests"))
    old_events, old_requests = (np.array([getattr(one, key) for _, one in both]) for key in ("complaints", "requests"))
    scale = new_requests / old_requests
    evidence = rate.log_e_two_sample(
        new_events, old_events, new_requests, old_requests, side="greater", ratio=1 + MARGIN
    )
    expected = float((old_events * scale).sum())
    return ComplaintComparison(
        requests=int(new_requests.sum()),
        complaints=int(new_events.sum()),
        expected=expected,
        at_most=_find_upper(old_events, scale),
        log_e=float(evidence[-1]),
    )


def _find_upper(events: Array, scale: Array) -> int:
    """The 99 % quantile of the number of complaints: Poisson around a level that was itself only measured.

    With Jeffreys' prior the number of each hour is negative binomial; their sum is matched by mean and variance.
    """
    mean = float(((events + 0.5) * scale).sum())
    variance = mean + float(((events + 0.5) * scale**2).sum())
    size = mean**2 / (variance - mean)
    return find_negative_binomial_quantile(AT_MOST_CHANCE, size, size / (size + mean))


def find_negative_binomial_quantile(chance: float, size: float, success: float) -> int:
    """The smallest number that a negative binomial one exceeds with at most 1 - `chance`; `size` need not be whole.

    It counts failures before `size` successes, each of chance `success`.

    Not by scipy.stats, which takes a third of the start of every process to load.
    """
    from scipy.special import betainc

    def reaches(number: int) -> bool:
        return bool(betainc(size, number + 1, success) >= chance)

    above = 1
    while not reaches(above):
        above *= 2
    return bisect_left(range(above), True, key=reaches)
