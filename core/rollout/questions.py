"""What the engine is asked about a rollout: its limits, and the design of every stage it has entered."""

from datetime import timedelta

from core.judging.question import Question, StageDesign
from core.rollout.model import Rollout
from core.rollout.plan import Stage, StageKind

NO_DATA_AFTER = timedelta(minutes=15)


def ask(rollout: Rollout, tick: timedelta) -> Question:
    """The question as of the stage under way. `tick` is the time between two looks.

    Silence is called no data after 15 minutes, or after three holds' worth of ticks where the stage is shorter.
    """
    entered = {span.index for span in rollout.spans}
    stages = tuple(
        _design(rollout, index, stage) for index, stage in enumerate(rollout.plan.stages) if index in entered
    )
    watched = tuple(sorted({x.metric for x in rollout.plan.expectations} - {m.metric for m in rollout.plan.limits}))
    hold = rollout.stage.min_hold if rollout.stage else timedelta(0)
    silence = min(NO_DATA_AFTER, max(3 * hold, 3 * tick))
    return Question(
        limits=rollout.plan.limits,
        watched=watched,
        stages=stages,
        current=rollout.stage_index,
        no_data_after=silence,
    )


def _design(rollout: Rollout, index: int, stage: Stage) -> StageDesign:
    share = stage.percent / 100
    if stage.compared and rollout.plan.control == "matched" and stage.percent <= 50:
        share = 0.5
    return StageDesign(
        index=index,
        name=stage.name,
        compared=stage.compared,
        canary_share=share if stage.exposes else None,
        control_left=stage.percent < 100 and stage.kind is not StageKind.BAKE,
    )
