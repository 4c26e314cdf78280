"""Testers are asked in person how a new version is when a stage begins that serves them, and answer with a click."""

from datetime import time
from typing import Any

import pytest

from core.flags.bucketing import compute_bucket
from core.judging.model.verdict import Continue
from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.votes.tally import ArmVotes, count_votes
from tests.slack.conftest import ROLLOUT
from tests.slack.test_journey import HARM, look
from tests.slack.test_subscriptions import direct

QUESTION = "How does the support assistant feel to you?"


def plan(office: Any, testers: str) -> Any:
    office.apply_as_admin(office.files["surface"])
    office.apply(f"{ROLLOUT}testers:\n{testers}")
    office.deliver()
    return office


def start(office: Any, testers: str = '  - {person: "@mia", unit: user-1}\n') -> Any:
    plan(office, testers)
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    return office


def questions(office: Any, handle: str) -> list[str]:
    return [shown for m in direct(office, handle) if (shown := office.shown(m)).startswith((QUESTION, "Closed:"))]


def unit_in(arm: str) -> str:
    """A unit that gets this arm of R-1 at five per cent."""
    names = (f"user-{number}" for number in range(500))
    return next(n for n in names if (compute_bucket("expose", "R-1", n) < 50_000) == (arm == "canary"))


@pytest.mark.shows("E39")
def test_a_tester_is_asked_in_person_once_the_stage_begins_and_not_before(office: Any) -> None:
    plan(office, '  - {person: "@mia"}\n')
    assert questions(office, "mia") == []
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    asked = questions(office, "mia")
    assert len(asked) == 1
    assert "What may feel different" in asked[0]
    assert "Answers are about a third shorter and start with the fix." in asked[0]
    assert "You may get the new version or the old one." in asked[0]
    assert [label for label in ("Good", "Worse", "Can't tell", "Say more…") if f"[ {label} ]" not in asked[0]] == []
    assert questions(office, "sam") == []


@pytest.mark.shows("E39")
@pytest.mark.parametrize("arm", ["canary", "control"])
def test_a_click_is_a_vote_with_the_arm_that_the_named_unit_gets(either: Any, arm: str) -> None:
    start(either, f'  - {{person: "@mia", unit: {unit_in(arm)}}}\n')
    answer = either.click("mia", direct(either, "mia")[0], "Worse")
    assert "Your vote on R-1: worse." in answer
    assert "stays hidden" in answer
    assert "canary" not in answer
    assert "v43" not in answer
    recorded = [one.event for one in either.service.load_history("R-1") if isinstance(one.event, e.VoteCast)]
    assert [(vote.choice, vote.arm, vote.stage) for vote in recorded] == [("worse", arm, 0)]
    either.deliver()
    assert "Your answer: worse." in questions(either, "mia")[0]
    assert f"Testers say: {'new' if arm == 'canary' else 'old'} version 1 worse" in either.shown(either.card())
    assert not [line for line in either.thread() if "Vote:" in line], "a click without words is no line"


def test_a_vote_changes_with_another_click_and_is_withdrawn_with_one(office: Any) -> None:
    start(office)
    office.click("mia", direct(office, "mia")[0], "Worse")
    assert "Your vote on R-1: good." in office.click("mia", direct(office, "mia")[0], "Good")
    assert "You already voted “good” on R-1." in office.click("mia", direct(office, "mia")[0], "Good")
    office.deliver()
    assert "Withdrawn" in office.click("mia", direct(office, "mia")[0], "Withdraw")
    assert count_votes(office.rollout, 0).total == 0


def test_more_can_be_said_in_words_which_engineers_read_without_the_version(office: Any) -> None:
    start(office)
    office.click("mia", direct(office, "mia")[0], "Worse")
    office.person("mia").click(direct(office, "mia")[0], "Say more…")
    modal = office.sandbox.wait_for(lambda: office.sandbox.top_modal("mia"))
    assert office.person("mia").submit(modal, {"reason": "It no longer says which plan I am on."}).acked
    office.deliver()
    line = next(line for line in office.thread() if line.startswith("Vote:"))
    assert " on R-1 in canary: worse: “It no longer says which plan I am on.”" in line
    assert "v43" not in line


def test_a_typed_vote_and_one_in_the_thread_count_alike(office: Any) -> None:
    start(office)
    assert "Your vote on R-1: worse." in office.typed("mia", "vote R-1 worse too short for refunds").text
    assert (
        "you can't tell" in office.typed("mia", "vote R-1 can’t tell any more").text
        or count_votes(office.rollout, 0).total
    )
    assert next(iter(office.rollout.votes[0].values())).choice == "cant_tell"
    office.person("mia").say("@rampart vote good", thread=office.card())
    office.sandbox.wait_for(lambda: next(iter(office.rollout.votes[0].values())).choice == "good")


@pytest.mark.shows("E39")
def test_without_a_unit_the_arm_is_unknown_and_never_guessed(office: Any) -> None:
    start(office, '  - {person: "@mia"}\n')
    answer = office.click("mia", direct(office, "mia")[0], "Good")
    assert "We don't know which version you get" in answer
    assert count_votes(office.rollout, 0).unknown == ArmVotes(good=1)
    office.deliver()
    assert "version not known 1 good" in office.shown(office.card())


def test_somebody_who_is_no_tester_is_told_what_to_do_instead(office: Any) -> None:
    start(office)
    answer = office.typed("sam", "vote R-1 worse too short")
    assert "Only the testers of R-1 can vote" in answer.text
    assert "/rollout feels-off R-1" in str(answer.blocks)


def test_quiet_hours_delay_the_question_and_a_stage_that_ended_meanwhile_asks_nothing(office: Any) -> None:
    plan(office, '  - {person: "@mia"}\n')
    mia = office.directory.resolve_actor(
        "T0SANDBOX1", office.sandbox.workspace.find_person("mia").id, moves_forward=False
    )
    quiet = c.ChangeNotifications(role="", quiet_from=time(9), quiet_until=time(9, 30), zone="UTC", topics=())
    office.say(quiet, by=mia, rollout="")
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    assert questions(office, "mia") == []
    office.say(c.Tick(look=look(HARM)))
    office.later(minutes=30).deliver()
    assert questions(office, "mia") == []


def test_the_question_arrives_when_the_quiet_hours_end(office: Any) -> None:
    plan(office, '  - {person: "@mia"}\n')
    mia = office.directory.resolve_actor(
        "T0SANDBOX1", office.sandbox.workspace.find_person("mia").id, moves_forward=False
    )
    quiet = c.ChangeNotifications(role="", quiet_from=time(9), quiet_until=time(9, 30), zone="UTC", topics=())
    office.say(quiet, by=mia, rollout="")
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    office.later(minutes=20).deliver()
    assert len(questions(office, "mia")) == 1


def test_each_stage_asks_once_and_closes_the_question_before(office: Any) -> None:
    start(office)
    stale = direct(office, "mia")[0]
    office.click("mia", stale, "Worse")
    office.deliver()
    office.later(minutes=3).say(c.Tick(look=look(Continue())))
    assert office.rollout.stage_index == 1
    office.deliver()
    asked = questions(office, "mia")
    assert len(asked) == 2
    assert asked[0].startswith("Closed:")
    assert "Your answer: worse." in asked[0]
    assert asked[1].startswith(QUESTION)
    assert "an earlier stage" in office.click("mia", stale, "Good")


def test_a_rollback_closes_the_question(office: Any) -> None:
    start(office)
    office.later(minutes=1).say(c.Tick(look=look(HARM)))
    office.deliver()
    assert questions(office, "mia")[0].startswith("Closed:")
    assert "votes no longer count" in office.typed("mia", "vote R-1 worse").text


def test_a_channel_of_testers_gets_one_thread_and_everybody_in_it_one_vote(office: Any) -> None:
    start(office, '  - {channel: "#support"}\n')
    question = office.message("#support", QUESTION)
    assert "Your vote on R-1: worse." in office.click("sam", question, "Worse")
    assert "Only the testers" in office.typed("ana", "vote R-1 worse", "#ai-rollouts").text
    office.later(minutes=3).say(c.Tick(look=look(Continue())))
    office.deliver()
    replies = [office.shown(m) for m in office.sandbox.list_replies(office.message("#support", "Closed:"))]
    assert any(shown.startswith(QUESTION) for shown in replies), "the next stage is asked about in the same thread"


def test_testers_of_the_surface_are_asked_unless_the_rollout_names_its_own(office: Any) -> None:
    office.apply_as_admin(office.files["surface"] + 'testers:\n  - {person: "@sam"}\n')
    office.apply(ROLLOUT)
    assert [tester.handle for tester in office.rollout.plan.testers] == ["@sam"]
    office.apply(f'{ROLLOUT}testers:\n  - {{person: "@mia"}}\n')
    assert [tester.handle for tester in office.rollout.plan.testers] == ["@mia"]


def test_a_tester_whom_slack_does_not_know_is_a_warning_at_their_line(office: Any) -> None:
    plan(office, '  - {person: "@nobody-here"}\n  - {person: "@mia"}\n')
    assert [t.person.startswith("U") for t in office.rollout.plan.testers] == [False, True]


def test_who_will_be_asked_stands_in_the_approval_request(office: Any) -> None:
    plan(office, '  - {person: "@mia", unit: user-1}\n  - {channel: "#support"}\n')
    request = next(line for line in office.thread() if line.startswith("Approval needed"))
    assert "Who is asked how it is  @mia, #support" in request
    assert "user-1" not in request
