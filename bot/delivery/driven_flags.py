"""Reconciles driven flags with what is decided: read, write if it differs, read back, record the result."""

import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import Any

import structlog

from bot.actuators.flag_system import FlagSystem, OpenFlagSystem
from bot.delivery.consumer import LeaseTakenOver, OutboxConsumer
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.process.machine_clock import utc_now
from bot.process.outage import DATABASE_ERRORS
from core.rollout import commands as c
from core.rollout.plans.plan import DrivenFlag
from core.rollout.serving import driving
from core.rollout.state.events import Completed, Resumed, RolledBack, StageEntered, rollout_stream
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.service.outbox_tasks import FLAGS, FlagTask
from core.service.service import RolloutService
from core.store.coordination import outbox
from core.store.coordination.outbox import OutboxRow
from core.store.log import event_log

log = structlog.get_logger()

MAX_READS = 4  # of the flag for one row; then the row is rescheduled
MAX_AT_ONCE = 8  # rows under way in one process
CLAIM_AGAIN_AFTER = 0.5  # seconds, while rows are under way
MAX_BACKOFF = 30.0  # seconds; short, as a rollback may be waiting for the system to come back
REREAD_AFTER = 10.0  # seconds until a flag that is lower than before counts as lowered by a person
LATE_WRITE_CHECKS = (30.0, 120.0)  # seconds after a write without an answer, which may be carried out only later
REPORT_TROUBLE_AFTER = 4  # failed attempts, some twenty seconds
_DECISIONS = (StageEntered, RolledBack, Completed)


def has_driven_flags(world: World) -> bool:
    """Whether any rollout drives a flag; without one, the outbox need not be read."""
    return any(rollout.plan.driven for rollout in world.rollouts.values())


def deliver_due(
    service: RolloutService,
    open_system: OpenFlagSystem,
    now: Callable[[], datetime],
    *,
    real_now: Callable[[], datetime] = utc_now,
    random_fraction: Callable[[], float] = random.random,
    speed: float = 1.0,
) -> int:
    """Process rows until none is due and none is under way; returns how many.

    Rows of different flags are processed at the same time, so that a system that is slow or down delays no other one. A
    row only names a rollout. What is decided is looked up when the flag is read, and checked again before the reading
    is trusted. So rows may be late, repeated or concurrent: the flag always ends at the newest decision.
    """
    attempts = OutboxConsumer(
        service.database, FLAGS, now, speed=speed, random_fraction=random_fraction, max_backoff=MAX_BACKOFF
    )
    handled, running = 0, set[Future[None]]()
    with ThreadPoolExecutor(max_workers=MAX_AT_ONCE, thread_name_prefix="driven") as pool:
        while (rows := list(_claim_due(attempts, MAX_AT_ONCE - len(running)))) or running:
            for row in rows:
                reconciler = _FlagReconciler(row, service, open_system, attempts, now, real_now)
                running.add(pool.submit(reconciler.run))
                handled += 1
            # A rollback may be decided meanwhile: it is not to wait for a call that hangs, so rows are claimed again.
            done, running = wait(running, timeout=CLAIM_AGAIN_AFTER, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()
    return handled


def _claim_due(consumer: OutboxConsumer, limit: int) -> Iterator[OutboxRow]:
    while limit > 0 and (row := consumer.claim()) is not None:
        yield row
        limit -= 1


class _FlagReconciler:
    """One attempt at one outbox row."""

    def __init__(
        self,
        row: OutboxRow,
        service: RolloutService,
        open_system: OpenFlagSystem,
        consumer: OutboxConsumer,
        now: Callable[[], datetime],
        real_now: Callable[[], datetime],
    ) -> None:
        self._row = row
        self._service = service
        self._open_system = open_system
        self._consumer = consumer
        self._now = now
        self._real_now = real_now
        self._has_written = False
        self._task = FlagTask.parse(row.request)

    def run(self) -> None:
        """Bring the flag to its decided value, or reschedule the row, or dead-letter it and tell people."""
        row = self._row
        try:
            released = self._consumer.finish(row, self._reconcile_flag())
        except PermanentFailure as never:
            released = self._give_up(str(never))
        except LeaseTakenOver:
            released = False
        except RetryLater as later:
            released = self._reschedule(later)
        except DATABASE_ERRORS as error:
            released = self._consumer.reschedule_after_outage(self._row, error)
        except Exception as error:
            log.exception("a flag cannot be driven", outbox=row.id)
            released = self._reschedule(RetryLater(f"{type(error).__name__}: see Rampart's log"))
        if not released:
            log.warning("taken over by another process", outbox=row.id, attempt=row.attempt)
            self._queue_recheck()

    def _reconcile_flag(self) -> Mapping[str, Any]:
        """Read and write the flag until it has the decided value; returns the outcome to store with the row."""
        system: FlagSystem | None = None
        first_percent: float | None = None
        for _ in range(MAX_READS):
            decided = self._get_rollout()
            driven = self._find_driven(decided)
            wanted = driving.desired_percent(decided, driven) if driven is not None else None
            if driven is None or wanted is None:
                return {"skipped": "nothing is driven"}
            if not decided.is_under_way and (
                others := driving.find_competing_rollouts(
                    decided, driven, self._service.cached_world().rollouts.values()
                )
            ):
                return {"skipped": f"{', '.join(others)} controls this flag now"}
            system = system or self._open_system(driven)
            self._consumer.renew_lease(self._row)
            percent = system.read()
            first_percent = percent if first_percent is None else first_percent
            if not _is_same_decision(decided, self._get_rollout(), driven):
                continue  # the decision changed while reading, so read again
            wrote_late = self._has_written or self._task.is_recheck  # a late write may have lowered it, not a person
            if driving.is_lowered_by_hand(decided, driven, percent) and not wrote_late:
                known = decided.hold is not None and decided.hold.key == driving.lowered_hold_key(decided, driven)
                less = f"it is at {percent:g} %, less than before"
                if self._row.last_error != less and not known:  # the reading may be stale, so wait and read again
                    raise RetryLater(less, seconds=REREAD_AFTER, counts_as_attempt=False)
                self._submit_command(c.RecordFlagLowered(flag=driven.title, percent=percent), "lowered")
                return {"left": percent}
            rehearses = driving.is_drilling(decided) and not driving.has_answered_drill(decided, driven)
            if rehearses:
                system.rehearse(_first_share(decided, driven))
            may_be_enough = not rehearses and not self._would_come_back(decided, driven, system)
            if percent == wanted and (self._has_written or may_be_enough):
                self._record_flag(decided, driven, wanted, first_percent)
                return {"percent": percent, "before": first_percent}
            self._consumer.renew_lease(self._row)
            self._has_written = True
            try:
                system.write(wanted)
            except RetryLater as failure:
                if failure.may_arrive:
                    self._queue_late_checks()
                raise
        raise RetryLater("it keeps changing back: something else sets it too")

    def _would_come_back(self, rollout: Rollout, driven: DrivenFlag, system: FlagSystem) -> bool:
        """Whether turning on what somebody turned off would give people the new version again after a rollback."""
        if self._has_written or driven.is_label or rollout.state is not RolloutState.ROLLED_BACK:
            return False
        return system.read_dormant() != 0

    def _get_rollout(self) -> Rollout:
        return self._service.load_world().get_rollout(self._task.rollout)

    def _find_driven(self, rollout: Rollout) -> DrivenFlag | None:
        """What this row is about; None if the plan drives nothing by its number."""
        driven = rollout.plan.driven
        return driven[self._task.number] if self._task.number < len(driven) else None

    def _record_flag(self, rollout: Rollout, driven: DrivenFlag, percent: float, before: float) -> None:
        """Record that the flag has its decided percentage, and how long after the decision."""
        with self._service.database.reading() as connection:
            history = event_log.read_stream(connection, rollout_stream(rollout.id))
        decisions = (*_DECISIONS, Resumed) if driving.is_drilling(rollout) else _DECISIONS
        since = next(r.recorded_at for r in reversed(history) if isinstance(r.event, decisions))
        seconds = max(0.0, (self._real_now() - since).total_seconds())
        rolled_back = rollout.state is RolloutState.ROLLED_BACK
        self._submit_command(
            c.RecordFlag(flag=driven.title, percent=percent, before=before, seconds=seconds, rolled_back=rolled_back),
            "found",
        )

    def _reschedule(self, failure: RetryLater) -> bool:
        """Reschedule the row, and tell people once it has failed `REPORT_TROUBLE_AFTER` times."""
        if failure.counts_as_attempt and self._row.attempt >= REPORT_TROUBLE_AFTER:
            self._record_trouble(str(failure), will_retry=True)
        return self._consumer.reschedule(self._row, failure)

    def _give_up(self, error: str) -> bool:
        """Record the failure for people and dead-letter the row; False if another worker has it by now."""
        log.error("a flag cannot be set", outbox=self._row.id, rollout=self._task.rollout, why=error)
        self._record_trouble(error, will_retry=False)
        if self._task.is_check:  # the row of the decision itself is dead-lettered, which is enough
            return self._consumer.finish(self._row, {"failed": error})
        return self._consumer.dead_letter(self._row, error)

    def _record_trouble(self, error: str, *, will_retry: bool) -> None:
        rollout = self._get_rollout()
        driven = self._find_driven(rollout)
        wanted = driving.desired_percent(rollout, driven) if driven is not None else None
        if driven is not None and wanted is not None:
            trouble = c.RecordFlagTrouble(flag=driven.title, percent=wanted, error=error, trying=will_retry)
            self._submit_command(trouble, "trouble")

    def _submit_command(self, command: c.Command, step: str) -> None:
        """Submit a command with an id unique to this attempt; the decider ignores repeated findings."""
        command_id = f"outbox:{self._row.id}:{self._row.lease_token}:{step}"
        self._service.handle_as_engine(command, command_id=command_id, at=self._now(), rollout=self._task.rollout)

    def _queue_recheck(self) -> None:
        """Queue another check if we wrote after losing the lease, as that may have undone a newer write."""
        if not self._has_written:
            return
        row = FlagTask(rollout=self._task.rollout, number=self._task.number, is_recheck=True).build_row(
            self._now(),
            self._row.position,
            idempotency_key=f"{self._row.idempotency_key}:again:{self._row.lease_token}",
            is_urgent=self._row.ordering_key.endswith(outbox.URGENT_SUFFIX),
        )
        with self._service.database.writing_outside_log() as connection:
            outbox.insert_row(connection, row)

    def _queue_late_checks(self) -> None:
        """Queue checks for a write that got no answer: the system may carry it out after a newer one was read back.

        A person may lower the flag before they are due, which they leave alone, as every check does.
        """
        task = FlagTask(rollout=self._task.rollout, number=self._task.number, is_check=True)
        for seconds in LATE_WRITE_CHECKS:
            due = self._consumer.compute_due(seconds)
            period = int(due.timestamp() // min(LATE_WRITE_CHECKS))  # one for all that are due then
            row = task.build_late_row(due, self._row.position, f"{task.destination}:late:{seconds:g}:{period}")
            with self._service.database.writing_outside_log() as connection:
                outbox.insert_row(connection, row)


def _first_share(rollout: Rollout, driven: DrivenFlag) -> float:
    """The first percentage above 0 that the plan sets it to: what a drill finds out whether it could be set."""
    shares = (driven.percent_at(stage.percent) for stage in rollout.plan.stages)
    return next((share for share in shares if share > 0), 0.0)


def _is_same_decision(one: Rollout, other: Rollout, driven: DrivenFlag) -> bool:
    """Whether both states of a rollout decide the same for the flag."""
    return driving.desired_percent(one, driven) == driving.desired_percent(other, driven) and (
        one.state is RolloutState.ROLLED_BACK
    ) == (other.state is RolloutState.ROLLED_BACK)
