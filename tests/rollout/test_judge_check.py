"""A judge that has moved holds a rollout and does nothing else: it takes nobody back and opens no gate."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from tests.rollout.conftest import MONDAY, look_of


def said(passes: int, of: int = 40) -> Mapping[str, bool]:
    return {f"a{number}": number < passes for number in range(of)}


def round_of(number: int, verdicts: Mapping[str, bool], anchors: int = 40) -> c.RecordAnchors:
    return c.RecordAnchors(
        round=number, began_at=MONDAY + number * timedelta(hours=4), verdicts=verdicts, anchors=anchors
    )


@pytest.fixture
def judged(running: Callable[..., Any]) -> Any:
    """A canary whose judge has been steady for three rounds."""
    story = running()
    for number in (1, 2, 3):
        story.when(round_of(number, said(38)), by=ENGINE)
    return story


def test_a_steady_judge_is_trusted_and_nothing_happens(judged: Any) -> None:
    judged.when(round_of(4, said(38)), by=ENGINE).then(e.AnchorsJudged)
    assert judged.now.judge_check.trusted == 4
    assert judged.now.state is RolloutState.RUNNING


def test_one_flip_that_may_be_chance_is_no_finding_and_neither_trusted_nor_doubted(judged: Any) -> None:
    judged.when(round_of(4, said(35)), by=ENGINE).then(e.AnchorsJudged)
    assert judged.now.judge_check.trusted == 3, "the mark stays where it was"
    assert judged.now.judge_check.moved is None


def test_a_judge_that_moved_holds_with_both_counts(judged: Any) -> None:
    judged.when(round_of(4, said(28)), by=ENGINE).then(e.AnchorsJudged, e.JudgeMoved, e.Held)
    assert judged.now.hold.text == "the judge moved: 28 of 40 anchors pass, 38 did at the start"


def test_a_round_is_recorded_once_and_in_order(judged: Any) -> None:
    judged.when(round_of(3, said(10)), by=ENGINE).then()
    judged.when(round_of(5, said(10)), by=ENGINE).then()


def test_a_round_with_too_few_verdicts_says_nothing(judged: Any) -> None:
    judged.when(round_of(4, said(0, of=31)), by=ENGINE).then(e.AnchorsJudged)
    assert len(judged.now.judge_check.rounds) == 3


def test_while_paused_a_move_is_recorded_and_holds_once_it_is_resumed(judged: Any) -> None:
    judged.when(c.Pause(reason="lunch"))
    judged.when(round_of(4, said(28)), by=ENGINE).then(e.AnchorsJudged, e.JudgeMoved)
    assert judged.now.state is RolloutState.PAUSED
    judged.when(c.Resume(reason="back"))
    judged.when(c.Tick(look=look_of()), by=ENGINE).then(e.Held)


def test_a_judge_that_is_back_while_paused_leaves_the_pause(judged: Any) -> None:
    judged.when(round_of(4, said(28)), by=ENGINE)
    judged.when(c.Pause(reason="lunch"))
    for number in (5, 6, 7):
        judged.when(round_of(number, said(38)), by=ENGINE)
    assert judged.now.judge_check.moved is None
    assert judged.now.state is RolloutState.PAUSED
    judged.when(c.Resume(reason="back"))
    judged.when(c.Tick(look=look_of()), by=ENGINE).then(e.HoldCleared)


def test_a_person_who_resumes_takes_the_judge_as_it_is(judged: Any) -> None:
    judged.when(round_of(4, said(28)), by=ENGINE)
    judged.when(c.Resume(reason="its new prompt is right"))
    judged.when(round_of(5, said(28)), by=ENGINE).then(e.AnchorsJudged)
    assert judged.now.state is RolloutState.RUNNING
    assert judged.now.judge_check.rounds == (said(28),)


def test_a_cap_is_recorded_once_and_again_when_it_was_raised(judged: Any) -> None:
    reached = c.RecordJudgingCap(spent=25, cap=25, judged={"canary": 800})
    judged.when(reached, by=ENGINE).then(e.JudgingCapReached)
    judged.when(reached, by=ENGINE).then()
    judged.when(c.RecordJudgingCap(spent=30, cap=30, judged={"canary": 900}), by=ENGINE).then(e.JudgingCapReached)
    assert judged.now.state is RolloutState.RUNNING
