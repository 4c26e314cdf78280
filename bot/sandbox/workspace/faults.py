"""Fault injection: makes the next calls of a method fail as Slack or the network would."""

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planned failure of a Web API call.

    `429`, `500`, `503` and `error:<name>` answer at once, and the call has no effect. `timeout_before` and
    `timeout_after` never answer, `cut_before` and `cut_after` break the connection: before or after the call takes
    effect.
    """

    kind: str
    retry_after: int = 1
    channel: str = ""  # only calls that name exactly this channel; empty: any call

    @property
    def has_effect(self) -> bool:
        """Whether the call takes effect although its answer is lost."""
        return self.kind in ("timeout_after", "cut_after")


_KINDS = ("429", "500", "503", "timeout_before", "timeout_after", "cut_before", "cut_after")


class FaultPlan:
    """The planned faults per method, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: dict[str, deque[Fault]] = {}

    def plan(self, method: str, kind: str, *, times: int = 1, retry_after: int = 1, channel: str = "") -> None:
        """Make the next `times` calls of `method` fail; with `channel`, only calls that name it.

        ValueError for an unknown kind.
        """
        if kind not in _KINDS and not kind.startswith("error:"):
            raise ValueError(f"unknown kind of failure {kind!r}; there are {', '.join(_KINDS)} and error:<name>")
        fault = Fault(kind=kind, retry_after=retry_after, channel=channel)
        with self._lock:
            self._planned.setdefault(method, deque()).extend([fault] * times)

    def take(self, method: str, channel: str) -> Fault | None:
        """Remove and return the planned fault for this call of `method`, if any."""
        with self._lock:
            planned = self._planned.get(method, deque())
            met = next((fault for fault in planned if fault.channel in ("", channel)), None)
            if met is not None:
                planned.remove(met)
            return met
