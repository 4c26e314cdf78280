"""A person accepts that harm could still have been missed."""

from core.judging.model.verdict import BlindSpot
from core.rollout.context import Context
from core.rollout.decisions import growth_conditions
from core.rollout.plans.plan import Stage
from core.rollout.state import events as e
from core.rollout.state.model import Rollout


def accept_current(rollout: Rollout, reason: str, context: Context, to: Stage | None = None) -> list[e.RolloutEvent]:
    """The acceptance of what could have been missed, where a person does not wait for it; empty if there is nothing."""
    spots = growth_conditions.find_blocking_blind_spots(
        rollout, growth_conditions.current_blind_spots(rollout), context.policy, to
    )
    return [build_accepted(rollout, reason, spots, context, lasting=False)] if spots else []


def build_accepted(
    rollout: Rollout, reason: str, spots: tuple[BlindSpot, ...], context: Context, *, lasting: bool
) -> e.BlindSpotsAccepted:
    """The event by which a person accepts these blind spots."""
    stage = rollout.current_stage
    return e.BlindSpotsAccepted(by=context.by.id, reason=reason, stage=stage.name, lasting=lasting, spots=spots)
