"""Carries out commands: load, decide, append, project and announce in one transaction under the append lock.

Nothing else changes a rollout.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import assert_never

from sqlalchemy.exc import DBAPIError

from core.outbox_tasks import FlagTask, MessageTask, RevertTask
from core.rollout import commands as c
from core.rollout import consequences, permission
from core.rollout.context import Actor, Context
from core.rollout.decisions.decider import decide
from core.rollout.models import model_reports
from core.rollout.notifications import announcements, direct_messages, feedback_requests
from core.rollout.plans.plan import content_hash
from core.rollout.refusal import Conflict, NotFound, Refused
from core.rollout.serving import assignment_history, driving
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface, SurfaceDeclared, SurfaceEvent, is_version_taken
from core.rollout.state.world import World
from core.rollout.workspace import freezes, subscriptions
from core.store.coordination import processes
from core.store.database.append_backend import TimerClaim
from core.store.database.connections import CONNECTION_ERRORS, READ_ONLY_REASON, Database, explain_write_refusal
from core.store.errors import DatabaseBusy, DatabaseUnwritable, IdempotencyConflict
from core.store.log import answered_commands, event_log
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin, NewEvent, StoredEvent
from core.store.observations import looks, observation_sums, served_units, unit_reports, voter_arms
from core.store.transaction import AppendTransaction, run_append_transaction
from core.store.world import rollout_rows
from core.store.world.world_cache import WorldCache

_NOTHING_RECORDED: tuple[StoredEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """A command with its author, its time (by the injected clock), and the id by which a repeat is recognised."""

    command: c.Command
    command_id: str
    by: Actor
    at: datetime
    rollout: str = ""
    source: str = ""
    claim: TimerClaim | None = None  # the timer slot that this command finishes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutcome:
    """The result of a command. `repeated`: it had been answered before, and nothing was done again."""

    world: World
    rollout: Rollout | None
    positions: tuple[int, ...]
    recorded: tuple[StoredEvent, ...] = ()
    repeated: bool = False


class RolloutService:
    """Changes rollouts through `handle`, and reads them through `load_world` and `cached_world`. Thread-safe."""

    def __init__(
        self,
        database: Database,
        *,
        real_time: Callable[[], datetime] = lambda: datetime.now(UTC),
        unwatched_after: timedelta = timedelta.max,
    ) -> None:
        """After `unwatched_after` without a look at a rollout, commands that advance it are refused."""
        self.database = database
        self._unwatched_after = unwatched_after
        self.world_cache = WorldCache(database)
        self._real_time = real_time
        self._unwritten_listeners: list[Callable[[str], None]] = []

    def load_world(self) -> World:
        """The current world, read from the log (one query)."""
        return self.world_cache.refresh()

    def cached_world(self) -> World:
        """The world as this process knows it, from memory."""
        return self.world_cache.cached_world()

    def load_history(self, rollout: str) -> tuple[StoredEvent, ...]:
        """Every event of one rollout, in order; NotFound if there is none."""
        with self.database.reading() as connection:
            recorded = event_log.read_stream(connection, e.rollout_stream(rollout))
        if not recorded:
            raise NotFound(f"There is no {rollout}.", hint="See /rollout list.")
        return recorded

    def load_assignment_events(self, surface: str, since: datetime, until: datetime) -> tuple[StoredEvent, ...]:
        """The events, in order, that say what a surface served from `since` to `until`.

        These are all of the surface and the deciding ones of the rollouts that were under way in that time.
        """
        with self.database.reading() as connection:
            rollouts = rollout_rows.find_under_way_ids(connection, surface, since, until)
            found = list(event_log.read_stream(connection, e.surface_stream(surface)))
            kinds = tuple(each.TYPE for each in assignment_history.DECIDING_EVENTS)
            for rollout in rollouts:
                found += event_log.read_stream(connection, e.rollout_stream(rollout), types=kinds)
        return tuple(sorted(found, key=lambda one: one.position))

    def load_arms_seen(self, rollout: str, unit: str) -> Mapping[int, str]:
        """The arm in which observations of `unit` were counted in this rollout, by stage."""
        with self.database.reading() as connection:
            return observation_sums.load_arms_seen(connection, rollout, unit)

    def load_surface_history(self, surface: str) -> tuple[StoredEvent, ...]:
        """Every event of one surface, in order; NotFound if there is none."""
        with self.database.reading() as connection:
            recorded = event_log.read_stream(connection, e.surface_stream(surface))
        if not recorded:
            known = ", ".join(self.load_world().surfaces) or "none yet"
            raise NotFound(f"There is no AI feature called {surface[:80]}. Known: {known}.")
        return recorded

    def load_entries(self, rollout: str, *, types: Sequence[str] = ()) -> tuple[HistoryEntry, ...]:
        """The history of one rollout for the pure packages, in order; with `types`, only these events."""
        with self.database.reading() as connection:
            recorded = event_log.read_stream(connection, e.rollout_stream(rollout), types=types)
        return tuple(
            HistoryEntry(position=one.position, at=one.at, actor=one.actor, event=one.event)
            for one in recorded
            if isinstance(one.event, e.RolloutEvent)
        )

    def load_served_units(
        self, rollout: str, *, limit: int, offset: int = 0
    ) -> tuple[int, Sequence[served_units.ServedUnit]]:
        """(how many units are on record as served the new version, a page of them)."""
        with self.database.reading() as connection:
            total = served_units.count(connection, rollout)
            return total, served_units.load_page(connection, rollout, limit=limit, offset=offset) if total else ()

    def iterate_served_units(self, rollout: str) -> Iterator[served_units.ServedUnit]:
        """Every unit on record as served the new version."""
        with self.database.reading() as connection:
            yield from served_units.load_all(connection, rollout)

    def erase_served_unit(self, unit: str) -> int:
        """Delete what is on record of a unit; returns of how many rollouts."""
        with self.database.writing_outside_log() as connection:
            return served_units.erase_unit(connection, unit)

    def load_newest_rollouts(
        self, limit: int, *, before: str = "", state: RolloutState | None = None, surface: str | None = None
    ) -> tuple[Rollout, ...]:
        """At most `limit` rollouts, newest first, optionally only those planned before the rollout `before`."""
        world = self.load_world()
        with self.database.reading() as connection:
            found = rollout_rows.find_newest_ids(connection, limit, before=before, state=state, surface=surface)
        return tuple(rollout for one in found if (rollout := world.find_rollout(one)) is not None)

    def preview(self, request: CommandRequest) -> tuple[e.Event, ...]:
        """The events that `request` would record, decided on the cached world. Writes nothing.

        Raises what `handle` would raise: `Refused`, `NotFound` or `Conflict`.
        """
        return tuple(entry.event for entry in _decide_events(self.cached_world(), request))

    def handle(self, request: CommandRequest) -> CommandOutcome:
        """Carry out one command, exactly once per command id.

        Raises `Refused` (or `NotFound`, `Conflict`) with a message for the person who asked, `DatabaseBusy` if the lock
        was held too long, and `DatabaseUnwritable` if the database cannot be written.
        """
        try:
            if isinstance(request.command, c.ReportComplaint):
                return self._handle_report(request, request.command)
            if isinstance(request.command, c.CastVote):
                arm = voter_arms.find_voter_arm(
                    self.database, self.load_world(), request.rollout, request.by, request.at
                )
                request = replace(request, command=replace(request.command, arm=arm))
            return self._handle_with_retry(request)
        except CONNECTION_ERRORS as error:
            refused = explain_write_refusal(error) if isinstance(error, DBAPIError) else ""
            self._notify_rollback_unwritten(request, refused or "the database did not answer")
            if not refused:
                raise
            raise DatabaseUnwritable(_format_unwritten(request, refused)) from error
        except DatabaseBusy as busy:
            self._notify_rollback_unwritten(request, str(busy))
            raise

    def on_rollback_unwritten(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the reason whenever this process could not write a rollback."""
        self._unwritten_listeners.append(listener)

    def _notify_rollback_unwritten(self, request: CommandRequest, reason: str) -> None:
        if isinstance(request.command, c.RollBack):
            for listener in self._unwritten_listeners:
                listener(reason)

    def _handle_report(self, request: CommandRequest, command: c.ReportComplaint) -> CommandOutcome:
        """Record what a person reports of a unit, and count it where the unit was served.

        It is counted after the commit, under the id of the command: a repeat after a crash in between counts it then.
        """
        place = unit_reports.find_place(self.database, self.load_world(), request.rollout, command.unit, request.at)
        reported = replace(request, command=replace(command, arm=place.arm, version=place.version))
        outcome = self._handle_with_retry(reported)
        unit_reports.count(self.database, place, {"complaint_rate": 1.0}, report=request.command_id, at=request.at)
        return outcome

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
        if (known := _find_known_answer(log.find_answer, request, fingerprint)) is not None:
            return _build_repeated_outcome(known, log.world, request)
        try:
            entries = _decide_events(log.world, request)
        except Refused as refused:
            log.store_answer(
                request.command_id, fingerprint, _build_answer(_NOTHING_RECORDED, _refusal_json(refused), request)
            )
            return refused
        recorded = self._append_events(log, entries, request)
        if recorded or not request.by.is_system:
            log.store_answer(
                request.command_id, fingerprint, _build_answer(recorded, _result_json(request, recorded), request)
            )
        return CommandOutcome(
            world=log.world,
            rollout=log.world.find_rollout(_find_rollout_id(request, recorded)),
            positions=tuple(r.position for r in recorded),
            recorded=recorded,
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
            kind, _, name = one.stream.partition(":")
            if kind == "rollout":
                _enqueue_announcements(log, one, before.find_rollout(name), after, name, request.at)
            elif isinstance(one.event, SurfaceEvent):
                for told in announcements.announce_for_surface(one.event, one.position, after.surfaces[name]):
                    log.enqueue(MessageTask(announcement=told, position=one.position).build_row(request.at))
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
            if (
                _find_known_answer(
                    partial(answered_commands.find_answer, connection), request, _compute_fingerprint(request)
                )
                is not None
            ):
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
            if (
                _find_known_answer(
                    partial(answered_commands.find_answer, connection), request, _compute_fingerprint(request)
                )
                is not None
            ):
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


def _decide_events(world: World, request: CommandRequest) -> list[NewEvent]:
    """The events that follow from a request in this world. `Refused` or `NotFound` if it cannot be carried out."""
    match request.command:
        case c.ApplySurface():
            return _apply_surface(world, request.command, request)
        case c.ApplyPolicy():
            return _apply_policy(world, request.command, request)
        case c.ReportOtherModel() | c.TellRetirement():
            return _decide_model_events(world, request.command, request)
        case c.Subscribe() | c.Unsubscribe() | c.ChangeNotifications():
            return _change_subscriptions(world, request.command, request)
        case c.FreezeChanges() | c.UnfreezeChanges():
            return _change_freezes(world, request.command, request)
        case c.PlanRollout():
            rollout = world.find_named(request.command.plan.name)
            surface = request.command.plan.surface
        case _:
            rollout = world.find_rollout(request.rollout)
            if rollout is None:
                running = ", ".join(f"{r.id} {r.plan.name}" for r in world.open_rollouts) or "none"
                raise NotFound(f"There is no {request.rollout}. Open now: {running}.", hint="See /rollout list.")
            surface = rollout.plan.surface
    return [
        entry
        for event in decide(rollout, request.command, build_context(world, request, surface, rollout))
        for entry in _build_new_events(world, rollout, event, request)
    ]


def build_context(world: World, request: CommandRequest, surface: str, rollout: Rollout | None) -> Context:
    """The context of a decision: everything it may depend on besides the rollout. NotFound for an unknown surface."""
    found = world.surfaces.get(surface)
    if found is None:
        raise NotFound(
            f"There is no AI feature called {surface}.",
            hint="Apply its surface file first: rollout apply surface.yaml.",
        )
    others = tuple(r for r in found.running if rollout is None or r != rollout.id)
    return Context(
        at=request.at,
        by=request.by,
        policy=world.policy_for(surface),
        surface=found,
        new_id=world.next_id,
        authors=find_version_authors(world, rollout) if isinstance(request.command, c.Approve | c.Reject) else (),
        other_rollouts_on_surface=others,
        other_rollouts_on_flag=driving.find_competing_rollouts(rollout, world.open_rollouts)
        if rollout is not None
        else (),
    )


def find_version_authors(world: World, rollout: Rollout | None) -> tuple[str, ...]:
    """Everybody who applied the content of this version, under any version name and in any rollout."""
    if rollout is None:
        return ()
    same = (r for r in world.rollouts.values() if r.plan.surface == rollout.plan.surface)
    lately = tuple(who for r in same if r.to_content == rollout.to_content for who in r.planners)
    return (*lately, *world.surfaces[rollout.plan.surface].authors.get(content_hash(rollout.to_content), ()))


def _build_new_events(
    world: World, rollout: Rollout | None, event: e.RolloutEvent, request: CommandRequest
) -> list[NewEvent]:
    """The event for its rollout's stream, and what follows from it for the stream of the surface."""
    name = event.rollout if isinstance(event, e.Planned) else request.rollout or (rollout.id if rollout else "")
    if isinstance(request.command, c.PlanRollout) and not isinstance(event, e.Planned):
        name = rollout.id if rollout is not None and rollout.state is RolloutState.PLANNED else world.next_id
    plan = event.plan if isinstance(event, e.Planned) else rollout.plan if rollout else None
    measured = request.command.baseline if isinstance(request.command, c.SubmitReview) else None
    entries = [NewEvent(stream=e.rollout_stream(name), event=event)]
    if plan is not None:
        entries += [
            NewEvent(stream=e.surface_stream(plan.surface), event=x)
            for x in consequences.surface_events_for(event, name, request.at, measured)
        ]
    return entries


def _apply_surface(world: World, command: c.ApplySurface, request: CommandRequest) -> list[NewEvent]:
    permission.check(None, command, _build_bare_context(world, request))
    declared = command.declared
    known = world.surfaces.get(declared.surface)
    if known is not None and known.fingerprint == declared.fingerprint:
        return []
    if known is not None and known.live != declared.version and declared.version not in known.versions:
        raise Refused(
            f"{known.live} is live on {known.name}; a file cannot make {declared.version} live.",
            hint="Plan a rollout: that is the only way to make a version live.",
            code="conflict",
        )
    if known is not None and is_version_taken(known, declared.version, declared.content):
        there = content_hash(known.versions[declared.version])
        raise Refused(
            f"{declared.version} of {known.name} already stands for other content ({there}): a version never "
            "changes, and a file makes nothing live.",
            hint="To change what is live, start a rollout; here, leave `live` as it was.",
            code="conflict",
        )
    if known is not None and known.running and _has_other_judge(known, declared):
        running = ", ".join(known.running)
        raise Refused(
            f"{running} is under way on {known.name}, and its answers are judged by one judge throughout.",
            hint="Apply this file once it has ended, or leave `judging` as it was.",
            code="conflict",
        )
    return [NewEvent(stream=e.surface_stream(declared.surface), event=declared)]


def _has_other_judge(known: Surface, declared: SurfaceDeclared) -> bool:
    before, after = known.judging, declared.judging
    return before is not None and (after is None or after.judge != before.judge)


def _apply_policy(world: World, command: c.ApplyPolicy, request: CommandRequest) -> list[NewEvent]:
    permission.check(None, command, _build_bare_context(world, request))
    if world.policy_fingerprint == command.fingerprint:
        return []
    applied = e.PolicyApplied(policy=command.policy, fingerprint=command.fingerprint, by=request.by.id)
    return [NewEvent(stream=e.POLICY_STREAM, event=applied)]


def _change_subscriptions(world: World, command: c.SubscriptionCommand, request: CommandRequest) -> list[NewEvent]:
    permission.check(None, command, _build_bare_context(world, request))
    person = world.subscribers.find(request.by.id)
    decided = subscriptions.decide(person, command, request.by, world.surfaces)
    return [NewEvent(stream=e.subscriber_stream(person.user), event=event) for event in decided]


def _decide_model_events(world: World, command: c.ModelCommand, request: CommandRequest) -> list[NewEvent]:
    permission.check(None, command, _build_bare_context(world, request))
    surface = world.surfaces.get(command.surface)
    if surface is None:
        return []
    stream = e.surface_stream(surface.name)
    if isinstance(command, c.TellRetirement):
        told = model_reports.decide_retirement(surface, command)
        return [NewEvent(stream=stream, event=told)] if told is not None else []
    answered = model_reports.decide_other_model(surface, command)
    return [NewEvent(stream=stream, event=answered)] if answered is not None else []


def _change_freezes(world: World, command: c.FreezeCommand, request: CommandRequest) -> list[NewEvent]:
    """The events of a freeze, and one for every open rollout that it covers, whose thread then says so."""
    permission.check(None, command, _build_bare_context(world, request))
    entries = []
    for event in freezes.decide(
        world.declared_freezes, command, request.by.id, request.at, world.surfaces, world.policy
    ):
        entries.append(NewEvent(stream=e.FREEZE_STREAM, event=event))
        covered = freezes.find_affected(event.surface, world.surfaces)
        entries += [
            NewEvent(stream=e.rollout_stream(rollout.id), event=_build_growth_event(event))
            for rollout in world.open_rollouts
            if rollout.plan.surface in covered
        ]
    return entries


def _build_growth_event(event: freezes.FreezeEvent) -> e.RolloutEvent:
    match event:
        case freezes.ChangesFrozen():
            return e.GrowthFrozen(by=event.by, until=event.until, reason=event.reason)
        case freezes.ChangesUnfrozen():
            return e.GrowthUnfrozen(by=event.by)
        case _:
            assert_never(event)


def _build_bare_context(world: World, request: CommandRequest) -> Context:
    return Context(at=request.at, by=request.by, policy=world.policy, surface=None)


def _enqueue_announcements(
    log: AppendTransaction, one: StoredEvent, before: Rollout | None, world: World, name: str, now: datetime
) -> None:
    """Enqueue the Slack messages that follow from an event, and the flag change if it changes the driven percentage."""
    assert isinstance(one.event, e.RolloutEvent)
    after = world.rollouts[name]
    if driving.should_reconcile(one.event, before, after):
        task = FlagTask(rollout=after.id)
        log.enqueue(task.build_row(now, one.position, is_urgent=after.state is RolloutState.ROLLED_BACK))
    if isinstance(one.event, e.RolledBack):  # the flag comes first: these rows wait behind nothing and hold up nothing
        for index, _ in enumerate(after.plan.reverts or ()):
            log.enqueue(RevertTask(rollout=after.id, index=index).build_row(now, one.position))
    followers = world.subscribers.followers_of(after.plan.surface)
    for told in (
        *announcements.announce(one.event, one.position, before, after),
        *direct_messages.announce_directly(one.event, one.position, after, followers, now),
        *feedback_requests.ask_testers(one.event, before, world, name, now),
    ):
        log.enqueue(MessageTask(announcement=told, position=one.position).build_row(now))


def _find_text_author(request: CommandRequest) -> str:
    """The person whose text the command may hold; empty for the engine's own commands."""
    return "" if request.by.is_system else request.by.id


def _find_known_answer(
    find_answer: Callable[[str, str], CommandAnswer | None], request: CommandRequest, fingerprint: str
) -> CommandAnswer | None:
    try:
        return find_answer(request.command_id, fingerprint)
    except IdempotencyConflict as reused:
        raise Conflict(
            "This key was used before for a different request, so this one was not carried out.",
            hint="Use a new key for a new request.",
        ) from reused


def _build_answer(recorded: tuple[StoredEvent, ...], result_json: str, request: CommandRequest) -> CommandAnswer:
    first, last = (recorded[0].position, recorded[-1].position) if recorded else (None, None)
    return CommandAnswer(first_position=first, last_position=last, result_json=result_json, at=request.at)


def _compute_fingerprint(request: CommandRequest) -> str:
    asked = repr((request.rollout, request.by.id, request.command))
    return hashlib.sha256(asked.encode()).hexdigest()


def _find_rollout_id(request: CommandRequest, recorded: tuple[StoredEvent, ...]) -> str:
    named = next((r.stream.partition(":")[2] for r in recorded if r.stream.startswith("rollout:")), "")
    return named or request.rollout


def _result_json(request: CommandRequest, recorded: tuple[StoredEvent, ...]) -> str:
    return json.dumps({"rollout": _find_rollout_id(request, recorded), "positions": [r.position for r in recorded]})


def _refusal_json(refused: Refused) -> str:
    return json.dumps({"refused": refused.message, "hint": refused.hint, "code": refused.code})


def _build_repeated_outcome(known: CommandAnswer, world: World, request: CommandRequest) -> CommandOutcome:
    """The outcome of a repeated request, from its stored answer; raises `Refused` if it was refused."""
    result = json.loads(known.result_json)
    if "refused" in result:
        raise Refused(result["refused"], hint=result["hint"], code=result["code"])
    rollout = result.get("rollout") or request.rollout
    return CommandOutcome(
        world=world,
        rollout=world.find_rollout(rollout),
        positions=tuple(result.get("positions", ())),
        repeated=True,
    )
