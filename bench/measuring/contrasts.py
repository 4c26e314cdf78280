"""The stage-stratified difference of both arms and its standard error, as judging puts them together."""

from numpy.typing import ArrayLike

from core.stats.input_checks import Array
from core.stats.sequential import mean


def contrast(canary: ArrayLike, control: ArrayLike) -> tuple[Array, Array]:
    """(estimate, standard error) of canary - control, compared within stages only."""
    levels = mean.stratify_levels(canary, control)
    return levels.canary - levels.control, levels.standard_error()
