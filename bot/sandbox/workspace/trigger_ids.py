"""Trigger ids: who may be shown a modal, once, within three seconds of what they did."""

import threading
from collections.abc import Callable

from bot.sandbox.rules import limits
from bot.sandbox.rules.errors import MethodError


class Triggers:
    """Every trigger id that was handed out, in real seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._lock = threading.Lock()
        self._issued: dict[str, tuple[str, float]] = {}
        self._used: set[str] = set()

    def issue(self, person: str) -> str:
        """A new trigger id for something that a person just did."""
        with self._lock:
            trigger = f"{len(self._issued) + 1}.0000000001.{person.lower()}"
            self._issued[trigger] = (person, self._now())
            return trigger

    def exchange(self, trigger: str) -> str:
        """The person of a trigger id, which is used up; MethodError when it is unknown, used or too old."""
        with self._lock:
            if trigger not in self._issued:
                raise MethodError("invalid_trigger_id")
            if trigger in self._used:
                raise MethodError("exchanged_trigger_id")
            person, issued = self._issued[trigger]
            if self._now() - issued > limits.value("trigger.seconds"):
                raise MethodError("expired_trigger_id")
            self._used.add(trigger)
            return person
