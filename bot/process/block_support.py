"""Which of Slack's newer blocks a workspace takes, as this process has found out: what was refused is remembered."""

import threading
import time
from collections.abc import Callable

REMEMBER_FOR = 24 * 3600.0  # seconds; then it is tried again, as workspaces get new blocks


class BlockSupport:
    """Remembers how far messages must be simplified (a step of `fallback.simplify_blocks`). Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._step = 0
        self._refused_at = 0.0

    @property
    def step(self) -> int:
        """The step to begin with; 0 as long as nothing was refused."""
        with self._lock:
            if self._step and self._monotonic() - self._refused_at >= REMEMBER_FOR:
                self._step = 0
            return self._step

    def record_refusal(self, step: int) -> None:
        """Remember that the workspace takes nothing less simple than this step."""
        with self._lock:
            self._step, self._refused_at = max(step, self._step), self._monotonic()
