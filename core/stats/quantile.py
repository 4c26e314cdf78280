"""Quantiles from log-histograms: sparse mappings from bin to count that merge by addition."""

from collections.abc import Mapping
from functools import cache
from math import ceil, isfinite, log

import numpy as np
from numpy.typing import NDArray

from core.stats.input_checks import Array

GAMMA = 1.02
LOWEST_BIN = -2000  # 6e-18 and everything below it, zero included
_LOG_GAMMA = log(GAMMA)
_TOLERANCE = 1e-9


def bin_index(value: float) -> int:
    """Bin b with GAMMA^(b-1) < value <= GAMMA^b. Raises ValueError for a negative or non-finite value.

    The logarithmic mapping of DDSketch (Masson, Rim and Lee 2019): relative error at most 1 %.
    """
    if not isfinite(value) or value < 0:
        raise ValueError(f"a histogram takes finite values of at least 0, not {value}")
    if value <= 0:
        return LOWEST_BIN
    return max(ceil(log(value) / _LOG_GAMMA - _TOLERANCE), LOWEST_BIN)


def bin_indices(values: Array) -> NDArray[np.int64]:
    """Bins of many values at once, as in `bin_index`. Values must be finite and at least 0; that is not checked."""
    logs = np.log(np.maximum(values, GAMMA**LOWEST_BIN))
    return np.maximum(np.ceil(logs / _LOG_GAMMA - _TOLERANCE).astype(np.int64), LOWEST_BIN)


@cache  # there are few bins, each asked for at every look
def bin_value(position: int) -> float:
    """Representative value of a bin, within 1 % of every value in it."""
    return 0.0 if position <= LOWEST_BIN else 2 * GAMMA ** int(position) / (GAMMA + 1)


def upper_edge(position: int) -> float:
    """Largest value that falls into a bin."""
    # numpy integers would use numpy's pow, whose last digit depends on the processor.
    return 0.0 if position <= LOWEST_BIN else GAMMA ** int(position)


def estimate_quantile(counts: Mapping[int, int], q: float) -> float | None:
    """Estimate of the q-quantile, within 1 %; None if the histogram is empty. Raises ValueError if q is not in [0,
    1]."""
    if not 0 <= q <= 1:
        raise ValueError(f"q must lie in [0, 1], not {q}")
    total = _count_values(counts)
    if total == 0:
        return None
    reached = 0
    filled = sorted(position for position, count in counts.items() if count)
    for position in filled:
        reached += counts[position]
        if reached >= q * total:
            return bin_value(position)
    return bin_value(filled[-1])


def count_above(counts: Mapping[int, int], threshold: float) -> int:
    """Number of values certainly above the threshold: only bins wholly above it count."""
    first = bin_index(threshold) + 1
    _count_values(counts)
    return sum(count for position, count in counts.items() if position >= first)


def histogram_variance(counts: Mapping[int, int]) -> float:
    """Sample variance of the values, taken at their bins; 0 for fewer than two values."""
    total = sum(counts.values())
    if total < 2:
        return 0.0
    values = np.array([bin_value(position) for position in counts])
    weights = np.array(list(counts.values()), dtype=np.float64)
    centre = float((weights * values).sum()) / total
    return float((weights * (values - centre) ** 2).sum() / (total - 1))


def _count_values(counts: Mapping[int, int]) -> int:
    if min(counts.values(), default=0) < 0:
        raise ValueError("a histogram holds a negative count")
    return sum(counts.values())
