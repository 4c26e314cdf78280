"""An entry of a rollout's history: an event with its position, its time and who caused it."""

from dataclasses import dataclass
from datetime import datetime

from core.rollout.state.events import RolloutEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event of one rollout. `at` is the injected clock; `actor` is a stored actor id."""

    position: int
    at: datetime
    actor: str
    event: RolloutEvent
