"""One thing that happened, as an application reported it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one unit's request showed: readings by metric key (`core.metrics.catalogue.readings`), at an aware time.

    `variant` is the arm that was served and `version` the version; at least one of them tells which side it belongs to.
    """

    surface: str
    unit: str
    at: datetime
    variant: str | None = None
    version: str | None = None
    id: str | None = None
    segments: Mapping[str, str] = field(default_factory=dict)
    readings: Mapping[str, float] = field(default_factory=dict)
    error_category: str | None = None
