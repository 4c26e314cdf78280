"""Intervals and tests for a sample that is looked at once, as an offline eval is; everything else here may be
watched.
"""

from collections.abc import Sequence
from math import floor, sqrt

CONFIDENCE = 0.95


def proportion_interval(successes: int, trials: int) -> tuple[float, float]:
    """The exact two-sided interval of a rate (Clopper and Pearson 1934). Covers at least as often as it says."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no sample")
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def exact_mcnemar(broke: int, mended: int) -> float:
    """The two-sided p-value that two versions pass the same cases equally often (McNemar 1947, exact).

    Given the cases on which they disagree, each is as likely to have broken as to have been mended. 1 without any.
    """
    if broke < 0 or mended < 0:
        raise ValueError("counts cannot be negative")
    from scipy.special import bdtr

    if broke == mended:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(broke, mended), broke + mended, 0.5)))


def nearest_rank(ordered: Sequence[float], q: float) -> float:
    """The smallest value that at least the share `q` of the ordered values does not exceed."""
    if not ordered:
        raise ValueError("there are no values")
    return ordered[-floor(-len(ordered) * round(q * 1000) / 1000) - 1]


def quantile_interval(ordered: Sequence[float], q: float) -> tuple[float | None, float | None]:
    """The interval of the quantile `q` between two of the ordered values, without assuming a distribution.

    An end is None if the sample is too small to bound it (David and Nagaraja 2003, 7.1): the 95th percentile has an
    upper end from 72 values on.
    """
    from scipy.special import bdtr, bdtrik

    size, tail = len(ordered), (1 - CONFIDENCE) / 2
    if size == 0:
        raise ValueError("there are no values")
    # The number of values below the quantile is binomial; `bdtrik` inverts it only to within rounding.
    below = floor(float(bdtrik(tail, size, q))) if float(bdtr(0, size, q)) <= tail else -1
    while below >= 0 and float(bdtr(below, size, q)) > tail:
        below -= 1
    above = max(0, floor(float(bdtrik(1 - tail, size, q))))
    while above < size and float(bdtr(above, size, q)) < 1 - tail:
        above += 1
    return (ordered[below] if below >= 0 else None), (ordered[above] if above < size else None)


def ratio_interval(new: Sequence[float], current: Sequence[float]) -> tuple[float, float] | None:
    """The interval of the ratio of two means over the same cases, by the delta method for paired values.

    None with fewer than two cases, or if the current values sum to nothing.
    """
    size, total = len(current), sum(current)
    if len(new) != size:
        raise ValueError("both versions need a value for each case")
    if size < 2 or total <= 0:
        return None
    from scipy.special import stdtrit

    ratio = sum(new) / total
    residuals = sum((after - ratio * before) ** 2 for after, before in zip(new, current, strict=True))
    error = sqrt(residuals * size / (size - 1)) / total
    width = float(stdtrit(size - 1, (1 + CONFIDENCE) / 2)) * error
    return max(0.0, ratio - width), ratio + width
