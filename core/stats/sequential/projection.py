"""Reverse information projection: the point of the null line with the least KL divergence from an alternative."""

import numpy as np
from numpy.typing import NDArray

from core.stats.input_checks import Array

_STEPS = 80
_CLOSE = 1e-12  # a Newton step this short leaves an error far below rounding error


def nearest_null(
    p_T: Array, p_C: Array, n_T: Array, n_C: Array, *, ratio: float, shift: float, where: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """(canary, control) rates on y = ratio * x + shift that minimise n_T KL(p_T || y) + n_C KL(p_C || x).

    Elementwise over broadcast arrays; entries outside `where` are meaningless. The minimiser over a convex null is
    the null's least favourable point, which makes the likelihood ratio against it an e-variable.
    Source: Turner, Ly and Gruenwald (2024), theorem 1; solved by a bracketed Newton iteration.
    """
    if ratio == 1.0 and shift == 0.0:
        with np.errstate(all="ignore"):
            pooled = (n_T * p_T + n_C * p_C) / (n_T + n_C)
        return pooled, pooled
    p_T, p_C, n_T, n_C, active = np.broadcast_arrays(p_T, p_C, n_T, n_C, np.asarray(where))
    first, last = max(0.0, -shift / ratio), min(1.0, (1 - shift) / ratio)
    on_line = np.clip((p_T - shift) / ratio, first, last)
    at_control = np.clip(p_C, first, last)
    low, high = np.minimum(on_line, at_control), np.maximum(on_line, at_control)
    x = (low + high) / 2
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            slope, curve = _slope_and_curvature(x, p_T, p_C, n_T, n_C, ratio, shift)
            low, high = np.where(slope > 0, x, low), np.where(slope > 0, high, x)
            newton = x - slope / curve
            following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
            moved = np.abs(following - x)[active]
            x = following
            if moved.size == 0 or moved.max() < _CLOSE:
                break
    return ratio * x + shift, x


def _slope_and_curvature(
    x: Array, p_T: Array, p_C: Array, n_T: Array, n_C: Array, ratio: float, shift: float
) -> tuple[Array, Array]:
    y = ratio * x + shift
    spread_T, spread_C = y * (1 - y), x * (1 - x)
    slope = n_T * ratio * (p_T - y) / spread_T + n_C * (p_C - x) / spread_C
    curve = (
        -n_T * ratio**2 * (y * y - 2 * p_T * y + p_T) / spread_T**2 - n_C * (x * x - 2 * p_C * x + p_C) / spread_C**2
    )
    return slope, curve
