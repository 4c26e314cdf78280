"""Which events follow from a command in the world, and on which streams they go."""

import re
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from core.rollout import commands as c
from core.rollout import consequences
from core.rollout.concurrency import bundles, following, readiness, start_queue
from core.rollout.concurrency.bundles import Bundle
from core.rollout.concurrency.start_context import build_start_context, end_holdouts
from core.rollout.context import Actor, Context
from core.rollout.decisions.decider import decide
from core.rollout.models import model_reports
from core.rollout.permissions import command_rights
from core.rollout.plans.plan import content_hash
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.rollout.workspace import applied_files, freezes, subscriptions

_ID_LIKE = re.compile(r"R?[._-]*\d+", re.IGNORECASE)
"""A name that people read as the id of a rollout."""


def decide_events(world: World, command: c.Command, *, rollout: str, by: Actor, at: datetime) -> list[NewEvent]:
    """The events that follow from `command`, given by `by` at `at`; none if what it asks for is already the case.

    `rollout` is the id of the rollout that it is about, if any. `Refused` or `NotFound` if it cannot be carried out.
    """
    if isinstance(command, c.WorkspaceCommand):
        return _decide_workspace_events(world, command, by, at)
    if isinstance(command, c.PlanBundle):
        return following.add_followers(world, _decide_bundle_plan(world, command, by, at), by, at)
    bundle = bundles.find_bundle(world, rollout) if world.find_rollout(rollout) is None else None
    if bundle is not None and isinstance(command, c.PersonCommand):
        return following.add_followers(world, _decide_for_bundle(world, bundle, command, by, at), by, at)
    return following.add_followers(world, _decide_rollout_events(world, command, rollout, by, at), by, at)


def _decide_rollout_events(
    world: World, command: c.RolloutCommand, rollout: str, by: Actor, at: datetime
) -> list[NewEvent]:
    """The events of a command to one rollout, without what follows for others of its bundle."""
    if isinstance(command, c.PlanRollout):
        found = world.find_named(command.plan.name)
        if found is None and bundles.find_bundle(world, command.plan.name) is not None:
            raise Refused(
                f"{command.plan.name} is the name of a bundle, so it cannot be that of a rollout.",
                hint="Choose another name in `rollout:`.",
                code="invalid",
            )
        surface = command.plan.surface
    else:
        found = world.require_rollout(rollout)
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


def _build_context(
    world: World, command: c.Command, surface: str, rollout: Rollout | None, by: Actor, at: datetime
) -> Context:
    """Everything that a decision may depend on besides the rollout. NotFound for an unknown surface."""
    found = world.require_surface(surface)
    context = replace(
        build_start_context(world, found, rollout, by, at),
        new_id=world.next_id,
        authors=find_version_authors(world, rollout) if isinstance(command, c.Approve | c.Reject) else (),
    )
    if rollout is None:
        return context
    ahead = start_queue.list_ahead(world.rollouts.values(), rollout, at)
    is_free = not context.other_rollouts_on_surface
    return replace(
        context,
        queued_ahead=tuple(one.id for one in ahead),
        ready_ahead=tuple(one.id for one in ahead if is_free and readiness.can_start(world, one, at)),
        bundle_waits=readiness.list_bundle_waits(world, rollout, at, by_itself=isinstance(command, c.Tick)),
    )


def _build_new_events(
    world: World, rollout: Rollout | None, event: e.RolloutEvent, command: c.Command, given: str, at: datetime
) -> list[NewEvent]:
    """The event for its rollout's stream, and what follows from it for the stream of the surface."""
    name = event.rollout if isinstance(event, e.Planned) else given or (rollout.id if rollout else "")
    if isinstance(command, c.PlanRollout) and not isinstance(event, e.Planned):
        name = rollout.id if rollout is not None and rollout.state is RolloutState.PLANNED else world.next_id
    plan = event.plan if isinstance(event, e.Planned) else rollout.plan if rollout else None
    measured = command.baseline if isinstance(command, c.SubmitReview) else None
    if plan is None:
        return [NewEvent(stream=e.rollout_stream(name), event=event)]
    ended = end_holdouts(world, rollout, event.by) if isinstance(event, e.Started) and rollout is not None else []
    return [*ended, *consequences.build_entries(event, name, plan.surface, at, measured)]


def _decide_bundle_plan(world: World, command: c.PlanBundle, by: Actor, at: datetime) -> list[NewEvent]:
    """The plans of a bundle, one after the other, and that they belong together; nothing if all that is so already."""
    before = bundles.find_bundle(world, command.name)
    _require_free_name(world, command)
    entries: list[NewEvent] = []
    now, members = world, []
    for plan in command.plans:
        new = _decide_rollout_events(now, plan, "", by, at)
        entries += new
        now = following.fold_entries(now, new, at)
        planned = now.find_named(plan.plan.name)
        assert planned is not None, "it has just been planned"
        members.append(planned)
    ids = tuple(one.id for one in members)
    bundled = e.Bundled(bundle=command.name, order=command.order, members=ids, by=by.id)
    known = before.members if before is not None else ()
    if [one.bundle and replace(one.bundle, by="") for one in members] == [replace(bundled, by="")] * len(members):
        return entries
    for one in members:
        if one.started_at is not None:
            raise Refused(
                f"{one.id} {one.plan.name} has started, so which others it moves with is fixed.",
                hint="Plan the others under new names, or wait until it has ended.",
            )
        if one.bundle is not None and one.bundle.bundle != command.name:
            raise Refused(
                f"{one.id} {one.plan.name} belongs to the bundle {one.bundle.bundle} already.",
                hint=f"Apply {one.bundle.bundle} without it first.",
            )
    moving = [one.id for one in known if one.is_under_way and one.id not in ids]
    if moving:
        raise Refused(
            f"The bundle {command.name} is under way with {', '.join(moving)}, so its name means these.",
            hint="Choose another name in `bundle:`, or wait until they have ended.",
        )
    entries += [NewEvent(stream=e.rollout_stream(name), event=bundled) for name in ids]
    left = [one for one in known if one.id not in ids and one.started_at is None]
    unbundled = e.Unbundled(bundle=command.name, by=by.id)
    return [*entries, *(NewEvent(stream=e.rollout_stream(one.id), event=unbundled) for one in left)]


def _require_free_name(world: World, command: c.PlanBundle) -> None:
    """Refuse a name by which people mean something else."""
    if _ID_LIKE.fullmatch(command.name):
        raise Refused(
            f"{command.name} reads like the id of a rollout, so it cannot be the name of a bundle.",
            hint="Choose another name in `bundle:`.",
            code="invalid",
        )
    names = {one.plan.name for one in command.plans}
    if command.name in world.surfaces or command.name in names or world.find_named(command.name) is not None:
        raise Refused(
            f"{command.name} is the name of an AI feature or of a rollout, so it cannot be that of a bundle.",
            hint="Choose another name in `bundle:`.",
            code="invalid",
        )


BUNDLE_COMMANDS = (c.Start, c.Pause, c.Resume, c.RollBack, c.Approve, c.Abandon)
"""What can be asked of a whole bundle."""


def _decide_for_bundle(
    world: World, bundle: Bundle, command: c.PersonCommand, by: Actor, at: datetime
) -> list[NewEvent]:
    """The events of a command to each rollout of a bundle in turn, as far as they can follow it.

    `Refused` if none of them can, with the first reason. A start concerns the first: the others follow by their order.
    """
    if not isinstance(command, BUNDLE_COMMANDS):
        named = ", ".join(one.id for one in bundle.members)
        raise Refused(f"{bundle.name} is a bundle. Name one of its rollouts: {named}.", code="invalid")
    if isinstance(command, c.Start):
        planned = next((one for one in bundle.members if one.state is RolloutState.PLANNED), bundle.members[0])
        return _decide_rollout_events(world, command, planned.id, by, at)
    entries: list[NewEvent] = []
    now, refusals = world, []
    for one in reversed(bundle.members) if isinstance(command, c.RollBack) else bundle.members:
        try:
            new = _decide_for_member(now, now.get_rollout(one.id), command, by, at)
        except Refused as refused:
            refusals.append(refused)
            continue
        entries += new
        now = following.fold_entries(now, new, at)
    if not entries and refusals:
        raise refusals[0]
    return entries


def _decide_for_member(
    world: World, rollout: Rollout, command: c.PersonCommand, by: Actor, at: datetime
) -> list[NewEvent]:
    goes_with_others = rollout.state is RolloutState.DONE and following.explain_staying(world, rollout, at) is None
    if isinstance(command, c.RollBack) and goes_with_others:
        command_rights.check_command(
            rollout, command, _build_context(world, command, rollout.plan.surface, rollout, by, at)
        )
        return following.roll_back_member(world, rollout, command.reason.strip(), by, at)
    if isinstance(command, c.RollBack):
        command = replace(command, stratum="")  # everybody: its strata are those of one plan
    return _decide_rollout_events(world, command, rollout.id, by, at)


def _decide_workspace_events(world: World, command: c.WorkspaceCommand, by: Actor, at: datetime) -> list[NewEvent]:
    """The events of a command that is about no single rollout."""
    command_rights.check_command(None, command, Context(at=at, by=by, policy=world.policy, surface=None))
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
