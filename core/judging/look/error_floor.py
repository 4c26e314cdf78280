"""The smallest standard error of an average that is believed, so that constant values give no infinite certainty."""

from math import isfinite, sqrt

from core.metrics.catalogue import Metric

MIN_RELATIVE_SPREAD = 0.01
"""A mean's values are assumed to vary by at least 1 % of their level."""

NEGLIGIBLE_ERROR = 1e-100


def floor_error(entry: Metric, error: float, level: float, readings: float) -> float | None:
    """The error, raised for a mean or ratio to that of `readings` values that vary by `MIN_RELATIVE_SPREAD`.

    None when it is unknown; 0 when it is too small to be squared.
    """
    if not isfinite(error):
        return None
    if entry.is_average and isfinite(level):
        error = max(error, MIN_RELATIVE_SPREAD * level / sqrt(readings))
    return error if error > NEGLIGIBLE_ERROR else 0.0
