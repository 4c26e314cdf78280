"""Whether a planned rollout lacks anything for its start: by itself, and with those that it is bundled with."""

from datetime import datetime

from core.rollout import consequences
from core.rollout.concurrency import bundles
from core.rollout.concurrency.bundles import Bundle
from core.rollout.concurrency.following import fold_entries
from core.rollout.concurrency.start_context import build_start_context
from core.rollout.context import ENGINE, Context
from core.rollout.decisions import stage_changes, start_conditions
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World


def explain_obstacles(world: World, rollout: Rollout, at: datetime) -> str:
    """Why a planned rollout cannot start now, apart from its bundle; empty if it can."""
    try:
        start_conditions.check_start(rollout, _build_context(world, rollout, at))
    except Refused as refused:
        return refused.message
    return ""


def can_start(world: World, rollout: Rollout, at: datetime) -> bool:
    """Whether a planned rollout could start by itself now: it lacks nothing, nor does its bundle."""
    return not explain_obstacles(world, rollout, at) and not list_bundle_waits(world, rollout, at, by_itself=True)


def list_bundle_waits(world: World, rollout: Rollout, at: datetime, *, by_itself: bool) -> tuple[str, ...]:
    """What the start of a planned rollout waits for in its bundle, one sentence each; empty if nothing.

    `by_itself`: nobody asks for the start, so that those with a later date keep the others waiting.
    """
    bundle = bundles.find_bundle_of(world, rollout)
    if bundle is None or rollout.state is not RolloutState.PLANNED:
        return ()
    if bundle.order is BundleOrder.IN_ORDER:
        return _list_unfinished(bundle, rollout)
    waits, imagined = [], _imagine_started(world, rollout, at)
    for one in bundle.list_others(rollout):
        if why := _explain_member(imagined, bundle, one, at, by_itself=by_itself):
            waits.append(why)
        elif one.state is RolloutState.PLANNED:
            imagined = _imagine_started(imagined, one, at)
    return tuple(waits)


def _build_context(world: World, rollout: Rollout, at: datetime) -> Context:
    return build_start_context(world, world.surfaces[rollout.plan.surface], rollout, ENGINE, at)


def _imagine_started(world: World, rollout: Rollout, at: datetime) -> World:
    """The world if this one starts: the others then lack what it takes, such as a flag or slots of a layer."""
    begun = stage_changes.begin_rollout(rollout, _build_context(world, rollout, at))
    surface = rollout.plan.surface
    entries = [x for event in begun for x in consequences.build_entries(event, rollout.id, surface, at)]
    return fold_entries(world, entries, at)


def _list_unfinished(bundle: Bundle, rollout: Rollout) -> tuple[str, ...]:
    """What the first one before it that is not done means for its start."""
    for one in bundle.list_before(rollout):
        match one.state:
            case RolloutState.DONE:
                continue
            case RolloutState.ROLLED_BACK | RolloutState.ABANDONED:
                return (_explain_ended(bundle, one),)
            case _:
                return (f"In the bundle {bundle.name} it starts once {one.id} is done.",)
    return ()


def _explain_member(world: World, bundle: Bundle, one: Rollout, at: datetime, *, by_itself: bool) -> str:
    """Why another one keeps the whole bundle from starting; empty if it does not."""
    match one.state:
        case RolloutState.ROLLED_BACK | RolloutState.ABANDONED | RolloutState.DONE:
            return _explain_ended(bundle, one)
        case RolloutState.PLANNED if by_itself and one.start is not None and one.start > at:
            return f"In the bundle {bundle.name} it starts together with {one.id}, which has a later date."
        case RolloutState.PLANNED if why := explain_obstacles(world, one, at):
            said = why if one.id in why else f"{one.id}: {why}"
            return f"In the bundle {bundle.name} it starts together with {one.id}. {said}"
        case _:
            return ""


def _explain_ended(bundle: Bundle, one: Rollout) -> str:
    return (
        f"{one.id} of the bundle {bundle.name} is {one.state.replace('_', ' ')}, so the others do not start: apply the "
        "bundle without it, or abandon it."
    )
