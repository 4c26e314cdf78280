"""How a metric's difference developed day by day, from the cumulative sums of recorded looks."""

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from core.judging.limits.limits import Limit
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.look import Look
from core.judging.model import confidence_range
from core.judging.model.comparison import CourseDay, MetricCourse, Trend
from core.judging.model.confidence_range import Estimate
from core.judging.model.question import Question
from core.metrics.catalogue import Metric, MetricKind

EARLY_DAYS = 3
"""The first days of a comparison, in which people react to what is new."""
MIN_DAYS_FOR_TREND = 4
_CERTAIN = NormalDist().inv_cdf(1 - 0.01 / 2)  # a note is given at 99 %


class _Standing(NamedTuple):
    """Both arms' sums and the variance of their difference, from the beginning of the stage to one moment."""

    canary: float
    canary_weight: float
    control: float
    control_weight: float
    variance: float

    @property
    def weight(self) -> float:
        return self.canary_weight * self.control_weight / (self.canary_weight + self.control_weight)

    @property
    def difference(self) -> float:
        return self.canary / self.canary_weight - self.control / self.control_weight

    @property
    def is_known(self) -> bool:
        return self.canary_weight > 0 and self.control_weight > 0

    def since(self, before: "_Standing") -> "_Standing":
        """What came in after `before`. The variance takes both parts as independent.

        The same people come on several days, so that the parts are correlated positively: the true variance of what
        came later, and of its difference to what came before, is smaller.
        """
        canary_weight = self.canary_weight - before.canary_weight
        control_weight = self.control_weight - before.control_weight
        later = _Standing(
            self.canary - before.canary, canary_weight, self.control - before.control, control_weight, 0.0
        )
        if canary_weight <= 0 or control_weight <= 0:
            return later._replace(variance=float("inf"))
        if not before.is_known:
            return later._replace(variance=self.variance)
        shared = self.weight**2 * self.variance - before.weight**2 * before.variance
        floor = self.variance * self.weight / later.weight  # were every request as telling as the average one
        return later._replace(variance=max(shared / later.weight**2, floor))


_NOTHING = _Standing(0.0, 0.0, 0.0, 0.0, 0.0)


def build_course(question: Question, looks: Sequence[Look | None], metric: str) -> MetricCourse:
    """The course of a metric over the current stage.

    `looks` has the last look of each day in order, None for a day without any. A day in which an arm had no reading
    has no difference. Quantiles have no sums, so that only their name is known.
    """
    entry = question.entry_of(metric)
    if entry.kind is MetricKind.QUANTILE:
        return MetricCourse(metric=metric)
    ends = list(_read_standings(question, looks, metric))
    limit = next((one for one in question.criteria if one.metric == metric and not one.is_absolute), None)
    days = tuple(_build_days(limit, entry, ends))
    known = [day.since(before) for before, day in zip((_NOTHING, *ends), ends, strict=False)]
    early, late, is_novelty = _compare_early(limit, entry, ends)
    return MetricCourse(
        metric=metric, days=days, early=early, late=late, is_novelty=is_novelty, trend=_find_trend(known)
    )


def _read_standings(question: Question, looks: Sequence[Look | None], metric: str) -> Iterator[_Standing]:
    """The sums at the end of each day; as before for a day without a look."""
    before = _NOTHING
    for look in looks:
        cell = question.comparison_cell(metric)
        found = (
            look.find_comparison(cell, question.current)
            if look is not None and look.stage == question.current
            else None
        )
        before = _to_standing(found) or before
        yield before


def _to_standing(found: ArmComparison | None) -> _Standing | None:
    if found is None or found.canary is None or found.control is None or not found.error:
        return None
    return _Standing(
        found.canary * found.canary_weight,
        found.canary_weight,
        found.control * found.control_weight,
        found.control_weight,
        found.error**2,
    )


def _build_days(limit: Limit | None, entry: Metric, ends: Sequence[_Standing]) -> Iterator[CourseDay]:
    for number, (before, end) in enumerate(zip((_NOTHING, *ends), ends, strict=False), start=1):
        day = end.since(before)
        canary = day.canary / day.canary_weight if day.canary_weight > 0 else None
        control = day.control / day.control_weight if day.control_weight > 0 else None
        yield CourseDay(
            number=number,
            canary=canary,
            control=control,
            difference=_compute_difference(limit, entry, canary, control),
            requests=round(max(day.canary_weight, 0) + max(day.control_weight, 0)),
        )


def _compare_early(
    limit: Limit | None, entry: Metric, ends: Sequence[_Standing]
) -> tuple[float | None, float | None, bool | None]:
    """(difference over the first days, difference over the others, whether they differ)."""
    if len(ends) <= EARLY_DAYS:
        return None, None, None
    early, late = ends[EARLY_DAYS - 1], ends[-1].since(ends[EARLY_DAYS - 1])
    if not (early.is_known and late.is_known):
        return None, None, None
    error = sqrt(early.variance + late.variance)
    return (
        _compute_difference(limit, entry, *_levels(early)),
        _compute_difference(limit, entry, *_levels(late)),
        abs(early.difference - late.difference) > _CERTAIN * error,
    )


def _find_trend(days: Sequence[_Standing]) -> Trend:
    """Whether the daily difference rises or falls, by a weighted straight line through it."""
    points = [
        (number, day.difference, 1 / day.variance)
        for number, day in enumerate(days)
        if day.is_known and day.variance > 0
    ]
    if len(points) < MIN_DAYS_FOR_TREND:
        return "unknown"
    total = sum(weight for _, _, weight in points)
    middle = sum(x * weight for x, _, weight in points) / total
    spread = sum(weight * (x - middle) ** 2 for x, _, weight in points)
    slope = sum(weight * (x - middle) * y for x, y, weight in points) / spread
    if abs(slope) * sqrt(spread) <= _CERTAIN:
        return "steady"
    return "rising" if slope > 0 else "falling"


def _levels(standing: _Standing) -> tuple[float, float]:
    return standing.canary / standing.canary_weight, standing.control / standing.control_weight


def _compute_difference(
    limit: Limit | None, entry: Metric, canary: float | None, control: float | None
) -> float | None:
    seen = Estimate(canary=canary, control=control, error=None, n_canary=0.0, n_control=0.0)
    return confidence_range.compute_difference(limit, entry, seen)
