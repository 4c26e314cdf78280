"""The snapshot that evaluations read: kept within a second of the log, and its position reported.

A new version is served only while this process is informed: it can read the log and write its report, and it has read
to the end of the log on the server that took the report. Otherwise it fails safe and serves the live version.
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

POLL = 0.4  # seconds between two readings of the log, unless a notification comes sooner
REPORT = processes.REPORT_EVERY
STOP_WITHIN = 2.0  # seconds that a silent database may delay a stopping process
BLIND_AFTER = processes.SERVES_ON  # seconds since the newest report, after which everybody gets the live version
UNWATCHED_AFTER = timedelta(minutes=5)

# CLOCK_BOOTTIME, where available, also counts while the machine sleeps: the other processes do not sleep with it.
_elapsed = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def real_time() -> datetime:
    """The machine's clock in UTC."""
    return datetime.now(UTC)


class Serving:
    """Follows the log in a thread, reports the position it has reached, and serves a snapshot from memory.

    Without a fresh report, or at an event of a newer release that it cannot read, this process cannot know whether a
    rollout was rolled back: it enters fail-safe and serves everybody the live version. If the policy says so, it also
    withdraws a rollout that has had no look for `unwatched_after`.
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
            None  # (newest snapshot, the same with everybody on the live version)
        )
        self._unwatched: frozenset[str] = frozenset()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._blind = ""  # why everybody gets the live version
        self._knowing = threading.Lock()
        self._informed_at = _elapsed()
        self._doubted_at = float("-inf")
        self._reported: tuple[int, float] = (
            -1,
            float("-inf"),
        )  # (position, start in monotonic seconds) of the newest report written
        self._wrong = ""
        self._complained = ""
        self._deaf_since = float("-inf")
        self._watch = threading.Thread(target=self._keep_watch, name="watch", daemon=True)
        self._thread = threading.Thread(target=self._follow, name="serving", daemon=True)
        self._wakeups = Wakeups(service.database, self._changed.set, self._deaf)
        service.folds.on_change(self._rebuild)
        service.on_unwritten(self._doubt)

    def snapshot(self) -> Snapshot:
        """The immutable snapshot to serve now. It checks the report's age itself and does not rely on the watchdog."""
        if self._blind or _elapsed() - self._informed_at > BLIND_AFTER:
            return self._everybody_on_live()
        return self._served

    @property
    def blind(self) -> str:
        """Why this process is in fail-safe and serves everybody the live version; empty while it is informed."""
        if not self._blind and _elapsed() - self._informed_at > BLIND_AFTER:
            return self._why_too_old()
        return self._blind

    @property
    def since_report(self) -> float:
        """Seconds since this process began the newest report that was written."""
        return _elapsed() - self._informed_at

    def look_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since its newest look, for rollouts that should be looked at."""
        return self._lookout.ages()

    @property
    def unwatched(self) -> frozenset[str]:
        """Rollouts without a look for `unwatched_after`."""
        return self._lookout.unwatched(self._unwatched_after)

    def start(self) -> None:
        """Read the whole log and report this process before it serves anybody; then follow the log."""
        self._informed_at = _elapsed()
        self._service.world()
        self._round()
        self._thread.start()
        self._watch.start()
        self._wakeups.start()

    def stop(self) -> None:
        """Stop following the log, and withdraw this process's report so that nobody waits for it."""
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
        """Compute the snapshot of a changed world, and have the new position reported."""
        with self._knowing:
            self._newest = exposure.seen(world, self._newest)
            self._choose()
        self._changed.set()

    def _choose(self) -> None:
        """Set the snapshot to serve: the newest, less surfaces that are withdrawn because nobody looks at them."""
        snapshot = self._newest.snapshot
        self._served = snapshot.withdrawn(self._unwatched) if self._unwatched else snapshot

    def _everybody_on_live(self) -> Snapshot:
        """The newest snapshot with everybody on the live version."""
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
                # The database is unavailable: serve the last snapshot for a while, and try again.
                self._wrong = _wrong(error)
                if not self._outage.noted(error) and self._complained != self._wrong:
                    self._complained = self._wrong
                    log.exception("cannot follow the log")
            self._changed.wait(POLL)
            self._changed.clear()

    def _round(self) -> None:
        """Read the log and report the position reached; only a report that was written counts."""
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
        """Track the looks of exposed rollouts, and withdraw the unwatched ones if the policy says so."""
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
        """Enter fail-safe once the report is too old; in a thread, since a silent database may block the other for
        hours."""
        while not self._stopping.wait(min(POLL, BLIND_AFTER / 4)):
            if _elapsed() - self._informed_at > BLIND_AFTER:
                self._go_blind(self._why_too_old(), unless_seen=True)

    def _why_too_old(self) -> str:
        return f"{self._wrong or 'the log did not answer'} for {BLIND_AFTER:.0f} s"

    def _deaf(self, why: str) -> None:
        """Log, at most once a minute, that database notifications are lost and changes are found by polling."""
        if _elapsed() - self._deaf_since >= AGAIN:
            self._deaf_since = _elapsed()
            log.warning("not told by the database what is new, for a while; looking more slowly", why=why)

    def _doubt(self, why: str) -> None:
        """A rollback was asked for here but could not be written: enter fail-safe at once."""
        self._doubted_at = _elapsed()
        self._go_blind(f"a rollback could not be written: {why}")

    def _go_blind(self, why: str, *, unless_seen: bool = False) -> None:
        """Serve everybody the live version until informed again; `unless_informed` first checks the report's age."""
        with self._knowing:
            if self._blind or (unless_seen and _elapsed() - self._informed_at <= BLIND_AFTER):
                return
            self._blind = why
        log.error("everybody gets the live version until this process is informed again", why=why)

    def _see(self, asked_at: float) -> None:
        """Count a completed round from `asked_at`, when it began, as its answer may have taken long; leave
        fail-safe."""
        if _elapsed() - asked_at > BLIND_AFTER or asked_at <= self._doubted_at:
            return  # too old to count; the next round may be fresh
        if _elapsed() - self._informed_at > BLIND_AFTER:
            self._go_blind(self._why_too_old())  # log it: `snapshot` served the live version for that moment
        with self._knowing:
            self._informed_at, self._wrong, self._complained = asked_at, "", ""
            was_blind, self._blind = self._blind, ""
        self._outage.over()
        if was_blind:
            log.warning("this process is informed again", why=f"it was not: {was_blind}")


def _wrong(error: Exception) -> str:
    """What went wrong; the caller appends for how long."""
    if isinstance(error, DBAPIError) and (refused := refusal_of_writes(error)):
        return f"the log took no report ({refused})"
    if isinstance(error, Unwritable):
        return f"the log took no report ({reason(error).removeprefix('Nothing was written: ').rstrip('.')})"
    return f"the log did not answer ({type(error).__name__})"
