"""What the start of a rollout depends on besides itself, and what it ends."""

from datetime import datetime

from core.rollout.context import Actor, Context
from core.rollout.serving import driving, holdout, layering
from core.rollout.state.events import NewEvent, rollout_stream
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface
from core.rollout.state.world import World


def build_start_context(world: World, surface: Surface, rollout: Rollout | None, by: Actor, at: datetime) -> Context:
    """The context of a rollout, or of one that is not planned yet (None), without its queue and its bundle."""
    own, policy = rollout.id if rollout is not None else "", world.policy_for(surface.name)
    rest = [one for one in world.open_rollouts if one.id != own] if policy.layers else []
    on_flag = {
        driven.title: others
        for driven in (rollout.plan.driven if rollout is not None else ())
        if rollout is not None and (others := driving.find_competing_rollouts(rollout, driven, world.open_rollouts))
    }
    return Context(
        at=at,
        by=by,
        policy=policy,
        surface=surface,
        other_rollouts_on_surface=tuple(one for one in surface.running if one != own),
        other_rollouts_on_flag=on_flag,
        taken_slots=layering.list_taken(surface.name, rest, policy),
    )


def end_holdouts(world: World, started: Rollout, by: str) -> list[NewEvent]:
    """The end of a holdout on the surface of a rollout that starts: its own comparison is with what is live."""
    ended = (
        (other.id, holdout.end_for_start(other, started.id, by))
        for other in world.rollouts.values()
        if other.plan.surface == started.plan.surface
    )
    return [NewEvent(stream=rollout_stream(name), event=event) for name, event in ended if event is not None]
