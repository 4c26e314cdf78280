"""The baseline of a surface: what is normal for its live version, as a review left it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineLevel:
    """What is normal for one metric, overall or in one `segment`.

    `level` is the rate, mean or quantile in the metric's own unit (for a count, events per request). `spread` is the
    standard deviation of the logarithm of single values, 0 for rates. `share` is the share of requests that have a
    reading, 0 to 1. `design_effect` is the variance relative to independent requests. `readings` is the number of
    readings that the level rests on.
    """

    metric: str
    level: float
    spread: float
    share: float
    design_effect: float
    readings: int
    segment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyComplaints:
    """Complaints and requests in one hour of the week; `hour` counts from Monday 00:00 UTC, 0 to 167."""

    hour: int
    requests: int
    complaints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceBaseline:
    """What is normal for a surface as long as `version` is live, measured in `rollout` until `until`.

    `daily_requests` is the measured pace; None if it is unknown. `complaints_by_hour` holds only hours of the week with
    requests, and is empty where no looks were kept.
    """

    rollout: str
    version: str
    until: datetime
    daily_requests: float | None
    levels: tuple[BaselineLevel, ...]
    segments: tuple[BaselineLevel, ...] = ()
    complaints_by_hour: tuple[HourlyComplaints, ...] = ()
