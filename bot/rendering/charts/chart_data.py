"""The data behind a trend chart: which points to draw, in which unit, and at which level the limit lies."""

from datetime import timedelta

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Measure
from core.judging.report.power import harm_direction
from core.judging.report.series import SeriesPoint


def measured_points(points: tuple[SeriesPoint, ...]) -> tuple[SeriesPoint, ...]:
    """The points with a difference; if at least two have a range, only those, so that all lines are equally long."""
    with_difference = tuple(p for p in points if p.difference is not None)
    ranged = tuple(p for p in with_difference if p.low is not None and p.high is not None)
    return ranged if len(ranged) > 1 else with_difference


def limit_levels(measure: Measure) -> tuple[float, ...]:
    """The limit as differences from control: one level or two; empty without an agreed limit or a known control."""
    if measure.amount is None or not measure_rows.is_agreed(measure):
        return ()
    if not measure.absolute:
        return {"more": (measure.amount,), "less": (-measure.amount,), "either": (measure.amount, -measure.amount)}[
            harm_direction(measure)
        ]
    if measure.control is None or (measure.relative and measure.control <= 0):
        return ()
    return (measure.amount / measure.control - 1 if measure.relative else measure.amount - measure.control,)


def sample_evenly(points: tuple[SeriesPoint, ...], most: int) -> tuple[SeriesPoint, ...]:
    """At most `most` points, evenly spaced, including the first and the last."""
    if len(points) <= most:
        return points
    return tuple(points[round(i * (len(points) - 1) / (most - 1))] for i in range(most))


def choose_time_format(span: timedelta, marks: int) -> str:
    """The shortest strftime format that tells `marks` times within `span` apart."""
    if span >= timedelta(hours=24):
        return "%d %b %H:%M"
    return "%H:%M" if span >= timedelta(minutes=marks) else "%H:%M:%S"


def scale_to_unit(value: float, measure: Measure) -> float:
    """A difference as a number on the chart's axis: 0.021 of a share becomes 2.1."""
    shown = value * 100 if _in_hundredths(measure) else value * 1000 if measure.unit.startswith("per 1,000") else value
    return float(f"{shown:.3g}")


def axis_unit(measure: Measure) -> str:
    """The unit on the chart's axis: `%`, `pp`, or the metric's own unit."""
    if measure.relative:
        return "%"
    return (
        "pp"
        if measure.unit.startswith("%")
        else wording.shorten(wording.to_single_line(measure.unit, 40), 40) or "difference"
    )


def _in_hundredths(measure: Measure) -> bool:
    return measure.relative or measure.unit.startswith("%")
