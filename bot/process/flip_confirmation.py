"""Confirms once that every process serves what a rollback or a drill decided, judging by the processes' reports.

Ages are measured with this process's monotonic clock, from when it saw a report change. No decision compares the wall
clocks of two machines.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.rollout import commands as c
from core.rollout.refusal import Conflict
from core.rollout.serving import driving
from core.rollout.state.events import (
    ConversationsMoved,
    Event,
    Resumed,
    RolledBack,
    StageEntered,
    StratumRolledBack,
    rollout_stream,
)
from core.rollout.state.model import Rollout, RolloutState
from core.service.service import RolloutService
from core.store.coordination import processes
from core.store.log import event_log
from core.store.log.event_log import StoredEvent
from core.store.models import ProcessReport

SILENCE_MARGIN = 4.0  # seconds beyond `processes.SERVING_SECONDS` until a silent process no longer counts as serving
DOUBT_AFTER = 60.0  # seconds without confirmation until doubt is recorded
GIVE_UP_AFTER = timedelta(hours=24)  # of the rollouts' clock, as `Rollout.ended_at` is
READ_REPORTS_EVERY = 2.0  # seconds between two readings of the reports while nothing awaits confirmation
FORGET_PROCESS_AFTER = 3600.0  # seconds of silence until a process is removed
MAX_NOTICE_DELAY = 1.0  # seconds within which this process has certainly learned of a decision
SERVING_ROLES = frozenset({"serve", "web"})


@dataclass(slots=True)
class _TrackedReport:
    """The newest report of a process, and when we first saw it (monotonic seconds)."""

    process: ProcessReport
    changed_at: float


@dataclass(slots=True)
class _PendingSwitch:
    """A switch that awaits confirmation; `started_at` is in monotonic seconds.

    If `start_was_witnessed`, the previous round did not know the decision yet, so `started_at` is within
    `MAX_NOTICE_DELAY` of it.
    """

    position: int
    started_at: float
    start_was_witnessed: bool
    recorded_at: datetime


class FlipConfirmer:
    """Confirms flips and drills; `confirm_pending` is called periodically.

    After its last report a process may serve on for `processes.SERVING_SECONDS` seconds, even if it is cut off from the
    database. So it is waited for until its report has not changed for that long; then it is listed as unheard.
    """

    def __init__(
        self,
        service: RolloutService,
        *,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._elapsed = elapsed
        self._reports: dict[str, _TrackedReport] = {}
        self._reports_read_at = float("-inf")
        self._previous_round: tuple[int, float] | None = (
            None  # (end of the log, monotonic seconds) of the previous round
        )
        self._pending: dict[str, _PendingSwitch] = {}

    def confirm_pending(self, now: datetime) -> None:
        """Confirm what can be confirmed, and doubt what could not be for a minute. `now` is the rollouts' clock."""
        before = self._elapsed()
        world = self._service.cached_world()
        awaiting = [r for r in world.rollouts.values() if _awaits_confirmation(r, now) or driving.is_drilling(r)]
        strata = [(r, name) for r in world.rollouts.values() for name in _list_unconfirmed_strata(r, now)]
        if not (awaiting or strata) and before - self._reports_read_at < READ_REPORTS_EVERY:
            self._previous_round = (world.position, before)
            return
        self._read_reports()
        self._pending = {
            **{r.id: self._track_switch(r, before) for r in awaiting},
            **{_stratum_key(r, name): self._track_stratum(r, name, before) for r, name in strata},
        }
        self._previous_round = (world.position, before)
        for rollout in awaiting:
            if rollout.state is RolloutState.ROLLED_BACK:
                self._confirm_flip(rollout, self._pending[rollout.id], now, before)
            else:
                self._confirm_drill(rollout, self._pending[rollout.id], now, before)
        for rollout, name in strata:
            self._confirm_flip(rollout, self._pending[_stratum_key(rollout, name)], now, before, stratum=name)

    def _read_reports(self) -> None:
        """Read the serving processes' reports from the primary database; forget long silent ones."""
        with self._service.database.reading_primary() as connection:
            found = [p for p in processes.load_processes(connection) if p.role in SERVING_ROLES]
        at = self._reports_read_at = self._elapsed()
        known, self._reports = self._reports, {}
        for process in found:
            old = known.get(process.process_id)
            same = old is not None and old.process.seen_at == process.seen_at
            self._reports[process.process_id] = _TrackedReport(process, old.changed_at if old and same else at)
        for name, report in self._reports.items():
            if at - report.changed_at > FORGET_PROCESS_AFTER:
                processes.unregister(self._service.database, name)

    def _track_switch(self, rollout: Rollout, at: float) -> _PendingSwitch:
        """The switch that this rollout awaits: the one known already, or its newest decision from the log."""
        # A drill that took too long is repeated, and timed anew, once somebody resumes.
        is_rolled_back = rollout.state is RolloutState.ROLLED_BACK
        kind = RolledBack | ConversationsMoved if is_rolled_back else StageEntered | Resumed
        known = self._pending.get(rollout.id)
        if known is not None and is_rolled_back and rollout.plan.finish_within is None:
            return known
        decided = self._find_newest(rollout, lambda event: isinstance(event, kind))
        if known is not None and known.position == decided.position:
            return known
        return self._begin_switch(decided, at)

    def _track_stratum(self, rollout: Rollout, stratum: str, at: float) -> _PendingSwitch:
        """The switch of a stratum that was rolled back alone: the one known already, or as the log has it."""
        known = self._pending.get(_stratum_key(rollout, stratum))
        if known is not None:
            return known
        return self._begin_switch(
            self._find_newest(rollout, lambda x: isinstance(x, StratumRolledBack) and x.stratum == stratum), at
        )

    def _find_newest(self, rollout: Rollout, is_wanted: Callable[[Event], bool]) -> StoredEvent:
        with self._service.database.reading() as connection:
            recorded = event_log.read_stream(connection, rollout_stream(rollout.id))
        return next(r for r in reversed(recorded) if is_wanted(r.event))

    def _begin_switch(self, decided: StoredEvent, at: float) -> _PendingSwitch:
        witnessed = self._previous_round is not None and self._previous_round[0] < decided.position
        began = self._previous_round[1] if witnessed and self._previous_round is not None else at
        return _PendingSwitch(
            position=decided.position, started_at=began, start_was_witnessed=witnessed, recorded_at=decided.recorded_at
        )

    def _classify_processes(
        self, position: int, since: float, at: float
    ) -> tuple[list[ProcessReport], list[str], list[str]]:
        """(processes that serve `position` or later, names of those that may not yet, names of silent ones).

        Silent ones have not reported since `since` and have fallen back to the live version by now.
        """
        reached, missing, unheard = [], [], []
        for name, report in self._reports.items():
            if report.process.position >= position:
                reached.append(report.process)
            elif at - report.changed_at <= processes.SERVING_SECONDS + SILENCE_MARGIN:
                missing.append(name)
            elif report.changed_at > since - processes.SERVING_SECONDS - SILENCE_MARGIN:
                unheard.append(name)
        return reached, missing, unheard

    def _confirm_flip(
        self, rollout: Rollout, switch: _PendingSwitch, now: datetime, at: float, stratum: str = ""
    ) -> None:
        """Confirm that everyone, or a stratum alone, was switched back once all processes have switched, and for
        everyone the driven flags; doubt it after `DOUBT_AFTER`."""
        reached, missing, unheard = self._classify_processes(switch.position, switch.started_at, at)
        living = [p for p in reached if self._is_alive(p, at)]
        flags = () if stratum else driving.list_unconfirmed(rollout)
        waited = at - switch.started_at
        command: c.Command
        if living and not missing and not flags:
            seconds = waited if unheard else self._measure_seconds(reached, switch, waited)
            if not stratum:
                seconds = max(seconds, driving.slowest_seconds(rollout))
            command = c.ConfirmFlip(
                seconds=seconds, processes=len(living), unheard=tuple(unheard) or None, stratum=stratum
            )
        elif waited > DOUBT_AFTER and not (rollout.strata_back[stratum] if stratum else rollout).flip_doubted:
            names = (*(missing if living or missing else ("no process that serves versions is alive",)), *flags)
            command = c.DoubtFlip(seconds=waited, missing=names, stratum=stratum)
        else:
            return
        self._submit_command(rollout, command, f"flip:{switch.position}:{type(command).__name__}", now)

    def _confirm_drill(self, rollout: Rollout, switch: _PendingSwitch, now: datetime, at: float) -> None:
        """Record a rollback drill once all processes have switched and the driven flag was written and read back."""
        reached, missing, unheard = self._classify_processes(switch.position, switch.started_at, at)
        if any(self._is_alive(p, at) for p in reached) and not missing and driving.has_answered_drill(rollout):
            waited = at - switch.started_at
            seconds = waited if unheard else self._measure_seconds(reached, switch, waited)
            seconds = max(seconds, driving.slowest_seconds(rollout))
            self._submit_command(rollout, c.RecordDrill(seconds=seconds), f"drill:{switch.position}", now)

    def _is_alive(self, process: ProcessReport, at: float) -> bool:
        """Whether the process has reported recently enough to count as serving."""
        return at - self._reports[process.process_id].changed_at <= processes.SERVING_SECONDS + SILENCE_MARGIN

    def _measure_seconds(self, reached: Iterable[ProcessReport], switch: _PendingSwitch, waited: float) -> float:
        """Seconds until all had switched, by the processes' own clocks; if a clock was set meanwhile, the time that
        this process has waited."""
        reported = max((p.reached_at - switch.recorded_at).total_seconds() for p in reached)
        if reported < 0 or (switch.start_was_witnessed and reported > waited + MAX_NOTICE_DELAY):
            return waited
        return reported

    def _submit_command(self, rollout: Rollout, command: c.Command, command_id: str, now: datetime) -> None:
        try:
            self._service.handle_as_engine(command, command_id=command_id, at=now, rollout=rollout.id)
        except Conflict:
            return  # another worker recorded it first, with slightly different seconds


def _awaits_confirmation(rollout: Rollout, now: datetime) -> bool:
    """Whether a rollback still awaits confirmation; after `GIVE_UP_AFTER` it is left as doubted."""
    if rollout.state is not RolloutState.ROLLED_BACK or rollout.flip is not None or rollout.ended_at is None:
        return False
    return now - (rollout.conversations_moved_at or rollout.ended_at) < GIVE_UP_AFTER


def _list_unconfirmed_strata(rollout: Rollout, now: datetime) -> list[str]:
    """Strata that were rolled back alone and still await confirmation."""
    if not rollout.is_under_way:
        return []
    return [name for name, back in rollout.strata_back.items() if back.flip is None and now - back.at < GIVE_UP_AFTER]


def _stratum_key(rollout: Rollout, stratum: str) -> str:
    return f"{rollout.id}:{stratum}"
