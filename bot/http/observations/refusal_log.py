"""Says in the log which reports of applications are refused, once a minute for a kind: their senders may not look."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from bot.http.observations.build_placed import PULLED
from bot.http.observations.parse_fields import RejectedItem

log = structlog.get_logger()
SECONDS_BETWEEN = 60
MAX_EXAMPLE_LENGTH = 200
_EXPECTED = frozenset({"duplicate", PULLED})  # a repeated export, and what a source counts anyway


class RefusalLog:
    """Counts what is refused between two lines of the log; each line has the newest message as its example.

    A code that no line of the last minute had gets one at once: what was refused need not come again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: Counter[str] = Counter()
        self._told: set[str] = set()  # since `_due` was set
        self._due = -float("inf")

    def note(self, rejected: Sequence[RejectedItem]) -> None:
        """Count these; write a line if the last one is a minute old, or had none of a code among these."""
        told = [one for one in rejected if one.code not in _EXPECTED]
        self._codes.update(one.code for one in told)
        if told and self._clock() >= self._due:
            self._due = self._clock() + SECONDS_BETWEEN
            self._told.clear()
        new = [one for one in told if one.code not in self._told]
        if new:
            self._told.update(self._codes)
            example = new[-1].message[:MAX_EXAMPLE_LENGTH]
            log.warning("reports of an application were refused", codes=dict(self._codes), example=example)
            self._codes.clear()
