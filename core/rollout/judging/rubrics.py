"""Which criteria a judge scores in a rollout."""

from core.rollout.state.world import World
from core.shadow_eval.rubric import JudgingCriterion


def find_criteria(world: World, rollout_id: str) -> tuple[JudgingCriterion, ...]:
    """The criteria of the rollout's surface that its plan compares; none if there is no such rollout.

    A plan compares what its surface asked for when it was agreed.
    """
    rollout = world.find_rollout(rollout_id)
    surface = world.surfaces.get(rollout.plan.surface) if rollout is not None else None
    if rollout is None or surface is None or surface.judging is None:
        return ()
    compared = {metric.key for metric in rollout.plan.metrics or ()}
    return tuple(one for one in surface.judging.criteria or () if one.metric in compared)
