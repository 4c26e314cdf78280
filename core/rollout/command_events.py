"""Which events follow from a command in the world, and on which streams they go."""

from datetime import datetime
from typing import assert_never

from core.rollout import commands as c
from core.rollout import consequences, permission
from core.rollout.concurrency import start_queue
from core.rollout.context import ENGINE, Actor, Context
from core.rollout.decisions import gating
from core.rollout.decisions.decider import decide
from core.rollout.models import model_reports
from core.rollout.plans.plan import content_hash
from core.rollout.refusal import NotFound, Refused
from core.rollout.serving import driving, holdout, layering
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.rollout.workspace import applied_files, freezes, subscriptions


def decide_events(world: World, command: c.Command, *, rollout: str, by: Actor, at: datetime) -> list[NewEvent]:
    """The events that follow from `command`, given by `by` at `at`; none if what it asks for is already the case.

    `rollout` is the id of the rollout that it is about, if any. `Refused` or `NotFound` if it cannot be carried out.
    """
    if isinstance(command, c.WorkspaceCommand):
        return _decide_workspace_events(world, command, by, at)
    if isinstance(command, c.PlanRollout):
        found = world.find_named(command.plan.name)
        surface = command.plan.surface
    else:
        found = _require_rollout(world, rollout)
        surface = found.plan.surface
    context = _build_context(world, command, surface, found, by, at)
    return [
        entry
        for event in decide(found, command, context)
        for entry in _build_new_events(world, found, event, command, rollout, at)
    ]


def find_version_authors(world: World, rollout: Rollout | None) -> tuple[str, ...]:
    """Everybody who applied the content of this version, under any version name and in any rollout."""
    if rollout is None:
        return ()
    same = (r for r in world.rollouts.values() if r.plan.surface == rollout.plan.surface)
    lately = tuple(who for r in same if r.to_content == rollout.to_content for who in r.planners)
    return (*lately, *world.surfaces[rollout.plan.surface].authors.get(content_hash(rollout.to_content), ()))


def _require_rollout(world: World, rollout: str) -> Rollout:
    found = world.find_rollout(rollout)
    if found is None:
        running = ", ".join(f"{r.id} {r.plan.name}" for r in world.open_rollouts) or "none"
        raise NotFound(f"There is no {rollout}. Open now: {running}.", hint="See /rollout list.")
    return found


def _build_context(
    world: World, command: c.Command, surface: str, rollout: Rollout | None, by: Actor, at: datetime
) -> Context:
    """Everything that a decision may depend on besides the rollout. NotFound for an unknown surface."""
    found = world.surfaces.get(surface)
    if found is None:
        raise NotFound(
            f"There is no AI feature called {surface}.",
            hint="Apply its surface file first: rollout apply surface.yaml.",
        )
    others = tuple(r for r in found.running if rollout is None or r != rollout.id)
    ahead = start_queue.list_ahead(world.rollouts.values(), rollout, at) if rollout is not None else ()
    policy = world.policy_for(surface)
    rest = [one for one in world.open_rollouts if rollout is None or one.id != rollout.id] if policy.layers else ()
    return Context(
        at=at,
        by=by,
        policy=policy,
        surface=found,
        new_id=world.next_id,
        authors=find_version_authors(world, rollout) if isinstance(command, c.Approve | c.Reject) else (),
        other_rollouts_on_surface=others,
        queued_ahead=tuple(one.id for one in ahead),
        ready_ahead=tuple(one.id for one in ahead if not others and _can_start(world, one, at)),
        other_rollouts_on_flag=driving.find_competing_rollouts(rollout, world.open_rollouts)
        if rollout is not None
        else (),
        taken_slots=layering.list_taken(surface, rest, policy),
    )


def _can_start(world: World, rollout: Rollout, at: datetime) -> bool:
    """Whether a planned rollout lacks nothing for its start."""
    surface = rollout.plan.surface
    context = Context(
        at=at,
        by=ENGINE,
        policy=world.policy_for(surface),
        surface=world.surfaces[surface],
        other_rollouts_on_surface=world.surfaces[surface].running,
        taken_slots=layering.list_taken(surface, world.open_rollouts, world.policy_for(surface)),
        other_rollouts_on_flag=driving.find_competing_rollouts(rollout, world.open_rollouts),
    )
    try:
        gating.check_start(rollout, context)
    except Refused:
        return False
    return True


def _build_new_events(
    world: World, rollout: Rollout | None, event: e.RolloutEvent, command: c.Command, given: str, at: datetime
) -> list[NewEvent]:
    """The event for its rollout's stream, and what follows from it for the stream of the surface."""
    name = event.rollout if isinstance(event, e.Planned) else given or (rollout.id if rollout else "")
    if isinstance(command, c.PlanRollout) and not isinstance(event, e.Planned):
        name = rollout.id if rollout is not None and rollout.state is RolloutState.PLANNED else world.next_id
    plan = event.plan if isinstance(event, e.Planned) else rollout.plan if rollout else None
    measured = command.baseline if isinstance(command, c.SubmitReview) else None
    entries = [NewEvent(stream=e.rollout_stream(name), event=event)]
    if isinstance(event, e.Started) and rollout is not None:
        entries = [*_end_holdouts(world, rollout, event.by), *entries]
    if plan is not None:
        entries += [
            NewEvent(stream=e.surface_stream(plan.surface), event=x)
            for x in consequences.surface_events_for(event, name, at, measured)
        ]
    return entries


def _end_holdouts(world: World, started: Rollout, by: str) -> list[NewEvent]:
    """The end of a holdout on the surface of a rollout that starts: its own comparison is with what is live."""
    ended = (
        (other.id, holdout.end_for_start(other, started.id, by))
        for other in world.rollouts.values()
        if other.plan.surface == started.plan.surface
    )
    return [NewEvent(stream=e.rollout_stream(name), event=event) for name, event in ended if event is not None]


def _decide_workspace_events(world: World, command: c.WorkspaceCommand, by: Actor, at: datetime) -> list[NewEvent]:
    """The events of a command that is about no single rollout."""
    permission.check(None, command, Context(at=at, by=by, policy=world.policy, surface=None))
    match command:
        case c.ApplySurface(declared=declared):
            return [
                NewEvent(stream=e.surface_stream(declared.surface), event=event)
                for event in applied_files.decide_surface(world.surfaces.get(declared.surface), declared)
            ]
        case c.ApplyPolicy():
            return [
                NewEvent(stream=e.POLICY_STREAM, event=event)
                for event in applied_files.decide_policy(world.policy_fingerprint, command, by.id)
            ]
        case c.ReportOtherModel() | c.TellRetirement():
            surface = world.surfaces.get(command.surface)
            told = model_reports.decide(surface, command) if surface is not None else None
            return [NewEvent(stream=e.surface_stream(command.surface), event=told)] if told is not None else []
        case c.Subscribe() | c.Unsubscribe() | c.ChangeNotifications():
            person = world.subscribers.find(by.id)
            return [
                NewEvent(stream=e.subscriber_stream(person.user), event=event)
                for event in subscriptions.decide(person, command, by, world.surfaces)
            ]
        case c.FreezeChanges() | c.UnfreezeChanges():
            return _decide_freeze_events(world, command, by, at)
        case _:
            assert_never(command)


def _decide_freeze_events(world: World, command: c.FreezeCommand, by: Actor, at: datetime) -> list[NewEvent]:
    """The events of a freeze, and one for every open rollout that it covers, whose thread then says so."""
    entries = []
    for event in freezes.decide(world.declared_freezes, command, by.id, at, world.surfaces, world.policy):
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
