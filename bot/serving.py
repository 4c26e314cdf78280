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
from core.store.errors import StoreError, UnknownEvent
from core.store.wakeups import Wakeups

log = structlog.get_logger()

POLL = 0.4  # seconds between two questions to the log, where nobody says sooner that something is new
REPORT = 2.0  # seconds between two signs of life
BLIND_AFTER = 15.0  # seconds without an answer of the log after which everybody gets the live version


class Serving:
    """`snapshot()` costs nothing. A thread follows the log, and says which position this process has reached.

    Cut off from the log, or before an event that a newer program wrote, this process cannot know whether a rollout was
    rolled back: then it serves everybody the live version.
    """

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
        self._blind = False
        self._thread = threading.Thread(target=self._follow, name="serving", daemon=True)
        self._wakeups = Wakeups(service.database, self._changed.set, self._deaf)
        service.folds.on_change(self._rebuild)

    def snapshot(self) -> Snapshot:
        """What is served now; an immutable value."""
        return self._current

    def start(self) -> None:
        """Read the whole log once, then follow it."""
        self._service.world()
        self._thread.start()
        self._wakeups.start()

    def stop(self) -> None:
        """Stop following, and say that nobody need wait for this process any more."""
        self._stopping.set()
        self._changed.set()
        self._wakeups.stop()
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
        reported, reported_at, seen_at = -1, 0.0, time.monotonic()
        while not self._stopping.is_set():
            try:
                self._service.world()
                seen_at = time.monotonic()
                self._see()
                position = self._current.position
                if position != reported or seen_at - reported_at >= REPORT:
                    processes.report(self._service.database, self._process_id, self._role, position, self._real_time())
                    reported, reported_at = position, seen_at
            except UnknownEvent as unknown:
                self._go_blind(str(unknown))
            except Exception as error:
                # The database is away: what was served last is served on for a while, and this process looks again.
                if not self._blind:
                    log.exception("cannot follow the log")
                if time.monotonic() - seen_at > BLIND_AFTER:
                    self._go_blind(f"the log did not answer for {BLIND_AFTER:.0f} s ({type(error).__name__})")
            self._changed.wait(POLL)
            self._changed.clear()

    def _deaf(self, why: str) -> None:
        log.warning("not told by the database what is new, for a while; looking more slowly", why=why)

    def _go_blind(self, why: str) -> None:
        if not self._blind:
            self._blind = True
            self._current = self._current.withdrawn()
            log.error("everybody gets the live version until the log can be followed", why=why)

    def _see(self) -> None:
        if self._blind:
            self._blind = False
            self._current = exposure.snapshot(self._service.peek())
            log.warning("the log can be followed again")
