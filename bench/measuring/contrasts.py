"""The stage-stratified difference of both arms and its standard error, as judging puts them together."""

from numpy.typing import ArrayLike

from core.stats.input_checks import Array
from core.stats.sequential import mean


def contrast(canary: ArrayLike, control: ArrayLike, *, ratio: float = 1.0, shift: float = 0.0) -> tuple[Array, Array]:
    """(estimate, standard error) of canary - ratio * control - shift, compared within stages only."""
    levels = mean.stratify_levels(canary, control)
    return levels.canary - ratio * levels.control - shift, levels.standard_error(ratio)
