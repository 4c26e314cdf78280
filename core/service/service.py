"""Carries out commands: load, decide, append, project and announce in one transaction under the append lock.

Nothing else changes a rollout.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.rollout import command_events
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.refusal import Refused
from core.rollout.state.events import NewEvent
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.service import command_answers, outbox_rows
from core.service.rollout_reader import RolloutReader
from core.store.coordination import processes
from core.store.database.append_backend import TimerClaim
from core.store.database.connections import CONNECTION_ERRORS, READ_ONLY_REASON, Database, explain_write_refusal
from core.store.errors import DatabaseBusy, DatabaseUnwritable
from core.store.log import answered_commands
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin, StoredEvent
from core.store.observations import looks
from core.store.transaction import AppendTransaction, run_append_transaction
from core.store.units import served_units, unit_reports


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """A command with its author, its time (by the injected clock), and the id by which a repeat is recognised."""

    command: c.Command
    command_id: str
    by: Actor
    at: datetime
    rollout: str = ""
    source: str = ""
    claim: TimerClaim | None = None  # the timer that this command finishes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutcome:
    """The result of a command. `repeated`: it had been answered before, and nothing was done again.

    `counted`: what it reports of a unit, such as a complaint, is in the comparison now.
    """

    world: World
    rollout: Rollout | None
    positions: tuple[int, ...]
    recorded: tuple[StoredEvent, ...] = ()
    repeated: bool = False
    counted: bool = False


class RolloutService(RolloutReader):
    """Changes rollouts through `handle`, the only way to do so. Thread-safe."""

    def __init__(
        self,
        database: Database,
        *,
        real_time: Callable[[], datetime] = lambda: datetime.now(UTC),
        unwatched_after: timedelta = timedelta.max,
    ) -> None:
        """After `unwatched_after` without a look at a rollout, commands that advance it are refused."""
        super().__init__(database)
        self._unwatched_after = unwatched_after
        self._real_time = real_time
        self._unwritten_listeners: list[Callable[[str], None]] = []

    def erase_served_unit(self, unit: str) -> int:
        """Delete what is on record of a unit; returns of how many rollouts."""
        with self.database.writing_outside_log() as connection:
            return served_units.erase_unit(connection, unit)

    def preview(self, request: CommandRequest) -> tuple[NewEvent, ...]:
        """The events, each with its stream, that `request` would record, decided on the cached world. Writes nothing.

        Raises what `handle` would raise: `Refused`, `NotFound` or `Conflict`.
        """
        return tuple(_decide(self.cached_world(), self._complete(request)))

    def handle(self, request: CommandRequest) -> CommandOutcome:
        """Carry out one command, exactly once per command id.

        Raises `Refused` (or `NotFound`, `Conflict`) with a message for the person who asked, `DatabaseBusy` if the lock
        was held too long, and `DatabaseUnwritable` if the database cannot be written.
        """
        try:
            if isinstance(request.command, c.ReportComplaint):
                return self._handle_report(request, request.command)
            return self._handle_with_retry(self._complete(request))
        except CONNECTION_ERRORS as error:
            refused = explain_write_refusal(error) if isinstance(error, DBAPIError) else ""
            self._notify_rollback_unwritten(request, refused or "the database did not answer")
            if not refused:
                raise
            raise DatabaseUnwritable(_format_unwritten(request, refused)) from error
        except DatabaseBusy as busy:
            self._notify_rollback_unwritten(request, str(busy))
            raise

    def handle_as_engine(
        self, command: c.Command, *, command_id: str, at: datetime, rollout: str = ""
    ) -> CommandOutcome:
        """`handle` what this installation found by itself, and no person asked for."""
        return self.handle(CommandRequest(command=command, command_id=command_id, by=ENGINE, at=at, rollout=rollout))

    def on_rollback_unwritten(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the reason whenever this process could not write a rollback."""
        self._unwritten_listeners.append(listener)

    def _notify_rollback_unwritten(self, request: CommandRequest, reason: str) -> None:
        if isinstance(request.command, c.RollBack):
            for listener in self._unwritten_listeners:
                listener(reason)

    def _complete(self, request: CommandRequest) -> CommandRequest:
        """The request with what the store knows: the arm of a tester who votes, what a reviewed rollout measured."""
        command = request.command
        if isinstance(command, c.CastVote):
            arm = unit_reports.find_voter_arm(self.database, self.load_world(), request.rollout, request.by, request.at)
            return replace(request, command=replace(command, arm=arm))
        if isinstance(command, c.SubmitReview) and command.keeps_baseline:
            world = self.load_world()
            rollout = world.find_rollout(request.rollout)
            baseline = self.load_baseline(world, rollout) if rollout is not None else None
            return replace(request, command=replace(command, baseline=baseline))
        return request

    def _handle_report(self, request: CommandRequest, command: c.ReportComplaint) -> CommandOutcome:
        """Record what a person reports of a unit, and count it where the unit was served.

        It is counted after the commit, under the id of the command: a repeat after a crash in between counts it then.
        """
        place = unit_reports.find_place(self.database, self.load_world(), request.rollout, command.unit, request.at)
        reported = replace(request, command=replace(command, arm=place.arm, version=place.version))
        outcome = self._handle_with_retry(reported)
        counted = unit_reports.count(
            self.database, place, {"complaint_rate": 1.0}, report=request.command_id, at=request.at
        )
        return replace(outcome, counted=counted)

    def _handle_with_retry(self, request: CommandRequest) -> CommandOutcome:
        """Handle a request, with one retry if the connection was lost or led to a read-only server."""
        try:
            self._assert_watched(request)
            self._roll_back_running_first(request)
            return self._handle_once(request)
        except DBAPIError as error:
            if not (error.connection_invalidated or explain_write_refusal(error) == READ_ONLY_REASON):
                raise
            self.database.reconnect()
            # It may have been committed: a retry is safe, because the command ids are the same.
            try:
                self._roll_back_running_first(request)
                return self._handle_once(request)
            except DatabaseBusy:
                raise error from None  # DatabaseBusy says "nothing was written", which may not be true

    def _handle_once(self, request: CommandRequest) -> CommandOutcome:
        """Carry out a request in one append transaction; raises a refusal after storing it as the answer."""
        write = partial(self._decide_and_write, request)
        outcome = run_append_transaction(
            self.database,
            self.world_cache,
            request.command_id,
            write,
            person=_find_text_author(request),
            claim=request.claim,
        )
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    def _decide_and_write(self, request: CommandRequest, log: AppendTransaction) -> CommandOutcome | Refused:
        """Decide, and collect all rows to write. A refusal is returned, not raised, so that it is stored as well."""
        fingerprint = _compute_fingerprint(request)
        known = command_answers.find_known_answer(log.find_answer, request.command_id, fingerprint)
        if known is not None:
            return _build_repeated_outcome(known, log.world, request)
        try:
            entries = _decide(log.world, request)
        except Refused as refused:
            log.store_answer(request.command_id, fingerprint, command_answers.build_refusal(refused, request.at))
            return refused
        recorded = self._append_events(log, entries, request)
        rollout, positions = _find_rollout_id(request, recorded), tuple(r.position for r in recorded)
        if recorded or not request.by.is_system:
            answer = command_answers.build_result(rollout, positions, request.at)
            log.store_answer(request.command_id, fingerprint, answer)
        return CommandOutcome(
            world=log.world, rollout=log.world.find_rollout(rollout), positions=positions, recorded=recorded
        )

    def _append_events(
        self, log: AppendTransaction, entries: list[NewEvent], request: CommandRequest
    ) -> tuple[StoredEvent, ...]:
        """Append the events, with their outbox rows and the changed rows of the read model."""
        origin = EventOrigin(
            command_id=request.command_id,
            actor=request.by.id,
            at=request.at,
            recorded_at=self._real_time(),
            source=request.source,
        )
        steps = log.append(entries, origin)
        for one, before, after in steps:
            for row in outbox_rows.build_rows(one, before, after, request.at):
                log.enqueue(row)
        recorded = tuple(step.stored for step in steps)
        log.update_read_model(recorded, log.world.rollouts)
        return recorded

    def _assert_watched(self, request: CommandRequest) -> None:
        """Refuse to advance a rollout that has had no look for `unwatched_after`, unless it is a repeat."""
        if not isinstance(request.command, c.Advance) or self._unwatched_after == timedelta.max:
            return
        rollout = self.load_world().rollouts.get(request.rollout)
        if rollout is None or not rollout.is_looked_at:
            return
        with self.database.reading() as connection:
            _, looked_at = looks.load_count_and_time(connection, rollout.id)
            if looked_at is None or request.at - looked_at <= self._unwatched_after:
                return
            if _is_answered(connection, request):
                return
        minutes = (request.at - looked_at) // timedelta(minutes=1)
        raise Refused(
            f"{rollout.id} has had no look for {minutes} minutes, so harm would go unnoticed: it does not grow.",
            hint="Start a worker (rollout worker); rollout doctor shows what is wrong. Rolling back still works.",
        )

    def _roll_back_running_first(self, request: CommandRequest) -> None:
        """Before rolling back a finished rollout, roll back those that are running on the same surface."""
        if not isinstance(request.command, c.RollBack):
            return
        world = self.load_world()
        rollout = world.find_rollout(request.rollout)
        if rollout is None or rollout.state is not RolloutState.DONE:
            return
        surface = world.surfaces[rollout.plan.surface]
        if surface.live_by != rollout.id or not surface.running:
            return
        with self.database.reading() as connection:
            if _is_answered(connection, request):
                return
        self.preview(request)  # raises if the command would be refused: then roll nothing back
        for running in surface.running:
            reason = f"{rollout.id}, which it builds on, was rolled back"
            self._handle_once(
                CommandRequest(
                    command=c.RollBack(reason=reason),
                    command_id=f"{request.command_id}.{running}",
                    by=request.by,
                    at=request.at,
                    rollout=running,
                    source=request.source,
                )
            )


def _format_unwritten(request: CommandRequest, reason: str) -> str:
    """The message for a command that could not be written, so that nothing of it was done."""
    if not isinstance(request.command, c.RollBack):
        return f"The database cannot be written to ({reason}), so nothing was saved. Fix that, then try again."
    again = f"rollout rollback {request.rollout}"
    return (
        f"The rollback of {request.rollout} could not be saved: the database cannot be written to ({reason}). "
        "Until it can, everybody gets the live version, from every process within "
        f"{processes.SERVING_SECONDS:.0f} s of its last report there. After that the new version is served again, "
        f"so fix the database and then roll back again: {again}."
    )


def _decide(world: World, request: CommandRequest) -> list[NewEvent]:
    """The events that follow from a request in this world. `Refused` or `NotFound` if it cannot be carried out."""
    return command_events.decide_events(world, request.command, rollout=request.rollout, by=request.by, at=request.at)


def _compute_fingerprint(request: CommandRequest) -> str:
    return command_answers.compute_fingerprint(request.command, request.rollout, request.by.id)


def _is_answered(connection: Connection, request: CommandRequest) -> bool:
    """Whether this request was answered before, as far as can be told without the append lock."""
    find_answer = partial(answered_commands.find_answer, connection)
    found = command_answers.find_known_answer(find_answer, request.command_id, _compute_fingerprint(request))
    return found is not None


def _find_text_author(request: CommandRequest) -> str:
    """The person whose text the command may hold; empty for the engine's own commands."""
    return "" if request.by.is_system else request.by.id


def _find_rollout_id(request: CommandRequest, recorded: tuple[StoredEvent, ...]) -> str:
    named = [r.stream.partition(":")[2] for r in recorded if r.stream.startswith("rollout:")]
    return request.rollout if request.rollout in named or not named else named[0]


def _build_repeated_outcome(known: CommandAnswer, world: World, request: CommandRequest) -> CommandOutcome:
    """The outcome of a repeated request, from its stored answer; raises `Refused` if it was refused."""
    rollout, positions = command_answers.read_result(known)
    return CommandOutcome(
        world=world, rollout=world.find_rollout(rollout or request.rollout), positions=positions, repeated=True
    )
