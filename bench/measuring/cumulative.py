"""The log e-value of two arms after every tick, from the counts of each, as judging adds it up look by look."""

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array, Side
from core.stats.sequential import proportion


def log_e_two_sample(
    canary_successes: ArrayLike,
    canary_trials: ArrayLike,
    control_successes: ArrayLike,
    control_trials: ArrayLike,
    *,
    side: Side,
    ratio: float = 1.0,
    shift: float = 0.0,
    alternatives: ArrayLike | None = None,
) -> Array:
    """Cumulative log e-value of canary against control, shape (..., ticks) like every count, one entry per tick.

    Counts broadcast as in numpy; the rest is as in `proportion.two_sample_increments`.
    """
    came, of = input_checks.check_successes("canary_", canary_successes, canary_trials)
    came_there, of_there = input_checks.check_successes("control_", control_successes, control_trials)
    # Broadcast before summing over ticks: an axis of length 1 stands for all ticks.
    came, of, came_there, of_there = input_checks.broadcast_together(
        {"canary_successes": came, "canary_trials": of, "control_successes": came_there, "control_trials": of_there}
    )
    input_checks.require_ticks("control_trials", of_there)
    steps = proportion.two_sample_increments(
        came,
        of,
        came_there,
        of_there,
        earlier_successes=_cumulate_before(came_there),
        earlier_trials=_cumulate_before(of_there),
        side=side,
        ratio=ratio,
        shift=shift,
        alternatives=alternatives,
    )
    return proportion.log_mean(np.cumsum(steps, axis=-2))


def _cumulate_before(counts: Array) -> Array:
    return np.concatenate([np.zeros_like(counts[..., :1]), np.cumsum(counts, axis=-1)[..., :-1]], axis=-1)
