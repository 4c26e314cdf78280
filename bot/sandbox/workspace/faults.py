"""Trouble on request: the next call of a method fails the way Slack, or the way there, fails."""

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planned failure.

    `429`, `500`, `503` and `error:<name>` answer at once, and nothing has happened. `timeout_before` and
    `timeout_after` never answer: the call has had no effect, or has had its whole effect. `cut_before` and `cut_after`
    break the connection.
    """

    kind: str
    retry_after: int = 1
    channel: str = ""  # only calls that name exactly this one

    @property
    def has_effect(self) -> bool:
        """Does the call happen, although its answer is lost?"""
        return self.kind in ("timeout_after", "cut_after")


_KINDS = ("429", "500", "503", "timeout_before", "timeout_after", "cut_before", "cut_after")


class Faults:
    """What is planned, per method, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: dict[str, deque[Fault]] = {}

    def plan(self, method: str, kind: str, *, times: int = 1, retry_after: int = 1, channel: str = "") -> None:
        """Let the next `times` calls of `method` fail, of those that name `channel` where one is given."""
        if kind not in _KINDS and not kind.startswith("error:"):
            raise ValueError(f"unknown kind of failure {kind!r}; there are {', '.join(_KINDS)} and error:<name>")
        fault = Fault(kind=kind, retry_after=retry_after, channel=channel)
        with self._lock:
            self._planned.setdefault(method, deque()).extend([fault] * times)

    def take(self, method: str, channel: str) -> Fault | None:
        """The failure that this call of `method` meets, used up by it."""
        with self._lock:
            planned = self._planned.get(method, deque())
            met = next((fault for fault in planned if fault.channel in ("", channel)), None)
            if met is not None:
                planned.remove(met)
            return met
