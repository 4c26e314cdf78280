"""What the demonstration says of itself: of every state what it is, what comes next, and who presses for it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.rendering.sentences import demo_narration
from core.rollout.plans.plan import StageKind
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState

COHORT: dict[str, Any] = {"kind": StageKind.COHORT, "name": "internal", "percent": 50.0}


def told(story: Any, *, yours: bool = False, pace: float = 30.0, lee_approves_at: datetime | None = None) -> str:
    now, following = demo_narration.tell(story.now, story.at, pace=pace, yours=yours, lee_approves_at=lee_approves_at)
    assert now
    assert following
    return f"{now} {following}"


def test_who_presses_is_named(story: Any) -> None:
    story.planned()
    assert "Lee, a lead, approves" in told(story)
    assert "Be Lee and press Approve" in told(story, yours=True)
    story.approved()
    assert "approved and scheduled" in told(story)
    story.rollout = replace(story.now, start=None)
    assert "Ana starts it" in told(story)
    assert "Be Ana and press Start" in told(story, yours=True)


def test_the_time_left_is_that_in_front_of_the_screen(story: Any) -> None:
    story.running()
    assert "25 %, in about 12 min at the earliest" in told(story)  # six hours at thirty times the pace
    story.later(hours=7)
    assert "25 %, as soon as there is enough data" in told(story)


def test_what_a_slow_machine_holds_back_has_no_time_of_its_own(story: Any) -> None:
    story.running()
    assert "25 %, once the simulated users have caught up" in told(story, pace=0.001)


@pytest.mark.parametrize(
    ("changes", "control", "said"),
    [
        ({}, "concurrent", "5 % of the users get v43, compared with everyone else"),
        ({}, "matched", "5 % of the users get v43, compared with as many others"),
        (COHORT, "matched", "50 % of internal get v43, compared with the rest of them"),
        (COHORT | {"percent": 100.0}, "matched", "100 % of internal get v43"),
    ],
)
def test_it_says_with_whom_those_who_get_it_are_compared(
    story: Any, changes: dict[str, Any], control: str, said: str
) -> None:
    now = story.running().now
    stages = list(now.plan.stages)
    stages[now.stage_index] = replace(now.current_stage, **changes)
    story.rollout = replace(now, plan=replace(now.plan, stages=tuple(stages), control=control))
    heard = told(story)
    assert said in heard
    assert ("compared" in heard) == ("compared" in said)


def test_while_time_is_paused_nothing_is_promised_for_a_moment(story: Any) -> None:
    story.running()
    assert "25 %, once you let time run again;" in told(story, pace=0.0)


def test_a_lead_who_leaves_the_approval_to_the_reader_says_until_when(story: Any) -> None:
    story.planned()
    said = told(story, lee_approves_at=story.at + timedelta(minutes=30))
    assert "Be Lee and press Approve" in said
    assert "otherwise Lee does it in about 60 s" in said


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_is_told(story: Any, state: RolloutState) -> None:
    story.running()
    story.rollout = replace(story.now, state=state)
    assert "None" not in told(story)


def test_a_rollback_is_told_until_it_is_confirmed_and_after(story: Any) -> None:
    story.running().rolled_back()
    assert "is being rolled back" in told(story)
    story.later(seconds=1).happen(e.FlipConfirmed(seconds=0.2, processes=1))
    assert "It took 0.20 s" in told(story)
