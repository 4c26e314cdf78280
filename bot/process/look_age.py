"""How long ago each rollout had its newest look, measured from when this process saw the look arrive.

The dates of looks are not compared with this machine's clock.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class _NewestLook:
    look: tuple[int, datetime | None]  # (number, date), as `looks.load_count_and_time` returns them
    changed_at: float
    initial_age: float  # age in seconds when first seen, by its date


class LookAgeTracker:
    """Tracks the age of each rollout's newest look from periodic readings; thread-safe."""

    def __init__(self) -> None:
        self._newest: dict[str, _NewestLook] = {}
        self._lock = threading.Lock()

    def record_newest(self, newest: Mapping[str, tuple[int, datetime | None]], now: datetime) -> None:
        """Track exactly these rollouts, which should be looked at, with their newest looks."""
        at = time.monotonic()
        with self._lock:
            self._newest = {rollout: self._track_look(rollout, look, at, now) for rollout, look in newest.items()}

    def _track_look(self, rollout: str, look: tuple[int, datetime | None], at: float, now: datetime) -> _NewestLook:
        known = self._newest.get(rollout)
        if known is not None and known.look == look:
            return known
        # The date counts only for a rollout not tracked before: a look that arrives while tracked is new.
        dated = look[1]
        older = max(0.0, (now - dated).total_seconds()) if known is None and dated is not None else 0.0
        return _NewestLook(look, at, older)

    def compute_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since its newest look, or since tracking began if it had none."""
        at = time.monotonic()
        return {rollout: at - one.changed_at + one.initial_age for rollout, one in self._newest.items()}

    def find_unwatched(self, after: float) -> frozenset[str]:
        """The rollouts without a new look for more than `after` seconds of this process's own tracking."""
        at = time.monotonic()
        return frozenset(rollout for rollout, one in self._newest.items() if at - one.changed_at > after)
