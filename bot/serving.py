"""What this process serves: the snapshot that evaluations read, kept within a second of the log, and reported."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.flags.snapshot import Snapshot
from core.rollout import exposure
from core.rollout.world import World
from core.service import Service
from core.store import processes
from core.store.errors import StoreError

log = structlog.get_logger()

POLL = 0.2  # seconds between two questions to the log
REPORT = 2.0  # seconds between two signs of life


class Serving:
    """`snapshot()` costs nothing. A thread follows the log, and says which position this process has reached."""

    def __init__(
        self,
        service: Service,
        *,
        process_id: str,
        role: str,
        real_time: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._process_id = process_id
        self._role = role
        self._real_time = real_time
        self._current = exposure.snapshot(service.peek())
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="serving", daemon=True)
        service.folds.on_change(self._rebuild)

    def snapshot(self) -> Snapshot:
        """What is served now; an immutable value."""
        return self._current

    def start(self) -> None:
        """Read the whole log once, then follow it."""
        self._service.world()
        self._thread.start()

    def stop(self) -> None:
        """Stop following, and say that nobody need wait for this process any more."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            processes.leave(self._service.database, self._process_id)
        except (StoreError, SQLAlchemyError) as error:
            log.warning("the database is away; others wait until this process is forgotten", why=str(error))

    def _rebuild(self, world: World) -> None:
        self._current = exposure.snapshot(world)
        self._changed.set()

    def _follow(self) -> None:
        reported, reported_at = -1, 0.0
        while not self._stopping.is_set():
            try:
                self._service.world()
                position = self._current.position
                if position != reported or time.monotonic() - reported_at >= REPORT:
                    processes.report(self._service.database, self._process_id, self._role, position, self._real_time())
                    reported, reported_at = position, time.monotonic()
            except Exception:
                # The database is away: what was served last is served on, and this process looks again.
                log.exception("cannot follow the log")
            self._changed.wait(POLL)
            self._changed.clear()
