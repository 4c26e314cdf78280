"""How long nobody has looked at a rollout, by this process's own clock: looks are seen to come, their dates are not
compared."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class _Newest:
    look: tuple[int, datetime | None]  # number and date, as `looks.newest` gives them
    changed_at: float
    older: float  # seconds that it was old when it was seen first, as far as its date tells


class Lookout:
    """Told now and then which look at each rollout is the newest; safe for threads."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._newest: dict[str, _Newest] = {}
        self._lock = threading.Lock()

    def saw(self, newest: Mapping[str, tuple[int, datetime | None]], now: datetime) -> None:
        """These rollouts should be looked at, and these are their newest looks; whatever else was watched is not."""
        at = self._elapsed()
        with self._lock:
            self._newest = {rollout: self._one(rollout, look, at, now) for rollout, look in newest.items()}

    def _one(self, rollout: str, look: tuple[int, datetime | None], at: float, now: datetime) -> _Newest:
        known = self._newest.get(rollout)
        if known is not None and known.look == look:
            return known
        # Its date says more only where this process has just begun to watch: a look that came just now is new.
        dated = look[1]
        older = max(0.0, (now - dated).total_seconds()) if known is None and dated is not None else 0.0
        return _Newest(look, at, older)

    def ages(self) -> Mapping[str, float]:
        """Rollout to seconds since its newest look, or since it was watched first where there is none."""
        at = self._elapsed()
        return {rollout: at - one.changed_at + one.older for rollout, one in self._newest.items()}

    def unwatched(self, after: float) -> frozenset[str]:
        """The rollouts at which nobody has looked for so many seconds, all of which this process has watched."""
        at = self._elapsed()
        return frozenset(rollout for rollout, one in self._newest.items() if at - one.changed_at > after)
