"""Reconciles driven flags with what is decided: read, write if it differs, read back, record the result."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from bot.actuators.flag_system import FlagSystem, Open
from bot.outbound.attempts import Attempts, Later, Never, TakenOver
from core.rollout import commands as c
from core.rollout import driving
from core.rollout.context import ENGINE
from core.rollout.events import Completed, RolledBack, StageEntered, rollout_stream
from core.rollout.model import Rollout, State
from core.rollout.world import World
from core.service import Request, Service
from core.store.coordination import outbox
from core.store.coordination.outbox import Row
from core.store.database.connections import Database
from core.store.log import event_log

log = structlog.get_logger()

KIND = "flag"
LOOKS = 4  # of the flag for one row; then the row is rescheduled
LONGEST_WAIT = 30.0  # seconds; short, as a rollback may be waiting for the system to come back
SECOND_LOOK_AFTER = 10.0  # seconds until a flag that is lower than before counts as lowered by a person
TOLD_AFTER = 4  # failed attempts, some twenty seconds
_DECISIONS = (StageEntered, RolledBack, Completed)


def real_time() -> datetime:
    """The machine's clock in UTC."""
    return datetime.now(UTC)


def is_needed(world: World) -> bool:
    """Whether any rollout drives a flag; without one, the outbox need not be read."""
    return any(rollout.plan.drives is not None for rollout in world.rollouts.values())


def deliver_due(
    database: Database,
    service: Service,
    open_system: Open,
    now: Callable[[], datetime],
    *,
    real_now: Callable[[], datetime] = real_time,
    chance: Callable[[], float] = random.random,
    speed: float = 1.0,
) -> int:
    """Process rows until none is due; returns how many.

    A row only names a rollout. What is decided is looked up when the flag is read, and checked again before the reading
    is trusted. So rows may be late, repeated or concurrent: the flag always ends at the newest decision.
    """
    attempts = Attempts(database, KIND, now, speed=speed, chance=chance, longest_wait=LONGEST_WAIT)
    handled = 0
    while (row := attempts.claim()) is not None:
        _Bringing(row, database, service, open_system, attempts, now, real_now).bring()
        handled += 1
    return handled


class _Bringing:
    """One attempt at one outbox row."""

    def __init__(
        self,
        row: Row,
        database: Database,
        service: Service,
        open_system: Open,
        attempts: Attempts,
        now: Callable[[], datetime],
        real_now: Callable[[], datetime],
    ) -> None:
        self._row = row
        self._database = database
        self._service = service
        self._open = open_system
        self._attempts = attempts
        self._now = now
        self._real_now = real_now
        self._wrote = False

    def bring(self) -> None:
        """Bring the flag to its decided value, or reschedule the row, or dead-letter it and tell people."""
        row = self._row
        try:
            released = self._finish(self._reconcile())
        except Never as never:
            released = self._give_up(str(never))
        except TakenOver:
            released = False
        except Later as later:
            released = self._put_off(later)
        except Exception as error:
            log.exception("a flag cannot be driven", outbox=row.id)
            released = self._put_off(Later(f"{type(error).__name__}: see Rampart's log"))
        if not released:
            log.warning("taken over by another process, so left to it", outbox=row.id, attempt=row.attempt)
            self._look_again()

    def _reconcile(self) -> Mapping[str, Any]:
        """Read and write the flag until it has the decided value; returns the outcome to store with the row."""
        system: FlagSystem | None = None
        first: float | None = None
        for _ in range(LOOKS):
            decided = self._rollout()
            wanted = driving.desired(decided)
            driven = decided.plan.drives
            if wanted is None or driven is None:
                return {"skipped": "nothing is driven"}
            if not decided.under_way and (others := driving.others(decided, self._service.peek().rollouts.values())):
                return {"skipped": f"{', '.join(others)} decides on this flag now"}
            system = system or self._open(driven)
            self._attempts.hold(self._row)
            seen = system.read()
            first = seen if first is None else first
            if not _same(decided, self._rollout()):
                continue  # the decision changed while reading, so read again
            late = self._wrote or self._row.request.get(
                "again"
            )  # a worker's own late write may have lowered it, not a person
            if driving.is_lowered(decided, seen) and not late:
                known = decided.hold is not None and decided.hold.key == driving.lowered_key(decided)
                less = f"it is at {seen:g} %, less than before"
                if self._row.last_error != less and not known:  # the reading may be stale, so wait and read again
                    raise Later(less, seconds=SECOND_LOOK_AFTER, counts=False)
                self._hand_in(c.RecordFlagLowered(percent=seen), "lowered")
                return {"left": seen}
            if seen == wanted:
                self._record(decided, wanted, first)
                return {"percent": seen, "before": first}
            self._attempts.hold(self._row)
            self._wrote = True
            system.write(wanted)
        raise Later("it does not stay at what it is set to: something else sets it, too")

    def _rollout(self) -> Rollout:
        return self._service.world().rollout(self._row.request["rollout"])

    def _record(self, decided: Rollout, percent: float, before: float) -> None:
        """Record that the flag has its decided percentage, and how long after the decision."""
        with self._database.reading() as connection:
            history = event_log.stream(connection, rollout_stream(decided.id))
        since = next(r.recorded_at for r in reversed(history) if isinstance(r.event, _DECISIONS))
        seconds = max(0.0, (self._real_now() - since).total_seconds())
        rolled_back = decided.state is State.ROLLED_BACK
        self._hand_in(c.RecordFlag(percent=percent, before=before, seconds=seconds, rolled_back=rolled_back), "found")

    def _finish(self, response: Mapping[str, Any]) -> bool:
        with self._database.plain_writing() as connection:
            return outbox.finish(connection, self._row, response)

    def _put_off(self, later: Later) -> bool:
        """Reschedule the row, and tell people once it has failed `REPORT_TROUBLE_AFTER` times."""
        if later.counts and self._row.attempt >= TOLD_AFTER:
            self._trouble(str(later), trying=True)
        return self._attempts.put_off(self._row, later)

    def _give_up(self, error: str) -> bool:
        """Record the failure for people and dead-letter the row; False if another worker has it by now."""
        log.error("a flag cannot be set", outbox=self._row.id, rollout=self._row.request["rollout"], why=error)
        self._trouble(error, trying=False)
        if self._row.request.get(
            "look"
        ):  # a periodic check: the row of the decision itself is dead-lettered, which is enough
            return self._finish({"failed": error})
        return self._attempts.bury(self._row, error)

    def _trouble(self, error: str, *, trying: bool) -> None:
        wanted = driving.desired(self._rollout())
        if wanted is not None:
            self._hand_in(c.RecordFlagTrouble(percent=wanted, error=error, trying=trying), "trouble")

    def _hand_in(self, command: c.Command, what: str) -> None:
        """Submit a command with an id unique to this attempt; the decider ignores repeated findings."""
        row = self._row
        self._service.handle(
            Request(
                command=command,
                command_id=f"outbox:{row.id}:{row.lease_token}:{what}",
                by=ENGINE,
                at=self._now(),
                rollout=row.request["rollout"],
            )
        )

    def _look_again(self) -> None:
        """Queue another check if we wrote after losing the lease, as that may have undone a newer write."""
        if not self._wrote:
            return
        row = outbox.new(
            kind=KIND,
            ordering_key=self._row.ordering_key,
            idempotency_key=f"{self._row.idempotency_key}:again:{self._row.lease_token}",
            request={"rollout": self._row.request["rollout"], "again": True},
            due_at=self._now(),
            position=self._row.position,
        )
        with self._database.plain_writing() as connection:
            outbox.add(connection, row)


def _same(one: Rollout, other: Rollout) -> bool:
    """Whether both states of a rollout decide the same for the flag."""
    return driving.desired(one) == driving.desired(other) and (one.state is State.ROLLED_BACK) == (
        other.state is State.ROLLED_BACK
    )
