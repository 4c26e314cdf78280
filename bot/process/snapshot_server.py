"""The snapshot that evaluations read: kept within a second of the log, and its position reported.

A new version is served only while this process is informed: it can read the log and write its report, and it has read
to the end of the log on the server that took the report. Otherwise it fails safe and serves the live version.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.process.client_positions import ClientPositions
from bot.process.look_age import LookAgeTracker
from bot.process.machine_clock import utc_now
from bot.process.outage import REPEAT_LOG_AFTER, DatabaseOutage, format_reason
from core.flags.document import DocumentEncoder
from core.flags.snapshot import Snapshot
from core.rollout.plans.policy import Unwatched
from core.rollout.serving import exposure
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.store.coordination import processes
from core.store.database.connections import explain_write_refusal
from core.store.errors import DatabaseUnwritable, StoreError, UnknownEvent
from core.store.log.append_notifications import AppendListener
from core.store.observations import looks

log = structlog.get_logger()

POLL_SECONDS = 0.4  # seconds between two readings of the log, unless a notification comes sooner
REPORT_SECONDS = processes.REPORT_INTERVAL_SECONDS
STOP_TIMEOUT = 2.0  # seconds that a silent database may delay a stopping process
# seconds since the newest report, after which everybody gets the live version
FAILSAFE_AFTER = processes.SERVING_SECONDS
UNWATCHED_AFTER = timedelta(minutes=5)

# CLOCK_BOOTTIME, where available, also counts while the machine sleeps: the other processes do not sleep with it.
_monotonic_seconds = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SnapshotServer:
    """Follows the log in a thread, reports the position it has reached, and serves a snapshot from memory.

    Without a fresh report, or at an event of a newer release that it cannot read, this process cannot know whether a
    rollout was rolled back: it enters fail-safe and serves everybody the live version. If the policy says so, it also
    withdraws a rollout that has had no look for `unwatched_after`.
    """

    def __init__(
        self,
        service: RolloutService,
        *,
        process_id: str,
        role: str,
        now: Callable[[], datetime] = utc_now,
        unwatched_after: timedelta = UNWATCHED_AFTER,
        outage: DatabaseOutage | None = None,
        encoder: DocumentEncoder | None = None,
        clients: ClientPositions | None = None,
    ) -> None:
        self._service = service
        self._process_id = process_id
        self._role = role
        self._now = now
        self._unwatched_after = unwatched_after.total_seconds()
        self._outage = outage or DatabaseOutage()
        self._encoder = encoder or DocumentEncoder()
        self._clients = clients or ClientPositions()
        self._served_change_listeners: list[Callable[[], None]] = []
        self._look_age_tracker = LookAgeTracker()
        self._cached_snapshot = exposure.build_cached_snapshot(service.cached_world())
        self._served_snapshot = self._cached_snapshot.snapshot
        self._live_snapshot_cache: tuple[Snapshot, Snapshot] | None = (
            None  # (newest snapshot, the same with everybody on the live version)
        )
        self._withdrawn_surfaces: frozenset[str] = frozenset()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._failsafe_reason = ""  # why everybody gets the live version
        self._state_lock = threading.Lock()
        self._informed_at = _monotonic_seconds()
        self._rollback_unwritten_at = float("-inf")
        # Position and start, in monotonic seconds, of the newest report written.
        self._newest_report: tuple[int, float] = (-1, float("-inf"))
        self._last_error = ""
        self._logged_error = ""
        self._listen_lost_logged_at = float("-inf")
        self._watchdog_thread = threading.Thread(target=self._watch_report_age, name="watch", daemon=True)
        self._follow_thread = threading.Thread(target=self._follow_log, name="serving", daemon=True)
        self._wakeups = AppendListener(service.database, self._changed.set, self._on_listen_lost)
        service.world_cache.on_change(self._rebuild_snapshot)
        service.on_rollback_unwritten(self._on_rollback_unwritten)
        self._clients.on_all_current(self._changed.set)

    def on_served_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever `snapshot` may have changed; from any thread."""
        self._served_change_listeners.append(listener)

    def snapshot(self) -> Snapshot:
        """The immutable snapshot to serve now. It checks the report's age itself and does not rely on the watchdog."""
        if self._failsafe_reason or _monotonic_seconds() - self._informed_at > FAILSAFE_AFTER:
            return self._get_live_snapshot()
        return self._served_snapshot

    @property
    def failsafe_reason(self) -> str:
        """Why this process is in fail-safe and serves everybody the live version; empty while it is informed."""
        if not self._failsafe_reason and _monotonic_seconds() - self._informed_at > FAILSAFE_AFTER:
            return self._describe_report_age()
        return self._failsafe_reason

    @property
    def seconds_since_report(self) -> float:
        """Seconds since this process began the newest report that was written."""
        return _monotonic_seconds() - self._informed_at

    def look_ages(self) -> Mapping[str, float]:
        """Rollout to seconds since its newest look, for rollouts that should be looked at."""
        return self._look_age_tracker.compute_ages()

    @property
    def unwatched_rollouts(self) -> frozenset[str]:
        """Rollouts without a look for `unwatched_after`."""
        return self._look_age_tracker.find_unwatched(self._unwatched_after)

    def start(self) -> None:
        """Read the whole log and report this process before it serves anybody; then follow the log."""
        self._informed_at = _monotonic_seconds()
        self._service.load_world()
        self._read_and_report()
        self._follow_thread.start()
        self._watchdog_thread.start()
        self._wakeups.start()

    def stop(self) -> None:
        """Stop following the log, and withdraw this process's report so that nobody waits for it.

        Clients that evaluate by themselves may go on without this process for a while, so with any the report stays.
        """
        self._stopping.set()
        self._changed.set()
        self._wakeups.stop()
        for thread in (self._follow_thread, self._watchdog_thread):
            if thread.is_alive():
                thread.join(STOP_TIMEOUT)
        if self._follow_thread.is_alive():
            log.warning("the database does not answer; others wait until this process is forgotten")
            return
        if any(self._clients.count_clients()):
            log.info("this process had clients; others wait until they have gone to another process or stopped serving")
            return
        try:
            processes.unregister(self._service.database, self._process_id)
        except (StoreError, SQLAlchemyError) as error:
            log.warning("the database is away; others wait until this process is forgotten", why=format_reason(error))

    def _rebuild_snapshot(self, world: World) -> None:
        """Compute the snapshot of a changed world, and have the new position reported."""
        with self._state_lock:
            before = self._cached_snapshot.snapshot.position
            self._cached_snapshot = exposure.build_cached_snapshot(world, self._cached_snapshot)
            self._select_served_snapshot()
        if world.position < before:
            log.error("the database has lost the end of the log; the rest was read again", position=world.position)
        self._changed.set()
        self._announce_served_change()

    def _announce_served_change(self) -> None:
        for listener in self._served_change_listeners:
            listener()

    def _select_served_snapshot(self) -> None:
        """Set the snapshot to serve: the newest, less surfaces that are withdrawn for want of looks."""
        snapshot = self._cached_snapshot.snapshot
        self._served_snapshot = (
            snapshot.with_live_only(self._withdrawn_surfaces) if self._withdrawn_surfaces else snapshot
        )

    def _get_live_snapshot(self) -> Snapshot:
        """The newest snapshot with everybody on the live version."""
        snapshot, kept = self._cached_snapshot.snapshot, self._live_snapshot_cache
        if kept is None or kept[0] is not snapshot:
            kept = self._live_snapshot_cache = (snapshot, snapshot.with_live_only())
        return kept[1]

    def _follow_log(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_and_report()
            except UnknownEvent as unknown:
                self._enter_failsafe(str(unknown))
            except Exception as error:
                # The database is unavailable: serve the last snapshot for a while, and try again.
                self._last_error = _describe_error(error)
                if not self._outage.record_failure(error) and self._logged_error != self._last_error:
                    self._logged_error = self._last_error
                    log.exception("cannot follow the log")
            self._changed.wait(POLL_SECONDS)
            self._changed.clear()

    def _read_and_report(self) -> None:
        """Read the log and report the position that this process and its clients have reached; only a report that was
        written counts."""
        asked_at = _monotonic_seconds()
        self._service.load_world()
        position = self._cached_snapshot.snapshot.position
        reached = self._limit_by_clients(position)
        reported, reported_at = self._newest_report
        if reached == reported and asked_at - reported_at < REPORT_SECONDS:
            return
        end = processes.report_alive(self._service.database, self._process_id, self._role, reached, utc_now())
        if end > position and self._service.load_world().position < end:
            self._service.database.reconnect()
            raise DatabaseUnwritable("the log is read from a server that is behind the one that is written to")
        self._newest_report = (reached, asked_at)
        self._update_unwatched()
        self._mark_informed(asked_at)

    def _limit_by_clients(self, position: int) -> int:
        """The position that every client has reached too that evaluates by a snapshot of this process."""
        if not any(self._clients.count_clients()):
            return position
        served = self.snapshot()
        self._clients.record_document(self._encoder.encode(served).etag, served.position)
        return self._clients.limit_position(position)

    def _update_unwatched(self) -> None:
        """Track the looks of exposed rollouts, and withdraw the unwatched ones if the policy says so."""
        if self._role == "worker":
            return
        world = self._service.cached_world()
        exposed = [r for r in world.open_rollouts if r.is_looked_at]
        newest: dict[str, tuple[int, datetime | None]] = {}
        if exposed:
            with self._service.database.reading() as connection:
                newest = {r.id: looks.load_count_and_time(connection, r.id) for r in exposed}
        self._look_age_tracker.record_newest(newest, self._now())
        unwatched = self.unwatched_rollouts if world.policy.when_unwatched is Unwatched.WITHDRAW else frozenset()
        surfaces = frozenset(r.plan.surface for r in exposed if r.id in unwatched)
        with self._state_lock:
            before, self._withdrawn_surfaces = self._withdrawn_surfaces, surfaces
            if before != surfaces:
                self._select_served_snapshot()
        if before != surfaces:
            self._announce_served_change()
        for surface in surfaces - before:
            log.error(
                "its rollout has had no look: everybody gets the live version until there is one", surface=surface
            )
        for surface in before - surfaces:
            log.warning("looks at its rollout have resumed", surface=surface)

    def _watch_report_age(self) -> None:
        """Enter fail-safe once the report is too old; in a thread, since a silent database may block the other for
        hours."""
        while not self._stopping.wait(min(POLL_SECONDS, FAILSAFE_AFTER / 4)):
            if _monotonic_seconds() - self._informed_at > FAILSAFE_AFTER:
                self._enter_failsafe(self._describe_report_age(), unless_informed=True)

    def _describe_report_age(self) -> str:
        return f"{self._last_error or 'the log did not answer'} for {FAILSAFE_AFTER:.0f} s"

    def _on_listen_lost(self, why: str) -> None:
        """Log, at most once a minute, that database notifications are lost and changes are found by polling."""
        if _monotonic_seconds() - self._listen_lost_logged_at >= REPEAT_LOG_AFTER:
            self._listen_lost_logged_at = _monotonic_seconds()
            log.warning("the database sends no notifications for a while; polling more slowly", why=why)

    def _on_rollback_unwritten(self, why: str) -> None:
        """A rollback was asked for here but could not be written: enter fail-safe at once."""
        self._rollback_unwritten_at = _monotonic_seconds()
        self._enter_failsafe(f"a rollback could not be saved: {why}")

    def _enter_failsafe(self, why: str, *, unless_informed: bool = False) -> None:
        """Serve everybody the live version until informed again; `unless_informed` first checks the report's age."""
        with self._state_lock:
            if self._failsafe_reason or (
                unless_informed and _monotonic_seconds() - self._informed_at <= FAILSAFE_AFTER
            ):
                return
            self._failsafe_reason = why
        self._announce_served_change()
        log.error("everybody gets the live version until this process is informed again", why=why)

    def _mark_informed(self, asked_at: float) -> None:
        """Count a completed round from `asked_at`, when it began, as its answer may have taken long; leave
        fail-safe."""
        if _monotonic_seconds() - asked_at > FAILSAFE_AFTER or asked_at <= self._rollback_unwritten_at:
            return  # too old to count; the next round may be fresh
        if _monotonic_seconds() - self._informed_at > FAILSAFE_AFTER:
            # log it: `snapshot` served the live version for that moment
            self._enter_failsafe(self._describe_report_age())
        with self._state_lock:
            self._informed_at, self._last_error, self._logged_error = asked_at, "", ""
            previous_reason, self._failsafe_reason = self._failsafe_reason, ""
        self._outage.record_recovery()
        if previous_reason:
            self._announce_served_change()
            log.warning("this process is informed again", why=f"it was not: {previous_reason}")


def _describe_error(error: Exception) -> str:
    """What went wrong; the caller appends for how long."""
    if isinstance(error, DBAPIError) and (refused := explain_write_refusal(error)):
        return f"this process could not report to the log ({refused})"
    if isinstance(error, DatabaseUnwritable):
        reason = format_reason(error).removeprefix("Nothing was written: ").rstrip(".")
        return f"this process could not report to the log ({reason})"
    return f"the log did not answer ({type(error).__name__})"
