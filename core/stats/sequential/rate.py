"""E-processes for event rates with an exposure but no trials, such as complaints that arrive after their requests."""

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array, Side
from core.stats.sequential.proportion import log_mean

RATE_RATIOS = np.geomspace(1.4, 8.0, 5)


def log_e_two_sample(
    canary_events: ArrayLike,
    control_events: ArrayLike,
    canary_exposure: ArrayLike,
    control_exposure: ArrayLike,
    *,
    side: Side,
    ratio: float = 1.0,
) -> Array:
    """Cumulative log e-value, shape (..., ticks): H0 canary rate <= ratio * control rate ("greater") or >= ("less").

    Given all events of a tick, the canary's share of them is binomial, whatever the base rate. Exposures must be known
    before the events. A tick without exposure in one arm adds nothing.
    Source: Lindon and Malek, "Anytime-valid inference for multinomial count data" (2022), section 4.
    """
    steps = two_sample_increments(
        canary_events, control_events, canary_exposure, control_exposure, side=side, ratio=ratio
    )
    input_checks.require_ticks("canary_events", steps[..., 0])
    return log_mean(np.cumsum(steps, axis=-2))


def two_sample_increments(
    canary_events: ArrayLike,
    control_events: ArrayLike,
    canary_exposure: ArrayLike,
    control_exposure: ArrayLike,
    *,
    side: Side,
    ratio: float = 1.0,
) -> Array:
    """Increments of the K log components for one tick, shape (..., K): the online form of `log_e_two_sample`."""
    more = input_checks.is_greater_side(side)
    if not np.isfinite(ratio) or ratio <= 0:
        raise ValueError(f"ratio must be above 0, not {ratio}")
    arrays = {
        "canary_events": input_checks.check_counts("canary_events", canary_events),
        "control_events": input_checks.check_counts("control_events", control_events),
        "canary_exposure": input_checks.check_counts("canary_exposure", canary_exposure),
        "control_exposure": input_checks.check_counts("control_exposure", control_exposure),
    }
    s_T, s_C, e_T, e_C = (array[..., np.newaxis] for array in input_checks.broadcast_together(arrays))
    kappa = ratio * (RATE_RATIOS if more else 1 / RATE_RATIOS)
    speaks = (e_T > 0) & (e_C > 0)
    with np.errstate(all="ignore"):
        gain = s_T * np.log(kappa / ratio) + (s_T + s_C) * np.log((ratio * e_T + e_C) / (kappa * e_T + e_C))
    return np.where(speaks, gain, 0.0)
