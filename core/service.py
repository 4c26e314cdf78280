"""Carries out commands: load, decide, append, project and announce in one transaction under the append lock.

Nothing else changes a rollout.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import DBAPIError

from core.rollout import announcements, consequences, driving, permission
from core.rollout import commands as c
from core.rollout import events as e
from core.rollout.context import Actor, Context
from core.rollout.decider import decide
from core.rollout.model import Rollout, State
from core.rollout.plan import content_hash
from core.rollout.refusal import Conflict, NotFound, Refused
from core.rollout.surface import is_taken
from core.rollout.world import World
from core.store.coordination import processes
from core.store.coordination.outbox import URGENT
from core.store.database.append_backend import Claim
from core.store.database.connections import AWAY, READ_ONLY, Database, refusal_of_writes
from core.store.errors import Busy, Unwritable
from core.store.errors import Conflict as KeyReused
from core.store.log import answered_commands, event_log
from core.store.log.answered_commands import Answer
from core.store.log.event_log import Entry, Origin, Recorded
from core.store.observations import looks
from core.store.transaction import Appending, carry_out
from core.store.world import rollout_rows
from core.store.world.world_cache import Folds

_NOTHING_RECORDED: tuple[Recorded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command with its author, its time (by the injected clock), and the id by which a repeat is recognised."""

    command: c.Command
    command_id: str
    by: Actor
    at: datetime
    rollout: str = ""
    source: str = ""
    claim: Claim | None = None  # the timer slot that this command finishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a command. `repeated`: it had been answered before, and nothing was done again."""

    world: World
    rollout: Rollout | None
    positions: tuple[int, ...]
    recorded: tuple[Recorded, ...] = ()
    repeated: bool = False


class Service:
    """Changes rollouts through `handle`, and reads them through `load_world` and `cached_world`. Thread-safe."""

    def __init__(
        self,
        database: Database,
        *,
        real_time: Callable[[], datetime] = lambda: datetime.now(UTC),
        blind_after: timedelta = timedelta.max,
    ) -> None:
        """After `unwatched_after` without a look at a rollout, commands that advance it are refused."""
        self.database = database
        self._blind_after = blind_after
        self.folds = Folds(database)
        self._real_time = real_time
        self._unwritten: list[Callable[[str], None]] = []

    def world(self) -> World:
        """The current world, read from the log (one query)."""
        return self.folds.refresh()

    def peek(self) -> World:
        """The world as this process knows it, from memory."""
        return self.folds.peek()

    def history(self, rollout: str) -> tuple[Recorded, ...]:
        """Every event of one rollout, in order; NotFound if there is none."""
        with self.database.reading() as connection:
            recorded = event_log.stream(connection, e.rollout_stream(rollout))
        if not recorded:
            raise NotFound(f"There is no {rollout}.", hint="See /rollout list.")
        return recorded

    def newest_rollouts(
        self, most: int, *, before: str = "", state: State | None = None, surface: str | None = None
    ) -> tuple[Rollout, ...]:
        """At most `limit` rollouts, newest first, optionally only those planned before the rollout `before`."""
        world = self.world()
        with self.database.reading() as connection:
            found = rollout_rows.newest(connection, most, before=before, state=state, surface=surface)
        return tuple(rollout for one in found if (rollout := world.find(one)) is not None)

    def preview(self, request: Request) -> tuple[e.Event, ...]:
        """The events that `request` would record, decided on the cached world. Writes nothing.

        Raises what `handle` would raise: `Refused`, `NotFound` or `Conflict`.
        """
        return tuple(entry.event for entry in _decide(self.peek(), request))

    def handle(self, request: Request) -> Outcome:
        """Carry out one command, exactly once per command id.

        Raises `Refused` (or `NotFound`, `Conflict`) with a message for the person who asked, `DatabaseBusy` if the lock
        was held too long, and `DatabaseUnwritable` if the database cannot be written.
        """
        try:
            return self._insist(request)
        except AWAY as error:
            refused = refusal_of_writes(error) if isinstance(error, DBAPIError) else ""
            self._tell_unwritten(request, refused or "the database did not answer")
            if not refused:
                raise
            raise Unwritable(_unwritten(request, refused)) from error
        except Busy as busy:
            self._tell_unwritten(request, str(busy))
            raise

    def on_unwritten(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the reason whenever this process could not write a rollback."""
        self._unwritten.append(listener)

    def _tell_unwritten(self, request: Request, why: str) -> None:
        if isinstance(request.command, c.RollBack):
            for listener in self._unwritten:
                listener(why)

    def _insist(self, request: Request) -> Outcome:
        """Handle a request, with one retry if the connection was lost or led to a read-only server."""
        try:
            self._must_be_watched(request)
            self._make_way(request)
            return self._handle(request)
        except DBAPIError as error:
            if not (error.connection_invalidated or refusal_of_writes(error) == READ_ONLY):
                raise
            self.database.renew()
            # It may have been committed: a retry is safe, because the command ids are the same.
            try:
                self._make_way(request)
                return self._handle(request)
            except Busy:
                raise error from None  # DatabaseBusy says "nothing was written", which may not be true

    def _handle(self, request: Request) -> Outcome:
        """Carry out a request in one append transaction; raises a refusal after storing it as the answer."""
        write = partial(self._write, request)
        outcome = carry_out(
            self.database,
            self.folds,
            request.command_id,
            write,
            person=_author(request),
            claim=request.claim,
        )
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    def _write(self, request: Request, log: Appending) -> Outcome | Refused:
        """Decide, and collect all rows to write. A refusal is returned, not raised, so that it is stored as well."""
        fingerprint = _fingerprint(request)
        if (known := _known(log.answered, request, fingerprint)) is not None:
            return _repeat(known, log.world, request)
        try:
            entries = _decide(log.world, request)
        except Refused as refused:
            log.remember(request.command_id, fingerprint, _answer(_NOTHING_RECORDED, _refusal_json(refused), request))
            return refused
        recorded = self._append(log, entries, request)
        if recorded or not request.by.is_system:
            log.remember(request.command_id, fingerprint, _answer(recorded, _result_json(request, recorded), request))
        return Outcome(
            world=log.world,
            rollout=log.world.find(_rollout_id(request, recorded)),
            positions=tuple(r.position for r in recorded),
            recorded=recorded,
        )

    def _append(self, log: Appending, entries: list[Entry], request: Request) -> tuple[Recorded, ...]:
        """Append the events, with their outbox rows and the changed rows of the read model."""
        origin = Origin(
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
                _announce(log, one, before.find(name), after.rollouts[name], request.at)
        recorded = tuple(step.recorded for step in steps)
        log.show(recorded, log.world.rollouts)
        return recorded

    def _must_be_watched(self, request: Request) -> None:
        """Refuse to advance a rollout that nobody has looked at for `unwatched_after`, unless it is a repeat."""
        if not isinstance(request.command, c.Advance) or self._blind_after == timedelta.max:
            return
        rollout = self.world().rollouts.get(request.rollout)
        if rollout is None or not rollout.is_looked_at:
            return
        with self.database.reading() as connection:
            _, looked_at = looks.newest(connection, rollout.id)
            if looked_at is None or request.at - looked_at <= self._blind_after:
                return
            if _known(partial(answered_commands.answered, connection), request, _fingerprint(request)) is not None:
                return
        minutes = (request.at - looked_at) // timedelta(minutes=1)
        raise Refused(
            f"Nobody has looked at {rollout.id} for {minutes} minutes, so harm would not be seen: it does not grow.",
            hint="Start a worker (rollout worker); rollout doctor says what is missing. Rolling back works all along.",
        )

    def _make_way(self, request: Request) -> None:
        """Before rolling back a finished rollout, roll back those that are running on the same surface."""
        if not isinstance(request.command, c.RollBack):
            return
        world = self.world()
        rollout = world.find(request.rollout)
        if rollout is None or rollout.state is not State.DONE:
            return
        surface = world.surfaces[rollout.plan.surface]
        if surface.live_by != rollout.id or not surface.running:
            return
        with self.database.reading() as connection:
            if _known(partial(answered_commands.answered, connection), request, _fingerprint(request)) is not None:
                return
        self.preview(request)  # raises if the command would be refused: then roll nothing back
        for running in surface.running:
            reason = f"{rollout.id}, which it builds on, is rolled back"
            self._handle(
                Request(
                    command=c.RollBack(reason=reason),
                    command_id=f"{request.command_id}.{running}",
                    by=request.by,
                    at=request.at,
                    rollout=running,
                    source=request.source,
                )
            )


def _unwritten(request: Request, why: str) -> str:
    """The message for a command that could not be written, so that nothing of it was done."""
    if not isinstance(request.command, c.RollBack):
        return f"The database takes nothing new ({why}), so nothing was written. Mend that, then ask again."
    again = f"rollout rollback {request.rollout}"
    return (
        f"The rollback of {request.rollout} could not be written: the database takes nothing new ({why}). Meanwhile "
        f"everybody gets the live version, from every process at the latest {processes.SERVES_ON:.0f} s after its last "
        f"report there. Once the database takes something the new version is served again, so mend that and then roll "
        f"back again: {again}."
    )


def _decide(world: World, request: Request) -> list[Entry]:
    """The events that follow from a request in this world. `Refused` or `NotFound` if it cannot be carried out."""
    match request.command:
        case c.ApplySurface():
            return _apply_surface(world, request.command, request)
        case c.ApplyPolicy():
            return _apply_policy(world, request.command, request)
        case c.PlanRollout():
            rollout = world.named(request.command.plan.name)
            surface = request.command.plan.surface
        case _:
            rollout = world.find(request.rollout)
            if rollout is None:
                running = ", ".join(f"{r.id} {r.plan.name}" for r in world.open) or "none"
                raise NotFound(f"There is no {request.rollout}. Open now: {running}.", hint="See /rollout list.")
            surface = rollout.plan.surface
    return [
        entry
        for event in decide(rollout, request.command, context(world, request, surface, rollout))
        for entry in _entries(world, rollout, event, request)
    ]


def context(world: World, request: Request, surface: str, rollout: Rollout | None) -> Context:
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
        policy=world.policy,
        surface=found,
        new_id=world.next_id,
        authors=_authors(world, rollout) if isinstance(request.command, c.Approve | c.Reject) else (),
        others=others,
        driving=driving.others(rollout, world.open) if rollout is not None else (),
    )


def _authors(world: World, rollout: Rollout | None) -> tuple[str, ...]:
    """Everybody who applied the content of this version, under any version name and in any rollout."""
    if rollout is None:
        return ()
    same = (r for r in world.rollouts.values() if r.plan.surface == rollout.plan.surface)
    lately = tuple(who for r in same if r.to_content == rollout.to_content for who in r.planners)
    return (*lately, *world.surfaces[rollout.plan.surface].authors.get(content_hash(rollout.to_content), ()))


def _entries(world: World, rollout: Rollout | None, event: e.RolloutEvent, request: Request) -> list[Entry]:
    """The event for its rollout's stream, and what follows from it for the stream of the surface."""
    name = event.rollout if isinstance(event, e.Planned) else request.rollout or (rollout.id if rollout else "")
    if isinstance(request.command, c.PlanRollout) and not isinstance(event, e.Planned):
        name = rollout.id if rollout is not None and rollout.state is State.PLANNED else world.next_id
    plan = event.plan if isinstance(event, e.Planned) else rollout.plan if rollout else None
    entries = [Entry(stream=e.rollout_stream(name), event=event)]
    if plan is not None:
        entries += [
            Entry(stream=e.surface_stream(plan.surface), event=x)
            for x in consequences.for_surface(event, name, request.at)
        ]
    return entries


def _apply_surface(world: World, command: c.ApplySurface, request: Request) -> list[Entry]:
    permission.check(None, command, _bare_context(world, request))
    declared = command.declared
    known = world.surfaces.get(declared.surface)
    if known is not None and known.fingerprint == declared.fingerprint:
        return []
    if known is not None and known.live != declared.version and declared.version not in known.versions:
        raise Refused(
            f"Live on {known.name} is {known.live}; a file cannot make {declared.version} live.",
            hint="Start a rollout: that is the only way a version becomes live.",
            code="conflict",
        )
    if known is not None and is_taken(known, declared.version, declared.content):
        there = content_hash(known.versions[declared.version])
        raise Refused(
            f"{declared.version} of {known.name} is another content ({there}): a version never changes, "
            "and a file makes nothing live.",
            hint="To change what is live, start a rollout; here, leave `live` as it was.",
            code="conflict",
        )
    return [Entry(stream=e.surface_stream(declared.surface), event=declared)]


def _apply_policy(world: World, command: c.ApplyPolicy, request: Request) -> list[Entry]:
    permission.check(None, command, _bare_context(world, request))
    if world.policy_fingerprint == command.fingerprint:
        return []
    applied = e.PolicyApplied(policy=command.policy, fingerprint=command.fingerprint, by=request.by.id)
    return [Entry(stream=e.POLICY_STREAM, event=applied)]


def _bare_context(world: World, request: Request) -> Context:
    return Context(at=request.at, by=request.by, policy=world.policy, surface=None)


def _announce(log: Appending, one: Recorded, before: Rollout | None, after: Rollout, now: datetime) -> None:
    """Enqueue the Slack messages that follow from an event, and the flag change if it changes the driven percentage."""
    assert isinstance(one.event, e.RolloutEvent)
    if driving.changed(one.event, before, after):
        _drive(log, one.position, after, now)
    for told in announcements.announce(one.event, one.position, before, after):
        later = told.due_at is not None and told.due_at > now
        lane = URGENT if told.urgent else ""
        if later:  # a message that is due later must not delay those after it in its channel
            lane = f":{told.key}"
        log.enqueue(
            kind="slack",
            ordering_key=f"slack:{told.channel}{lane}",
            idempotency_key=f"{told.kind}:{after.id}:{one.position}:{told.key}",
            request={"announcement": told.fields(), "position": one.position},
            due_at=told.due_at if later and told.due_at else now,
            position=one.position,
            supersede_key=f"{told.kind}:{after.id}:{told.key}" if told.supersedes else None,
        )


def _drive(log: Appending, position: int, after: Rollout, now: datetime) -> None:
    """Enqueue a change of the driven flag. The row holds no percentage: the sender reads the state when it sends."""
    lane = URGENT if after.state is State.ROLLED_BACK else ""  # a rollback never waits for the retry of an earlier step
    log.enqueue(
        kind="flag",
        ordering_key=f"flag:{after.id}{lane}",
        idempotency_key=f"flag:{after.id}:{position}",
        request={"rollout": after.id},
        due_at=now,
        position=position,
        supersede_key=f"flag:{after.id}{lane}",
    )


def _author(request: Request) -> str:
    """The person whose text the command may hold; empty for the engine's own commands."""
    return "" if request.by.is_system else request.by.id


def _known(answered: Callable[[str, str], Answer | None], request: Request, fingerprint: str) -> Answer | None:
    try:
        return answered(request.command_id, fingerprint)
    except KeyReused as reused:
        raise Conflict(
            "This key was used before for a different request, so this one was not carried out.",
            hint="Use a new key for a new request.",
        ) from reused


def _answer(recorded: tuple[Recorded, ...], result_json: str, request: Request) -> Answer:
    first, last = (recorded[0].position, recorded[-1].position) if recorded else (None, None)
    return Answer(first_position=first, last_position=last, result_json=result_json, at=request.at)


def _fingerprint(request: Request) -> str:
    asked = repr((request.rollout, request.by.id, request.command))
    return hashlib.sha256(asked.encode()).hexdigest()


def _rollout_id(request: Request, recorded: tuple[Recorded, ...]) -> str:
    named = next((r.stream.partition(":")[2] for r in recorded if r.stream.startswith("rollout:")), "")
    return named or request.rollout


def _result_json(request: Request, recorded: tuple[Recorded, ...]) -> str:
    return json.dumps({"rollout": _rollout_id(request, recorded), "positions": [r.position for r in recorded]})


def _refusal_json(refused: Refused) -> str:
    return json.dumps({"refused": refused.message, "hint": refused.hint, "code": refused.code})


def _repeat(known: Answer, world: World, request: Request) -> Outcome:
    """The outcome of a repeated request, from its stored answer; raises `Refused` if it was refused."""
    result = json.loads(known.result_json)
    if "refused" in result:
        raise Refused(result["refused"], hint=result["hint"], code=result["code"])
    rollout = result.get("rollout") or request.rollout
    return Outcome(
        world=world,
        rollout=world.find(rollout),
        positions=tuple(result.get("positions", ())),
        repeated=True,
    )
