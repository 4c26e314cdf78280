"""One observation, as an application reports it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one unit's request showed. `at` is timezone-aware.

    `readings` are by metric key (see `core.metrics.catalogue.parse_readings`). `variant` is the arm and `version` the
    version that was served. `soft_errors` are categories of `core.metrics.soft_errors`, each once. If `is_request` is
    False, the readings are of a request that is counted already.
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
    soft_errors: tuple[str, ...] = ()
    is_request: bool = True
