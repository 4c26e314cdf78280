"""What the engine is asked of a stage that is open to chosen people only, and of one that is open to everybody."""

from datetime import timedelta

from core.rollout.judging.judging_question import build_question
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.state.events import StageEntered

TICK = timedelta(seconds=10)
INTERNAL = Stage(kind=StageKind.COHORT, name="internal", percent=100, where={"internal": "true"})


def test_a_cohort_without_a_control_has_no_past_to_be_held_against(running, words):
    stages = (INTERNAL, *words.stages)
    here = running(stages=stages)
    assert build_question(here.now, TICK).stages_without_control == ()
    for index, stage in enumerate(stages[1:], start=1):
        here.happen(StageEntered(index=index, name=stage.name, percent=stage.percent))
    question = build_question(here.now, TICK)
    assert question.compared_stages == (1, 2)
    assert question.stages_without_control == (3, 4)
