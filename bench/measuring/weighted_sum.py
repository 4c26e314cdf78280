"""A weighted sum of e-values, which controls the family-wise error, from an array of them."""

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array


def weighted_log_e(log_e: ArrayLike, weights: ArrayLike) -> Array:
    """log(sum_i w_i E_i) along the last axis; weights of shape (tests,), at least 0, sum at most 1.

    An e-value under any dependence (Vovk and Wang 2021). -inf is E = 0. ValueError on NaN or bad weights.
    """
    logs, w = input_checks.check_not_nan("log_e", log_e), input_checks.check_counts("weights", weights)
    if logs.ndim == 0 or w.shape != logs.shape[-1:]:
        raise ValueError(f"weights {w.shape} do not fit the tests of log_e {logs.shape}")
    if w.sum() > 1 + 1e-9:
        raise ValueError(f"weights sum to {w.sum()}, above 1")
    carried = w > 0
    terms = np.where(carried, logs + np.log(np.where(carried, w, 1.0)), -np.inf)
    return np.asarray(np.logaddexp.reduce(terms, axis=-1), dtype=np.float64)
