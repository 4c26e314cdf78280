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
STOP_WITHIN = 2.0  # seconds that a database which does not answer may keep a stopping process
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
        self._newest = exposure.seen(service.peek())
        self._current = self._newest.snapshot
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._blind = ""  # why nothing can be followed
        self._knowing = threading.Lock()
        self._seen_at = time.monotonic()
        self._wrong = ""
        self._watch = threading.Thread(target=self._keep_watch, name="watch", daemon=True)
        self._thread = threading.Thread(target=self._follow, name="serving", daemon=True)
        self._wakeups = Wakeups(service.database, self._changed.set, self._deaf)
        service.folds.on_change(self._rebuild)

    def snapshot(self) -> Snapshot:
        """What is served now; an immutable value."""
        return self._current

    @property
    def blind(self) -> str:
        """Why this process serves everybody the live version; empty while it can follow the log."""
        return self._blind

    def start(self) -> None:
        """Read the whole log once, be counted among those who serve before anybody is served, then follow the log."""
        self._seen_at = time.monotonic()
        self._service.world()
        self._report()
        self._thread.start()
        self._watch.start()
        self._wakeups.start()

    def stop(self) -> None:
        """Stop following, and say that nobody need wait for this process any more."""
        self._stopping.set()
        self._changed.set()
        self._wakeups.stop()
        for thread in (self._thread, self._watch):
            if thread.is_alive():
                thread.join(STOP_WITHIN)
        if self._thread.is_alive():
            log.warning("the database does not answer; others wait until this process is forgotten")
            return
        try:
            processes.leave(self._service.database, self._process_id)
        except (StoreError, SQLAlchemyError) as error:
            log.warning("the database is away; others wait until this process is forgotten", why=str(error))

    def _rebuild(self, world: World) -> None:
        with self._knowing:
            self._newest = exposure.seen(world, self._newest)
            self._current = self._newest.snapshot.withdrawn() if self._blind else self._newest.snapshot
        self._changed.set()

    def _follow(self) -> None:
        reported, reported_at = -1, 0.0
        while not self._stopping.is_set():
            try:
                asked_at = time.monotonic()
                self._service.world()
                self._see(asked_at)
                position = self._current.position
                if position < reported:
                    log.error("the database has lost the end of the log; what is left was read anew", position=position)
                if position != reported or asked_at - reported_at >= REPORT:
                    self._report()
                    reported, reported_at = position, asked_at
            except UnknownEvent as unknown:
                self._go_blind(str(unknown))
            except Exception as error:
                # The database is away: what was served last is served on for a while, and this process looks again.
                self._wrong = f" ({type(error).__name__})"
                if not self._blind:
                    log.exception("cannot follow the log")
            self._changed.wait(POLL)
            self._changed.clear()

    def _report(self) -> None:
        at, position = self._real_time(), self._current.position
        processes.report(self._service.database, self._process_id, self._role, position, at)

    def _keep_watch(self) -> None:
        """In a thread of its own: a database that falls silent keeps the other one waiting, perhaps for hours."""
        while not self._stopping.wait(min(POLL, BLIND_AFTER / 4)):
            if time.monotonic() - self._seen_at > BLIND_AFTER:
                self._go_blind(f"the log did not answer for {BLIND_AFTER:.0f} s{self._wrong}", unless_seen=True)

    def _deaf(self, why: str) -> None:
        log.warning("not told by the database what is new, for a while; looking more slowly", why=why)

    def _go_blind(self, why: str, *, unless_seen: bool = False) -> None:
        with self._knowing:
            if self._blind or (unless_seen and time.monotonic() - self._seen_at <= BLIND_AFTER):
                return
            self._blind = why
            self._current = self._current.withdrawn()
        log.error("everybody gets the live version until the log can be followed", why=why)

    def _see(self, asked_at: float) -> None:
        """An answer is as old as its question: it may have been on its way for long."""
        if time.monotonic() - asked_at > BLIND_AFTER:
            return  # what came is no news any more; the next answer is
        with self._knowing:
            self._seen_at, self._wrong = asked_at, ""
            was_blind, self._blind = self._blind, ""
            if was_blind:
                self._current = self._newest.snapshot
        if was_blind:
            log.warning("the log can be followed again")
