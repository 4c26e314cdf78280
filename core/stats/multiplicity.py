"""Multiple testing: e-BH for the false discovery rate."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.stats import input_checks


def e_bh(log_e: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Which tests are discoveries at false discovery rate `alpha`: tests on the last axis, leading axes independent.

    Rejects the k largest, k the last with E_(k) >= K / (k alpha); any dependence. Pass current e-values, never running
    maxima. ValueError on NaN or bad alpha. Source: Wang and Ramdas, False discovery rate control with e-values (2022).
    """
    logs, rate = input_checks.check_not_nan("log_e", log_e), input_checks.check_probability("alpha", alpha)
    if logs.ndim == 0:
        raise ValueError("log_e needs an axis of tests")
    tests = logs.shape[-1]
    if tests == 0:
        return np.zeros(logs.shape, dtype=np.bool_)
    ranks = np.arange(1, tests + 1)
    ordered = -np.sort(-logs, axis=-1)
    reached = ordered >= np.log(tests / (ranks * rate))
    found = np.where(reached, ranks, 0).max(axis=-1, keepdims=True)
    edge = np.take_along_axis(ordered, np.maximum(found - 1, 0), axis=-1)
    return np.asarray((found > 0) & (logs >= edge), dtype=np.bool_)
