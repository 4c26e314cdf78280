"""Evidence of harm with an unknown onset: a mixture over start times whose weights sum to less than 1."""

from collections.abc import Sequence
from math import exp, log

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array

_WEIGHT_SUM_BOUND = 1.07
"""At least the sum of 1 / (n ln^2 n) over n >= 3: 1.00013 up to two million, and 1 / ln(2e6) bounds the rest."""


def log_start_weight(start: int, *, horizons: Sequence[int] = ()) -> float:
    """Log weight of the `start`-th start (from 1); the weights of all starts sum to less than 1.

    1 / (1.07 (m + 2) ln^2(m + 2)) has nearly the heaviest tail that is summable, so late starts stay affordable: the
    36th costs 6.3 nats. With `horizons` that has half of the weight, and the horizons share the other half evenly: a
    horizon of n gives each of its first n starts the same share, so that none of these costs more than
    ln(2 n len(horizons)). ValueError below 1. Source: the first step of the universal prior of Rissanen (1983).
    """
    if start < 1:
        raise ValueError(f"starts count from 1, not {start}")
    if any(one < 1 for one in horizons):
        raise ValueError("a horizon has at least one start")
    reach = start + 2
    universal = -log(_WEIGHT_SUM_BOUND * reach) - 2 * log(log(reach))
    if not horizons:
        return universal
    even = sum(1 / one for one in horizons if start <= one) / len(horizons)
    return log((exp(universal) + even) / 2)


def advance_mixture(components: ArrayLike, increments: ArrayLike, *, forget: float, log_start: float | None) -> Array:
    """The log components one tick later, elementwise: ln(((1 - forget) M + w) e^increment).

    `components` are the logs of M, -inf before the first start; `increments` is what the tick adds to the log
    components of an e-process; `log_start` is ln w if a start falls on this tick, else None. `forget` in [0, 1)
    discounts old starts, so that the mixture has a memory of about 1 / forget ticks. With `forget` = 0 and a single
    start at the first tick it is the e-process itself. The result is an e-value at any time: a mixture of e-processes
    that start later, with some weight discarded. ValueError on NaN, shapes that do not broadcast or a bad `forget`.
    Source: Shiryaev (1963) with a summable prior; e-detectors of Shin, Ramdas and Rinaldo (2024) without one.
    """
    logs = input_checks.check_not_nan("components", components)
    added = input_checks.check_finite("increments", increments)
    if not 0 <= forget < 1:
        raise ValueError(f"forget must lie in [0, 1), not {forget}")
    logs, added = input_checks.broadcast_together({"components": logs, "increments": added})
    kept = logs + np.log1p(-forget)
    if log_start is not None:
        kept = np.logaddexp(kept, log_start)
    return np.asarray(kept + added, dtype=np.float64)
