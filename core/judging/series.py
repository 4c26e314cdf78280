"""How a difference developed: one point per look, for a chart beside its limit."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One look at one metric. `difference`, `low` and `high` as in `Measure`; `stage` is the stage's index."""

    at: datetime
    stage: int
    difference: float | None
    low: float | None
    high: float | None
