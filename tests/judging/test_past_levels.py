"""What control's past says of a level: its range allows for how much units differ, then and now."""

from dataclasses import replace
from datetime import timedelta

from core.judging.engine.past_levels import widen_past_levels
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.look import Look
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import PastLevel
from tests.judging.conftest import START, USUAL

STAGES = (
    StageDesign(index=0, name="half", compared=True, canary_share=0.5, control_left=True),
    StageDesign(index=1, name="everybody", compared=False, canary_share=1.0, control_left=False),
)
QUESTION = Question(limits=USUAL, stages=STAGES, current=1)
RATE = PastLevel(value=0.02, error=0.004, low=0.012, high=0.032, readings=2000.0, design_effect=1.5)
COST = PastLevel(value=0.014, error=0.0002)


def seen(metric, *, level, effect=1.0, error=None, weight=2000.0):
    return ArmComparison(
        metric=metric,
        since=1,
        canary=None,
        control=None,
        error=None,
        canary_weight=0.0,
        control_weight=0.0,
        level=level,
        level_error=error,
        level_weight=weight,
        design_effect=effect,
    )


def widen(past, now, question=QUESTION):
    look = Look(at=START + timedelta(minutes=1), stage=1, standings=(now,))
    return widen_past_levels(question, look, {now.metric: past})[now.metric]


def test_a_rate_has_the_range_of_the_larger_design_effect():
    alike, uneven = (widen(RATE, seen("refusal_rate", level=0.02, effect=x)) for x in (1.0, 6.0))
    assert uneven.low < alike.low < RATE.value < alike.high < uneven.high
    own = widen(RATE, seen("refusal_rate", level=0.02, effect=1.5))
    assert (alike.low, alike.high) == (own.low, own.high)  # control's own, where units are more alike now


def test_the_range_comes_back_when_units_turn_out_to_be_alike():
    uneven = widen(RATE, seen("refusal_rate", level=0.02, effect=6.0))
    assert widen(uneven, seen("refusal_rate", level=0.02)) == widen(RATE, seen("refusal_rate", level=0.02))


def test_what_is_no_rate_or_not_known_is_left_as_it_is():
    stored_by_engine_4 = PastLevel(value=0.02, error=0.004, low=0.012, high=0.032)
    assert widen(stored_by_engine_4, seen("refusal_rate", level=0.02, effect=6.0)) == stored_by_engine_4
    assert widen(COST, seen("cost_per_request", level=0.014, error=0.001)) == COST  # its error is not of a rate
    paired = replace(QUESTION, stages=STAGES[:1], current=0)
    assert widen(RATE, seen("refusal_rate", level=0.02, effect=6.0), paired) == RATE
