"""What a chart of a difference shows: which looks, in which unit, and where the limit lies among them."""

from datetime import timedelta

from bot.rendering import wording
from bot.rendering.numbers import figures
from core.judging.model.verdict import Measure
from core.judging.report.power import harm
from core.judging.report.series import Point


def known(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Looks that saw a difference; with their range as soon as any has one, so that every line is as long."""
    seen = tuple(p for p in points if p.difference is not None)
    ranged = tuple(p for p in seen if p.low is not None and p.high is not None)
    return ranged if len(ranged) > 1 else seen


def limits(measure: Measure) -> tuple[float, ...]:
    """Where the limit lies among the differences; none where nothing was agreed, or where it cannot be said."""
    if measure.amount is None or not figures.agreed(measure):
        return ()
    if not measure.absolute:
        return {"more": (measure.amount,), "less": (-measure.amount,), "either": (measure.amount, -measure.amount)}[
            harm(measure)
        ]
    if measure.control is None or (measure.relative and measure.control <= 0):
        return ()
    return (measure.amount / measure.control - 1 if measure.relative else measure.amount - measure.control,)


def thinned(points: tuple[Point, ...], most: int) -> tuple[Point, ...]:
    """Evenly chosen, the first and the newest among them."""
    if len(points) <= most:
        return points
    return tuple(points[round(i * (len(points) - 1) / (most - 1))] for i in range(most))


def time_format(span: timedelta, marks: int) -> str:
    """How so many times are written, as exactly as it takes to tell them apart."""
    if span >= timedelta(hours=24):
        return "%d %b %H:%M"
    return "%H:%M" if span >= timedelta(minutes=marks) else "%H:%M:%S"


def scaled(value: float, measure: Measure) -> float:
    """A difference as a number of its unit: 0.021 of a share is 2.1."""
    shown = value * 100 if _in_hundredths(measure) else value * 1000 if measure.unit.startswith("per 1,000") else value
    return float(f"{shown:.3g}")


def unit(measure: Measure) -> str:
    """What the numbers of a chart are."""
    if measure.relative:
        return "%"
    return (
        "pp" if measure.unit.startswith("%") else wording.shorten(wording.clean(measure.unit, 40), 40) or "difference"
    )


def _in_hundredths(measure: Measure) -> bool:
    return measure.relative or measure.unit.startswith("%")
