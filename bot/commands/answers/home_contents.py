"""Gathers what the home tab of one person shows: what waits for them, what runs, what changes, what they follow."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.rendering.answers.home_tab import HomeTab
from core.rollout import commands as c
from core.rollout.context import Actor, Context, is_same_person
from core.rollout.decisions import approval_requests
from core.rollout.permissions import roles
from core.rollout.plans.plan import NoticePlan
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.rollout.workspace.subscriptions import Subscriber
from core.service.service import CommandRequest, RolloutService

A_WEEK = timedelta(days=7)


def gather_home_tab(service: RolloutService, by: Actor, at: datetime) -> HomeTab:
    """The contents of the tab, from the world as this process knows it."""
    world = service.cached_world()
    person = world.subscribers.find(by.id)
    return HomeTab(
        person=person,
        is_full_member=by.is_full_member,
        may_plan=_may_plan(world, by, at),
        to_approve=[r for r in world.open_rollouts if _may_approve(service, r, by, at)],
        to_decide=[r for r in world.open_rollouts if r.state is RolloutState.ON_HOLD and _is_owner(r, by)],
        to_confirm=list(_find_notices_to_confirm(world, person, by)) if by.is_full_member else [],
        to_review=[r for r in world.rollouts.values() if r.needs_review and _is_owner(r, by)],
        running=list(reversed(world.open_rollouts)),
        changing=[r for r in reversed(tuple(world.rollouts.values())) if _changes_this_week(r, at)],
        surfaces=list(world.surfaces.values()),
        frozen={name: found for name in world.surfaces if (found := world.policy_for(name).find_freeze(at))},
        zone=by.find_zone(world.policy.timezone),
        at=at,
    )


def _may_plan(world: World, by: Actor, at: datetime) -> bool:
    try:
        roles.check_role("operator", Context(at=at, by=by, policy=world.policy, surface=None))
    except Refused:
        return False
    return True


def _may_approve(service: RolloutService, rollout: Rollout, by: Actor, at: datetime) -> bool:
    """Whether an approval by this person would count now."""
    if rollout.request is None or approval_requests.is_approved(rollout):
        return False
    approval = c.Approve(request=rollout.request.request)
    try:
        return bool(service.preview(CommandRequest(command=approval, command_id="", by=by, at=at, rollout=rollout.id)))
    except Refused:
        return False


def _is_owner(rollout: Rollout, by: Actor) -> bool:
    return by.matches_reference(rollout.plan.owner) or by.matches_reference(rollout.plan.owner_handle)


def _find_notices_to_confirm(world: World, person: Subscriber, by: Actor) -> Iterator[tuple[Rollout, NoticePlan]]:
    """The notices that somebody has to confirm, for an audience that this person belongs to, and that they have not."""
    for rollout in world.open_rollouts:
        for planned in rollout.plan.stakeholder_notices:
            belongs = planned.audience == person.role or (rollout.plan.surface, planned.audience) in person.topics
            read = any(is_same_person(who, by.id) for who in rollout.acknowledged_by.get(planned.key, ()))
            if planned.acknowledge and belongs and not read and rollout.notice_posted_at(planned.key) is not None:
                yield rollout, planned


def _changes_this_week(rollout: Rollout, at: datetime) -> bool:
    """Whether it is under way, planned to begin within a week, or ended within the last one."""
    if rollout.state is RolloutState.ABANDONED:
        return False
    if rollout.ended_at is not None:
        return at - rollout.ended_at < A_WEEK
    return rollout.start is None or rollout.start - at < A_WEEK
