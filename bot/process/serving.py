"""What this process serves: the snapshot that evaluations read, kept within a second of the log, and reported.

A new version is served only while this process is informed: it reads the log, its own report is written there, and what
it has read is the newest of the server that took the report.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.process.look_age import Lookout
from bot.process.outage import AGAIN, Outage, reason
from core.flags.snapshot import Snapshot
from core.rollout import exposure
from core.rollout.policy import Unwatched
from core.rollout.world import World
from core.service import Service
from core.store.coordination import processes
from core.store.database.connections import refusal_of_writes
from core.store.errors import StoreError, UnknownEvent, Unwritable
from core.store.log.append_notifications import Wakeups
from core.store.observations import looks

log = structlog.get_logger()

POLL = 0.4  # seconds between two questions to the log, where nobody says sooner that something is new
REPORT = processes.REPORT_EVERY
STOP_WITHIN = 2.0  # seconds that a database which does not answer may keep a stopping process
BLIND_AFTER = processes.SERVES_ON  # seconds after the newest report from which everybody gets the live version
UNWATCHED_AFTER = timedelta(minutes=5)

# Where there is one, a clock that also counts while the machine sleeps: others have not waited less for that.
_elapsed = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def real_time() -> datetime:
    return datetime.now(UTC)


class Serving:
    """`snapshot()` costs nothing. A thread follows the log, and says which position this process has reached.

    Not informed any more, or before an event that a newer program wrote, this process cannot know whether a rollout was
    rolled back: then it serves everybody the live version. So it does for a rollout at which nobody has looked for
    `unwatched_after`, if the policy says so.
    """

    def __init__(
        self,
        service: Service,
        *,
        process_id: str,
        role: str,
        now: Callable[[], datetime] = real_time,
        unwatched_after: timedelta = UNWATCHED_AFTER,
        outage: Outage | None = None,
    ) -> None:
        self._service = service
        self._process_id = process_id
        self._role = role
        self._now = now
        self._unwatched_after = unwatched_after.total_seconds()
        self._outage = outage or Outage()
        self._lookout = Lookout()
        self._newest = exposure.seen(service.peek())
        self._served = self._newest.snapshot
        self._live: tuple[Snapshot, Snapshot] | None = (
            None  # a snapshot, and what it is with everybody on the live version
        )
        self._unwatched: frozenset[str] = frozenset()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._blind = ""  # why everybody gets the live version
        self._knowing = threading.Lock()
        self._informed_at = _elapsed()
        self._doubted_at = float("-inf")
        self._reported: tuple[int, float] = (-1, float("-inf"))  # the newest report that was written, and when it began
        self._wrong = ""
        self._complained = ""
        self._deaf_since = float("-inf")
        self._watch = threading.Thread(target=self._keep_watch, name="watch", daemon=True)
        self._thread = threading.Thread(target=self._follow, name="serving", daemon=True)
        self._wakeups = Wakeups(service.database, self._changed.set, self._deaf)
        service.folds.on_change(self._rebuild)
        service.on_unwritten(self._doubt)

    def snapshot(self) -> Snapshot:
        """What is served now; an immutable value. It trusts no thread to have noticed in time that it is too old."""
        if self._blind or _elapsed() - self._informed_at > BLIND_AFTER:
            return self._everybody_on_live()
        return self._served

    @property
    def blind(self) -> str:
        """Why this process serves everybody the live version; empty while it is informed."""
        if not self._blind and _elapsed() - self._informed_at > BLIND_AFTER:
            return self._why_too_old()
        return self._blind

    @property
    def since_report(self) -> float:
        """Seconds since this process began the newest report that was written."""
        return _elapsed() - self._informed_at

    def look_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since somebody looked at it, of those that are exposed."""
        return self._lookout.ages()

    @property
    def unwatched(self) -> frozenset[str]:
        """Rollouts at which nobody has looked for too long."""
        return self._lookout.unwatched(self._unwatched_after)

    def start(self) -> None:
        """Read the whole log once, be counted among those who serve before anybody is served, then follow the log."""
        self._informed_at = _elapsed()
        self._service.world()
        self._round()
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
            log.warning("the database is away; others wait until this process is forgotten", why=reason(error))

    def _rebuild(self, world: World) -> None:
        with self._knowing:
            self._newest = exposure.seen(world, self._newest)
            self._choose()
        self._changed.set()

    def _choose(self) -> None:
        snapshot = self._newest.snapshot
        self._served = snapshot.withdrawn(self._unwatched) if self._unwatched else snapshot

    def _everybody_on_live(self) -> Snapshot:
        snapshot, kept = self._newest.snapshot, self._live
        if kept is None or kept[0] is not snapshot:
            kept = self._live = (snapshot, snapshot.withdrawn())
        return kept[1]

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except UnknownEvent as unknown:
                self._go_blind(str(unknown))
            except Exception as error:
                # The database is away: what was served last is served on for a while, and this process looks again.
                self._wrong = _wrong(error)
                if not self._outage.noted(error) and self._complained != self._wrong:
                    self._complained = self._wrong
                    log.exception("cannot follow the log")
            self._changed.wait(POLL)
            self._changed.clear()

    def _round(self) -> None:
        """Read the log, and say so in it: only what could be written there counts."""
        asked_at = _elapsed()
        self._service.world()
        position = self._newest.snapshot.position
        reported, reported_at = self._reported
        if position < reported:
            log.error("the database has lost the end of the log; what is left was read anew", position=position)
        if position == reported and asked_at - reported_at < REPORT:
            return
        end = processes.report(self._service.database, self._process_id, self._role, position, real_time())
        if end > position and self._service.world().position < end:
            self._service.database.renew()
            raise Unwritable("the log is read from a server that lacks the end of the one that is written to")
        self._reported = (position, asked_at)
        self._watch_over_looks()
        self._see(asked_at)

    def _watch_over_looks(self) -> None:
        if self._role == "worker":
            return
        world = self._service.peek()
        exposed = [r for r in world.open if r.is_looked_at]
        newest: dict[str, tuple[int, datetime | None]] = {}
        if exposed:
            with self._service.database.reading() as connection:
                newest = {r.id: looks.newest(connection, r.id) for r in exposed}
        self._lookout.saw(newest, self._now())
        unwatched = self.unwatched if world.policy.when_unwatched is Unwatched.WITHDRAW else frozenset()
        surfaces = frozenset(r.plan.surface for r in exposed if r.id in unwatched)
        with self._knowing:
            before, self._unwatched = self._unwatched, surfaces
            if before != surfaces:
                self._choose()
        for surface in surfaces - before:
            log.error(
                "nobody looks at its rollout: everybody gets the live version until somebody does", surface=surface
            )
        for surface in before - surfaces:
            log.warning("its rollout is looked at again", surface=surface)

    def _keep_watch(self) -> None:
        """In a thread of its own: a database that falls silent keeps the other one waiting, perhaps for hours."""
        while not self._stopping.wait(min(POLL, BLIND_AFTER / 4)):
            if _elapsed() - self._informed_at > BLIND_AFTER:
                self._go_blind(self._why_too_old(), unless_seen=True)

    def _why_too_old(self) -> str:
        return f"{self._wrong or 'the log did not answer'} for {BLIND_AFTER:.0f} s"

    def _deaf(self, why: str) -> None:
        if _elapsed() - self._deaf_since >= AGAIN:
            self._deaf_since = _elapsed()
            log.warning("not told by the database what is new, for a while; looking more slowly", why=why)

    def _doubt(self, why: str) -> None:
        """A rollback was asked for here and could not be written: nobody need wait until that is certain everywhere."""
        self._doubted_at = _elapsed()
        self._go_blind(f"a rollback could not be written: {why}")

    def _go_blind(self, why: str, *, unless_seen: bool = False) -> None:
        with self._knowing:
            if self._blind or (unless_seen and _elapsed() - self._informed_at <= BLIND_AFTER):
                return
            self._blind = why
        log.error("everybody gets the live version until this process is informed again", why=why)

    def _see(self, asked_at: float) -> None:
        """An answer is as old as its question: it may have been on its way for long."""
        if _elapsed() - asked_at > BLIND_AFTER or asked_at <= self._doubted_at:
            return  # what came is no news any more; the next answer is
        if _elapsed() - self._informed_at > BLIND_AFTER:
            self._go_blind(self._why_too_old())  # it was, if only for a moment: `snapshot` has not waited to be told
        with self._knowing:
            self._informed_at, self._wrong, self._complained = asked_at, "", ""
            was_blind, self._blind = self._blind, ""
        self._outage.over()
        if was_blind:
            log.warning("this process is informed again", why=f"it was not: {was_blind}")


def _wrong(error: Exception) -> str:
    """What has been wrong, to be followed by for how long."""
    if isinstance(error, DBAPIError) and (refused := refusal_of_writes(error)):
        return f"the log took no report ({refused})"
    if isinstance(error, Unwritable):
        return f"the log took no report ({reason(error).removeprefix('Nothing was written: ').rstrip('.')})"
    return f"the log did not answer ({type(error).__name__})"
