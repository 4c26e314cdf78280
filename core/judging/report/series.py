"""History of a metric's difference: one point per look, for a chart with the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.judging.look.look import Look
from core.judging.model import confidence_range
from core.judging.model.question import Question

MAX_POINTS = 200
"""Looks that a chart shows at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPoint:
    """One look at one metric. `difference`, `low` and `high` as in `Measure`; `stage` is the stage's index."""

    at: datetime
    stage: int
    difference: float | None
    low: float | None
    high: float | None


def build_series(question: Question, looks: Sequence[Look], metric: str) -> tuple[SeriesPoint, ...]:
    """One point per look, each since the start of that look's stage. Looks without data of the metric are skipped.

    `question` is the latest one.
    """
    found = (_build_point(question, look, metric) for look in looks)
    return tuple(point for point in found if point is not None)


def _build_point(question: Question, look: Look, metric: str) -> SeriesPoint | None:
    # Before its cap was known, a mean was compared by its raw readings.
    cells = (question.comparison_cell(metric), metric)
    standing = next((one for cell in cells if (one := look.find_comparison(cell, look.stage)) is not None), None)
    if standing is None or standing.canary is None or standing.control is None:
        return None
    entry = question.entry_of(metric)
    limit = next((one for one in question.criteria if one.metric == metric), None)
    low, high = confidence_range.compute_range(limit, entry, standing.paired_estimate)
    difference = confidence_range.compute_difference(limit, entry, standing.paired_estimate)
    return SeriesPoint(at=look.at, stage=look.stage, difference=difference, low=low, high=high)
