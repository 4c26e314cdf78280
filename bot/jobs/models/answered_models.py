"""Gathers models that answered for versions which call another one, and reports each once."""

import threading
from datetime import datetime

import structlog

from core.rollout import commands as c
from core.service.service import RolloutService

log = structlog.get_logger()

MAX_WAITING = 1000  # different ones; what is beyond is reported when it is seen again


class AnsweredModels:
    """Takes reports from any thread; `submit_new` hands those that are new to the service."""

    def __init__(self, service: RolloutService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._waiting: set[tuple[str, str, str]] = set()
        self._submitted: set[tuple[str, str, str]] = set()

    def note(self, one: tuple[str, str, str]) -> None:
        """Note (surface, version, model that answered)."""
        with self._lock:
            if one not in self._submitted and len(self._waiting) < MAX_WAITING:
                self._waiting.add(one)

    def submit_new(self, now: datetime) -> None:
        """Report what was noted since the last call. What fails is tried again at the next one."""
        with self._lock:
            waiting = sorted(self._waiting)
        for surface, version, answered in waiting:
            command = c.ReportOtherModel(surface=surface, version=version, answered=answered)
            self._service.handle_as_engine(command, command_id=f"other model:{surface}:{version}:{answered}", at=now)
            log.warning("another model answers than configured", surface=surface, version=version, answered=answered)
            with self._lock:
                self._waiting.discard((surface, version, answered))
                if len(self._submitted) < MAX_WAITING:
                    self._submitted.add((surface, version, answered))
