"""Input checks: impossible values raise ValueError with the name of the argument."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Side: TypeAlias = Literal["greater", "less"]


def check_finite(name: str, value: ArrayLike) -> Array:
    """Return the values as float64. Raises ValueError if one is NaN or infinite."""
    array = np.asarray(value, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not a finite number")
    return array


def check_not_nan(name: str, value: ArrayLike) -> Array:
    """Return the values as float64; infinities are allowed. Raises ValueError if one is NaN."""
    array = np.asarray(value, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError(f"{name} holds NaN")
    return array


def check_counts(name: str, value: ArrayLike) -> Array:
    """Return the values as float64. Raises ValueError unless all are finite and at least 0."""
    array = check_finite(name, value)
    if (array < 0).any():
        raise ValueError(f"{name} holds a negative count")
    return array


def check_successes(name: str, successes: ArrayLike, trials: ArrayLike) -> tuple[Array, Array]:
    """Return successes and trials, broadcast to one shape. Raises ValueError unless 0 <= successes <= trials."""
    happened, tried = broadcast_together(
        {
            f"{name}successes": check_counts(f"{name}successes", successes),
            f"{name}trials": check_counts(f"{name}trials", trials),
        }
    )
    if (happened > tried).any():
        raise ValueError(f"{name}successes are above {name}trials")
    return happened, tried


def broadcast_together(arrays: dict[str, Array]) -> tuple[Array, ...]:
    """Broadcast the arrays to one shape. Raises ValueError that names every shape if numpy cannot."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) == 1:
        return tuple(arrays.values())
    try:
        return tuple(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes cannot be broadcast: {told}") from None


def require_ticks(name: str, array: Array) -> Array:
    """Return the array. Raises ValueError for a scalar, which lacks the last axis: the ticks."""
    if array.ndim == 0:
        raise ValueError(f"{name} needs an axis of ticks")
    return array


def is_greater_side(side: str) -> bool:
    """Whether the side is "greater". Raises ValueError unless it is "greater" or "less"."""
    if side not in get_args(Side):
        raise ValueError(f'side must be "greater" or "less", not {side!r}')
    return side == "greater"


def check_odds_ratios(alternatives: ArrayLike) -> Array:
    """Return odds ratios of shape (K,). Raises ValueError unless all are above 1."""
    array = check_finite("alternatives", alternatives)
    if array.ndim != 1 or array.size == 0 or (array <= 1).any():
        raise ValueError("alternatives must be odds ratios of shape (K,), all above 1")
    return array


def check_probability(name: str, value: float) -> float:
    """Return the number. Raises ValueError unless it lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, not {value}")
    return float(value)
