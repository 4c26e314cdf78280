"""Compare a metric's change with what its owner expected."""

from core.judging.limits.default_limits import ExpectedChange
from core.judging.model.confidence_range import Estimate
from core.judging.model.verdict import AsExpected
from core.metrics.catalogue import MarginScale, Metric


def compare_with_expectation(
    expected: ExpectedChange,
    entry: Metric,
    estimate: Estimate,
    difference: float | None,
    low: float | None,
    high: float | None,
) -> AsExpected:
    """Compare `difference` and its confidence sequence (low, high) with the expectation.

    "up" and "down" are met once the sequence excludes zero in that direction, and missed once it lies wholly outside
    the expected range. "same" is met while it stays within the default margin. An unknown range shows nothing yet.
    """
    if difference is None or low is None or high is None:
        return "not shown yet"
    if not expected.points and entry.margin_scale is not MarginScale.RELATIVE:
        control = estimate.control or 0.0
        if control <= 0:
            return "not shown yet"
        low, high = low / control, high / control
    margin = entry.default_margin or 0.02
    if expected.direction == "same":
        if -margin <= low and high <= margin:
            return "as expected"
        return "not as expected" if low > margin or high < -margin else "not shown yet"
    bottom, top = _expected_bounds(expected)
    if low > top or high < bottom:
        return "not as expected"
    shown = low > 0 if expected.direction == "up" else high < 0
    return "as expected" if shown else "not shown yet"


def _expected_bounds(expected: ExpectedChange) -> tuple[float, float]:
    """The expected range: from no change to the far end that was named."""
    far = float("inf")
    if expected.direction == "up":
        return 0.0, far if expected.high is None else expected.high
    return -far if expected.low is None else expected.low, 0.0
