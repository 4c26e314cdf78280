"""History of a metric's difference: one point per look, for a chart with the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.judging.look.look import Look
from core.judging.model import confidence_range
from core.judging.model.question import Question
from core.metrics.catalogue import CATALOGUE

SHOWN = 200
"""Looks that a chart shows at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One look at one metric. `difference`, `low` and `high` as in `Measure`; `stage` is the stage's index."""

    at: datetime
    stage: int
    difference: float | None
    low: float | None
    high: float | None


def points(question: Question, looks: Sequence[Look], metric: str) -> tuple[Point, ...]:
    """One point per look, each since the start of that look's stage. Looks without data of the metric are skipped.

    `question` is the latest one.
    """
    found = (_point(question, look, metric) for look in looks)
    return tuple(point for point in found if point is not None)


def _point(question: Question, look: Look, metric: str) -> Point | None:
    # Before its cap was known, a mean was compared by its raw readings.
    cells = (question.cell(metric), metric)
    standing = next((one for cell in cells if (one := look.standing(cell, look.stage)) is not None), None)
    if standing is None or standing.canary is None or standing.control is None:
        return None
    entry = CATALOGUE[metric]
    limit = next((one for one in question.criteria if one.metric == metric), None)
    low, high = confidence_range.shown(limit, entry, standing.beside)
    difference = confidence_range.difference(limit, entry, standing.beside)
    return Point(at=look.at, stage=look.stage, difference=difference, low=low, high=high)
