"""Thin data in Slack: who asks too early is reminded of the next step, and a stage gets more time by a button."""

from datetime import timedelta
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.http.test_pages import look


@pytest.fixture
def undecided(office: Any) -> Any:
    """R-1 has reached the longest hold of its small test with ten requests, and somebody has to decide."""
    office.start()
    office.later(minutes=31).say(c.Tick(look=look()))
    office.deliver()
    return office


def told(office: Any, handle: str) -> list[str]:
    """What Rampart said to this person in direct messages."""
    office.deliver()
    channel = f"rampart-and-{handle}"
    if channel not in {one.name for one in office.sandbox.workspace.channels.values()}:
        return []
    return [office.shown(message) for message in office.sandbox.list_messages(f"#{channel}")]


def test_who_advances_too_early_is_reminded_once_of_the_next_step(office: Any) -> None:
    office.start()
    office.typed("ana", "advance R-1")
    refused = office.whispered("ana")
    assert office.shown(refused).startswith("Not yet: the small test (5 %) has run for")
    assert "We'll message you at the next step of R-1." in office.click("ana", refused, "Remind me")
    assert told(office, "ana") == []
    office.say(c.Advance(reason="seen by all of us"))
    (said,) = told(office, "ana")
    assert said.startswith("Growing: R-1")
    assert "You asked to be told of the next step of R-1." in said
    office.later(minutes=5).say(c.Advance(reason="seen by all of us"))
    assert len(told(office, "ana")) == 1


@pytest.mark.shows("E11")
def test_a_stop_is_a_next_step_too(office: Any) -> None:
    office.start()
    office.typed("mia", "remind-me R-1 --next")
    office.later(minutes=31).say(c.Tick(look=look()))
    (said,) = told(office, "mia")
    assert said.startswith("On hold: R-1, undecided after 30 min: 10 of 200 requests seen.")


def test_a_summary_with_too_few_requests_offers_a_reminder(undecided: Any) -> None:
    undecided.typed("ana", "resume R-1 a quiet week")
    undecided.typed("ana", "summary R-1")
    assert "Remind me" in undecided.shown(undecided.whispered("ana"))


def test_a_summary_of_a_rollout_that_has_ended_offers_nothing_to_steer(undecided: Any) -> None:
    undecided.typed("ana", "rollback R-1 enough")
    undecided.typed("ana", "summary R-1")
    shown = undecided.shown(undecided.whispered("ana"))
    assert "10 requests" in shown
    assert "[ Pause ]" not in shown
    assert "Remind me" not in shown


def test_a_stage_that_was_undecided_is_extended_by_its_button(undecided: Any) -> None:
    replies = undecided.sandbox.list_replies(undecided.card())
    asked = next(m for m in replies if "until @dana decides" in undecided.shown(m))
    assert "[ Resume ] [ Extend to 2 h ] [ Roll back ]" in undecided.shown(asked)
    said = undecided.click("ana", asked, "Extend to 2 h")
    assert said.startswith("Extended by @ana: R-1 has 2 h in this stage before somebody is asked again.")
    assert undecided.rollout.state is RolloutState.RUNNING
    assert undecided.rollout.extended_to == timedelta(hours=2)
    again = undecided.click("ana", asked, "Extend to 2 h")
    assert "R-1 is not on hold for lack of evidence, so there is nothing to extend." in again


def test_the_card_offers_the_same_and_other_holds_do_not(undecided: Any) -> None:
    assert "[ Extend to 2 h ]" in undecided.shown(undecided.card())
    undecided.typed("ana", "resume R-1 a quiet week")
    for handle in ("mia", "sam"):
        undecided.typed(handle, "feels-off R-1 too curt")
    undecided.deliver()
    assert undecided.rollout.state is RolloutState.ON_HOLD
    assert "[ Extend" not in undecided.shown(undecided.card())
