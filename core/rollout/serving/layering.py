"""Which slots of its layer a rollout gets, and which others hold (pure)."""

from collections.abc import Iterable
from dataclasses import replace

from core.flags.bucketing import MILLION
from core.flags.layers import LayerShare, build_layer_share
from core.rollout.context import Context
from core.rollout.plans.layers import LayerSlots, Ranges, allocate_slots, find_layer
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState

LAST_STEP = "layer_end"
"""Key of the hold before a rollout in a layer ends, where that is a larger step than the policy lets a person take."""
_EVERYBODY: Ranges = ((0, MILLION),)


def list_taken(surface: str, rollouts: Iterable[Rollout], policy: Policy) -> dict[str, Ranges]:
    """The slots that other rollouts under way hold in the surface's layer, by rollout id; empty without a layer.

    One that started before its surface was in the layer serves everybody, and so holds all slots.
    """
    layer = find_layer(policy.layers, surface)
    if layer is None:
        return {}
    taken: dict[str, Ranges] = {}
    for rollout in rollouts:
        if not rollout.is_under_way:
            continue
        if rollout.layer is not None and rollout.layer.layer == layer.name:
            taken[rollout.id] = rollout.layer.ranges
        elif layer.share_of(rollout.plan.surface):
            taken[rollout.id] = _EVERYBODY
    return taken


def allocate(rollout: Rollout, context: Context) -> LayerSlots | None:
    """The slots for a rollout that starts now; None if its surface is in no layer, or too few are free."""
    layer = find_layer(context.policy.layers, rollout.plan.surface)
    if layer is None:
        return None
    return allocate_slots(layer, rollout.plan.surface, context.taken_slots.values())


def hold_before_end(rollout: Rollout, policy: Policy) -> e.Held | None:
    """The hold before the end where the others are so many more that the policy wants a person's reason for such a step
    (`max_step`), as the end gives everyone the new version at once; None otherwise."""
    if rollout.layer is None or policy.max_step is None or LAST_STEP in rollout.overridden:
        return None
    if rollout.layer.share * policy.max_step >= 1:
        return None
    new, share = rollout.plan.to_version, 100 * rollout.layer.share
    text = (
        f"{new} is with the {share:.3g} % of everyone that the layer {rollout.layer.layer} gives to "
        f"{rollout.plan.surface}; resuming ends {rollout.id}, which gives it to all others in one step. That is more "
        f"than {policy.max_step:g} times as many (max_step), and nothing is watched afterwards"
    )
    return e.Held(key=LAST_STEP, text=text)


def find_reach_now(rollout: Rollout) -> tuple[str, float] | None:
    """The layer of a rollout that has started and the share of all users that it may touch, 0 to 1; None if no layer
    limits it."""
    return (rollout.layer.layer, rollout.layer.share) if rollout.layer is not None else None


def foresee_slots(rollout: Rollout, policy: Policy) -> Rollout:
    """The rollout as far as its layer goes as it will start: with its surface's own slots where it is only planned. For
    what people are told beforehand; which slots it gets is decided at its start."""
    layer = find_layer(policy.layers, rollout.plan.surface)
    if rollout.state is not RolloutState.PLANNED or layer is None:
        return rollout
    return replace(rollout, layer=allocate_slots(layer, rollout.plan.surface, ()))


def find_planned_reach(plan: Plan, policy: Policy) -> tuple[str, float] | None:
    """The layer of a plan's surface and its share of all users, 0 to 1; None if it is in no layer."""
    layer = find_layer(policy.layers, plan.surface)
    return (layer.name, layer.share_of(plan.surface) / MILLION) if layer is not None else None


def build_share(rollout: Rollout) -> LayerShare | None:
    """The units that the rollout may touch, as evaluations decide it; None: everybody."""
    return build_layer_share(rollout.layer.layer, rollout.layer.ranges) if rollout.layer is not None else None
