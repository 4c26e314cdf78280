"""Evidence of harm that begins at an unknown time: a mixture over starts, whose weights sum to less than one."""

from math import log

import numpy as np
from numpy.typing import ArrayLike

from core.stats import checked
from core.stats.checked import Array

_WHOLE = 1.07
"""At least the sum of 1 / (n ln^2 n) over n >= 3: 1.00013 up to two million, and 1 / ln(2e6) bounds the rest."""


def log_start_weight(start: int) -> float:
    """ln of the weight of the `start`-th start (from 1); all weights of all time sum to less than 1.

    1 / (1.07 (m + 2) ln^2(m + 2)): nearly as heavy a tail as can be summed, so that a late start is still affordable;
    the 36th costs 6.3 nats. ValueError below 1. Source: the universal prior of Rissanen (1983), its first step.
    """
    if start < 1:
        raise ValueError(f"starts count from 1, not {start}")
    reach = start + 2
    return -log(_WHOLE * reach) - 2 * log(log(reach))


def advance(components: ArrayLike, gains: ArrayLike, *, forget: float, log_start: float | None) -> Array:
    """The log components one tick later, as broadcast: ln(((1 - forget) M + w) e^gain).

    `components` are the logs of M, -inf before the first start; `gains` what the tick adds to the log components of
    an e-process; `log_start` is ln w where a start falls on this tick, else None. `forget` in [0, 1) discounts old
    starts, so that the mixture looks at a window of about 1 / forget ticks. With `forget` = 0 and all starts at the
    first tick it is the e-process itself. An e-value at any time: a mixture of e-processes begun later, part of it
    given away. ValueError on NaN, differing shapes or a bad `forget`.
    Source: Shiryaev (1963) with a summable prior; e-detectors of Shin, Ramdas and Rinaldo (2024) without one.
    """
    logs, added = checked.not_nan("components", components), checked.finite("gains", gains)
    if not 0 <= forget < 1:
        raise ValueError(f"forget must lie in [0, 1), not {forget}")
    logs, added = checked.together({"components": logs, "gains": added})
    kept = logs + np.log1p(-forget)
    if log_start is not None:
        kept = np.logaddexp(kept, log_start)
    return np.asarray(kept + added, dtype=np.float64)
