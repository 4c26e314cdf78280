"""What a long comparison says at its horizon: a row per deciding metric, its course over the days, and advice."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from core.judging.model.verdict import Measure

Advice: TypeAlias = Literal["keep", "go back", "cannot tell"]
"""What the deciding metrics say together. A person decides."""

Trend: TypeAlias = Literal["steady", "rising", "falling", "unknown"]
"""Whether the daily difference between the arms changed over the period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseDay:
    """One period of a comparison, a day or less. Levels are those of this period alone; None is unknown."""

    number: int  # from 1
    canary: float | None
    control: float | None
    difference: float | None  # as in `Measure`
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCourse:
    """How the difference of one metric developed.

    `early` is the difference over the first three periods and `late` that over the others; `is_novelty` says whether
    they differ by more than chance, and None that this is unknown.
    """

    metric: str
    days: tuple[CourseDay, ...] = ()
    early: float | None = None
    late: float | None = None
    is_novelty: bool | None = None
    trend: Trend = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonComparison:
    """The result at the horizon. `measures` are the deciding metrics with ranges that hold together at 95 %."""

    advice: Advice
    measures: tuple[Measure, ...]
    courses: tuple[MetricCourse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutComparison:
    """What those who were held back after a rollout show against everybody else, from its end on.

    `advice` is `cannot tell` where nothing could be compared.
    """

    since: datetime
    until: datetime
    advice: Advice
    measures: tuple[Measure, ...]
    new_requests: int
    held_requests: int
    new_units: int
    held_units: int
