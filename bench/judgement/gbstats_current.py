"""The one-sided confidence sequence of GrowthBook's repository, which no released gbstats holds yet, as a formula."""

from math import log

import numpy as np

from bench.measuring.streams import Array

TUNING = 5000.0  # the release's own default


def reaches(estimate: Array, variance: Array, requests: Array, *, alpha: float) -> Array:
    """The lower limit of an effect; harm is found where it is above 0.

    `estimate` and `variance` are of the difference in the direction of harm, `requests` those of both arms together.
    Source: Waudby-Smith et al., "Time-uniform central limit theory" (2021), one-sided; rho is tuned for 2 alpha.
    """
    rho2 = (-2 * log(2 * alpha) + log(-2 * log(2 * alpha) + 1)) / TUNING
    clock = requests * rho2 + 1
    half = np.sqrt(variance) * np.sqrt(2 * clock / (requests * rho2) * np.log(1 + np.sqrt(clock) / (2 * alpha)))
    return np.asarray(estimate - half, dtype=np.float64)
