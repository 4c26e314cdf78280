"""Testers say how a new version is: who may, what counts, and when it stops growth."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.plans import plan
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.votes.tally import ArmVotes, count_votes

MIA, SAM = Actor(id="slack:T1/U5", handle="@mia"), Actor(id="slack:T1/U6", handle="@sam")
TESTERS = (plan.Tester(person="U5", handle="@mia", unit="user-1"), plan.Tester(person="U6", handle="@sam"))


def crowd(many: int) -> tuple[plan.Tester, ...]:
    return tuple(plan.Tester(person=f"U10{number}", handle=f"@t{number}", unit=f"u-{number}") for number in range(many))


def person(number: int) -> Actor:
    return Actor(id=f"slack:T1/U10{number}", handle=f"@t{number}")


@pytest.fixture
def trial(running: Callable[..., Any]) -> Any:
    return running(testers=TESTERS)


def test_a_vote_is_an_event_with_person_stage_and_arm(trial: Any) -> None:
    trial.when(c.CastVote(choice="worse", text=" too short ", arm="canary"), by=MIA).then(e.VoteCast)
    assert trial.last[0] == e.VoteCast(
        by="slack:T1/U5", handle="@mia", voter="U5", stage=0, arm="canary", choice="worse", text="too short"
    )
    assert count_votes(trial.now, 0).canary == ArmVotes(worse=1)


def test_the_last_vote_of_a_person_in_a_stage_counts(trial: Any) -> None:
    trial.when(c.CastVote(choice="worse", arm="canary"), by=MIA)
    trial.when(c.CastVote(choice="good", arm="canary"), by=MIA).then(e.VoteCast)
    assert count_votes(trial.now, 0).canary == ArmVotes(good=1)


def test_the_same_vote_twice_changes_nothing(trial: Any) -> None:
    trial.when(c.CastVote(choice="worse", arm="canary"), by=MIA)
    trial.when(c.CastVote(choice="worse", arm="canary"), by=MIA).then()


def test_a_person_in_slack_and_by_a_token_is_one_voter(trial: Any) -> None:
    trial.when(c.CastVote(choice="worse"), by=MIA)
    trial.when(c.CastVote(choice="good"), by=Actor(id="token:operator@U5"))
    assert count_votes(trial.now, 0).unknown == ArmVotes(good=1)


def test_a_person_in_two_workspaces_of_an_organisation_is_one_voter(trial: Any) -> None:
    trial.when(c.CastVote(choice="worse"), by=MIA)
    trial.when(c.CastVote(choice="good"), by=replace(MIA, id=MIA.id.replace("slack:T1/", "slack:T2/")))
    assert list(trial.now.votes[0]) == ["U5"]
    assert count_votes(trial.now, 0).total == 1


def test_a_tester_at_the_command_line_is_known_by_their_handle(trial: Any) -> None:
    trial.when(c.CastVote(choice="good"), by=Actor(id="cli:mia", handle="mia"))
    assert list(trial.now.votes[0]) == ["U5"]


def test_a_vote_can_be_withdrawn(trial: Any) -> None:
    trial.when(c.CastVote(choice="withdraw"), by=MIA).then()
    trial.when(c.CastVote(choice="worse"), by=MIA)
    trial.when(c.CastVote(choice="withdraw"), by=MIA).then(e.VoteWithdrawn)
    assert count_votes(trial.now, 0).total == 0


def test_words_are_added_to_the_vote_that_was_given(trial: Any) -> None:
    trial.refuses(c.CastVote(text="too short"), "Say that first", by=MIA)
    trial.when(c.CastVote(choice="worse", arm="canary"), by=MIA)
    trial.when(c.CastVote(text="too short", arm="canary"), by=MIA).then(e.VoteCast)
    assert (trial.now.votes[0]["U5"].choice, trial.now.votes[0]["U5"].text) == ("worse", "too short")


def test_each_stage_is_asked_about_anew(trial: Any, words: Any) -> None:
    trial.when(c.CastVote(choice="worse", arm="canary"), by=MIA)
    trial.happen(e.StageEntered(index=1, name="ramp 25%", percent=25))
    assert count_votes(trial.now, 1).total == 0
    trial.refuses(c.CastVote(choice="good", stage=0), "an earlier stage of R-1", by=MIA)
    trial.when(c.CastVote(choice="good", stage=1), by=MIA).then(e.VoteCast)
    assert count_votes(trial.now, 0).canary == ArmVotes(worse=1), "what was said before stays"


def test_who_may_not_vote_is_told_what_to_do_instead(trial: Any, cast: dict[str, Actor]) -> None:
    assert "feels-off" in trial.refuses(c.CastVote(choice="worse"), "Only the testers", by=cast["ana"]).hint
    trial.refuses(c.CastVote(choice="worse"), "not guests", by=cast["guest"])
    gone = Actor(id="slack:T1/U5", handle="@mia", is_full_member=False)
    trial.refuses(c.CastVote(choice="worse"), "deactivated accounts", by=gone)
    trial.refuses(c.CastVote(choice="worse"), "Only the testers", by=Actor(id="token:operator"))
    trial.refuses(c.CastVote(choice="worse"), "An agent may", by=Actor(id="agent:codex@U5"))
    trial.refuses(c.CastVote(choice="lovely"), '"lovely" is not an answer', by=MIA)


def test_votes_count_only_while_it_is_under_way(planned: Callable[..., Any], trial: Any) -> None:
    planned(testers=TESTERS).refuses(c.CastVote(choice="good"), "has not started", by=MIA)
    trial.when(c.RollBack(reason="enough"))
    refused = trial.refuses(c.CastVote(choice="worse"), "rolled back, so votes no longer count", by=MIA)
    assert "/rollout review R-1" in refused.hint


def test_without_testers_nobody_votes(running: Callable[..., Any]) -> None:
    running().refuses(c.CastVote(choice="worse"), "has no testers", by=MIA)


def test_in_a_channel_of_testers_every_member_votes_once(running: Callable[..., Any]) -> None:
    story = running(testers=(plan.Tester(channel="#beta"),))
    story.when(c.CastVote(choice="worse"), by=Actor(id="slack:T1/U7", handle="@kim", channel="#beta"))
    story.when(c.CastVote(choice="good"), by=Actor(id="slack:T1/U7", handle="@kim", channel="#beta"))
    assert count_votes(story.now, 0).unknown == ArmVotes(good=1)
    story.refuses(c.CastVote(choice="good"), "Only the testers", by=Actor(id="slack:T1/U8", channel="#general"))


def vote(story: Any, *said: tuple[str, str]) -> Any:
    for number, (choice, arm) in enumerate(said):
        story.when(c.CastVote(choice=choice, arm=arm), by=person(number))
    return story


@pytest.mark.shows("E39")
def test_worse_beyond_chance_stops_growth_and_never_rolls_back(running: Callable[..., Any]) -> None:
    story = vote(running(testers=crowd(8)), *[("good", "control")] * 4, *[("worse", "canary")] * 4)
    story.then(e.VoteCast, e.Held)
    assert story.now.hold.key == "votes:0"
    assert "4 of 4 testers call the new version worse, 0 of 4 the old one" in story.now.hold.text
    assert story.now.percent == 5


def test_what_could_be_chance_stops_nothing(running: Callable[..., Any]) -> None:
    said = [*[("good", "control")] * 3, ("worse", "control"), *[("worse", "canary")] * 3, ("good", "canary")]
    assert vote(running(testers=crowd(8)), *said).now.state is RolloutState.RUNNING


def test_votes_of_an_unknown_version_are_compared_with_nothing(running: Callable[..., Any]) -> None:
    story = vote(running(testers=crowd(9)), *[("worse", "")] * 9)
    assert story.now.state is RolloutState.RUNNING
    assert count_votes(story.now, 0).unknown == ArmVotes(worse=9)


def test_a_person_who_resumes_overrides_the_votes_of_this_stage(running: Callable[..., Any], words: Any) -> None:
    story = vote(running(testers=crowd(9)), *[("good", "control")] * 4, *[("worse", "canary")] * 4)
    story.when(c.Resume(reason="we know, and it is meant"))
    story.when(c.CastVote(choice="worse", arm="canary"), by=person(8)).then(e.VoteCast)
    assert story.now.state is RolloutState.RUNNING


def test_votes_of_a_paused_rollout_stop_it_once_it_goes_on(running: Callable[..., Any], words: Any) -> None:
    story = running(testers=crowd(8))
    story.when(c.Pause())
    vote(story, *[("good", "control")] * 4, *[("worse", "canary")] * 4).then(e.VoteCast)
    story.when(c.Resume(reason="go on")).tick(words.look()).then(e.Held)
