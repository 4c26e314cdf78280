"""Streams of both arms' outcomes, look by look, drawn from given rates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """0/1 outcomes of shape (runs, looks), counted per look."""

    canary_successes: Array
    canary_trials: Array
    control_successes: Array
    control_trials: Array

    @property
    def counts(self) -> tuple[Array, Array, Array, Array]:
        """In the order in which the kernels take them."""
        return self.canary_successes, self.canary_trials, self.control_successes, self.control_trials


def binomial(
    chance: np.random.Generator,
    *,
    runs: int,
    canary_rate: Array | float,
    control_rate: Array | float,
    canary_trials: ArrayLike,
    control_trials: ArrayLike,
) -> Stream:
    """Independent outcomes; rates and trials broadcast over (runs, looks)."""
    shapes = [np.shape(each) for each in (canary_rate, control_rate, canary_trials, control_trials)]
    shape = (runs, np.broadcast_shapes(*shapes)[-1])
    n_canary, n_control = (
        np.broadcast_to(np.asarray(n, dtype=np.int64), shape) for n in (canary_trials, control_trials)
    )
    return Stream(
        canary_successes=chance.binomial(n_canary, canary_rate).astype(np.float64),
        canary_trials=n_canary.astype(np.float64),
        control_successes=chance.binomial(n_control, control_rate).astype(np.float64),
        control_trials=n_control.astype(np.float64),
    )


def first_look(crossed: NDArray[np.bool_]) -> Array:
    """The number of the first look (from 1) that crossed, per run; infinite where none did."""
    return np.where(crossed.any(axis=-1), crossed.argmax(axis=-1) + 1.0, np.inf)
