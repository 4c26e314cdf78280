"""Trigger ids: each allows the app to open one modal within three seconds of a person's action."""

import threading
from collections.abc import Callable

from bot.sandbox.rules import limits
from bot.sandbox.rules.errors import MethodError


class TriggerIds:
    """Issues trigger ids and exchanges each of them once; ages are in real seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._lock = threading.Lock()
        self._issued: dict[str, tuple[str, float]] = {}
        self._used: set[str] = set()

    def issue(self, person: str) -> str:
        """Create a trigger id for an action of this person."""
        with self._lock:
            trigger = f"{len(self._issued) + 1}.0000000001.{person.lower()}"
            self._issued[trigger] = (person, self._now())
            return trigger

    def exchange(self, trigger: str) -> str:
        """Use up a trigger id and return its person; MethodError if it is unknown, used or expired."""
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
