"""What a rollout grows on: what was noticeable, what was shown, or time; and what is accepted unseen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.judging.model.verdict import BlindSpot
from core.rollout import commands as c
from core.rollout.plans.plan import Approvals, Risk, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, GrowOn
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import RolloutState

BLIND = BlindSpot(
    metric="refusal_rate",
    kind="rises_by",
    title="Declined to answer",
    limit_text="rises by 1 pp",
    missed=0.02,
    unit="% of requests",
    relative=False,
    readings=400,
    needed=1500,
    more=timedelta(hours=9),
)
UNREAD = replace(BLIND, metric="eval_pass_rate", kind="drops_by", unread=True, arm="canary", needed=None, more=None)


@pytest.fixture
def seen(words: Any) -> Callable[..., c.LookResult]:
    """A look at which nothing speaks against it, with what it could not have shown."""
    return lambda *blind, **parts: replace(words.look(**parts), blind=blind)


def test_a_stage_is_not_left_while_harm_of_twice_a_limit_could_have_been_missed(running, seen):
    story = running().later(hours=6).tick(seen(BLIND))
    assert story.now.percent == 5
    story.later(hours=1).tick(seen()).then(e.EvidenceRecorded, e.StageEntered)
    assert story.now.percent == 25


def test_what_would_have_been_noticed_once_is_not_waited_for_again(running, seen):
    story = running().later(hours=6).tick(seen())
    assert story.now.percent == 25
    story.later(hours=12).tick(seen(BLIND)).then(e.EvidenceRecorded, e.StageEntered)


def test_what_is_blind_is_recorded_with_the_evidence(running, seen):
    story = running().later(hours=6).tick(seen(BLIND))
    assert story.now.evidence.blind == (BLIND,)
    story.later(hours=1).tick(seen())
    assert story.now.evidence.blind is None


def test_at_its_longest_hold_it_asks_and_names_what_is_blind(running, seen):
    story = running().later(hours=24).tick(seen(BLIND)).then(e.EvidenceRecorded, e.Held)
    assert story.now.hold.key == f"{holds.UNDECIDED}canary"
    assert (
        story.now.hold.text
        == "undecided after 24 h: harm of twice the limit could still have been missed for declined to answer"
    )


def test_who_resumes_accepts_the_blind_spot_for_good(running, seen):
    story = running().later(hours=24).tick(seen(BLIND))
    story.when(c.Resume(reason="we read a sample by hand")).then(e.Resumed, e.BlindSpotsAccepted)
    assert story.now.accepted[0].spots == (BLIND,)
    assert story.now.accepted[0].reason == "we read a sample by hand"
    story.tick(seen(BLIND)).then(e.EvidenceRecorded, e.StageEntered)
    story.later(hours=12).tick(seen(BLIND)).then(e.EvidenceRecorded, e.StageEntered)
    assert story.now.percent == 100


def test_who_accepted_one_blind_spot_has_not_accepted_another(running, seen):
    story = running().later(hours=24).tick(seen(BLIND)).when(c.Resume(reason="we read a sample")).tick(seen(BLIND))
    other = replace(BLIND, metric="hard_error_rate")
    story.later(hours=12).tick(seen(BLIND, other))
    assert story.now.percent == 25


def test_who_skips_the_waiting_accepts_what_is_blind_in_this_stage_alone(running, seen):
    story = running().later(hours=6).tick(seen(BLIND))
    story.when(c.Advance(reason="a copy fix")).then(e.BlindSpotsAccepted, e.StageEntered)
    assert (story.now.accepted[0].spots, story.now.accepted[0].lasting) == ((BLIND,), False)
    story.later(hours=12).tick(seen(BLIND))
    assert story.now.percent == 25


def test_before_the_first_look_everything_is_blind(running, words):
    story = running().when(c.Advance(reason="a copy fix")).then(e.BlindSpotsAccepted, e.StageEntered)
    assert [spot.metric for spot in story.now.accepted[0].spots] == ["refusal_rate"]


def test_low_risk_grows_by_time(running, seen):
    story = running(risk=Risk.LOW, approvals=Approvals()).later(hours=6).tick(seen(BLIND))
    story.then(e.EvidenceRecorded, e.StageEntered)


@pytest.mark.parametrize("risk", [Risk.LOW, Risk.STANDARD])
def test_a_limit_that_was_never_read_holds_at_the_first_gate_by_name(running, seen, risk):
    story = running(risk=risk).later(hours=6).tick(seen(UNREAD)).then(e.EvidenceRecorded, e.Held)
    assert story.now.hold.text == "no reading of declined to answer (eval_pass_rate) has ever arrived: is it reported?"
    story.later(hours=1).tick(seen()).then(e.EvidenceRecorded, e.HoldCleared)
    story.tick(seen()).then(e.EvidenceRecorded, e.StageEntered)


def test_a_limit_that_was_never_read_can_be_set_aside_with_a_reason(running, seen):
    story = running(risk=Risk.LOW, approvals=Approvals()).later(hours=6).tick(seen(UNREAD))
    story.refuses(c.Resume(), "give a reason")
    story.when(c.Resume(reason="it is judged next week")).then(e.Resumed, e.BlindSpotsAccepted)
    story.tick(seen(UNREAD)).then(e.EvidenceRecorded, e.StageEntered)
    assert story.now.accepted[0].spots == (UNREAD,)


def test_a_handful_of_requests_waits_for_a_reading_before_anybody_is_asked(running, seen, words):
    stages = (replace(words.stages[0], min_samples=0), *words.stages[1:])
    story = running(risk=Risk.LOW, approvals=Approvals(), stages=stages)
    story.later(hours=6).tick(seen(UNREAD, requests=8))
    assert (story.now.state, story.now.percent) == (RolloutState.RUNNING, 5)
    story.later(hours=18).tick(seen(UNREAD, requests=24)).then(e.EvidenceRecorded, e.Held)


@pytest.mark.parametrize(
    ("risk", "grow_on"), [(Risk.LOW, GrowOn.TIME), (Risk.STANDARD, GrowOn.NOTICEABLE), (Risk.HIGH, GrowOn.SHOWN)]
)
def test_what_it_grows_on_where_the_policy_does_not_say(risk, grow_on):
    assert DEFAULT_POLICY.growth_rule_for(risk) is grow_on


def test_a_policy_says_what_each_risk_grows_on(running, seen, words):
    policy = replace(DEFAULT_POLICY, grow_on={Risk.STANDARD: GrowOn.TIME})
    running(words.story(policy=policy)).later(hours=6).tick(seen(BLIND)).then(e.EvidenceRecorded, e.StageEntered)


def test_a_policy_that_does_not_say_keeps_its_fingerprint():
    assert DEFAULT_POLICY.fingerprint() == replace(DEFAULT_POLICY, grow_on=None).fingerprint()
    assert "grow_on" in repr(DEFAULT_POLICY)
    assert replace(DEFAULT_POLICY, grow_on={Risk.LOW: GrowOn.SHOWN}).fingerprint() != DEFAULT_POLICY.fingerprint()


def test_a_few_chosen_people_need_not_have_shown_anything(running, seen, words):
    cohort = replace(words.stages[0], kind=StageKind.COHORT, name="internal", percent=50, where={"staff": "yes"})
    story = running(stages=(cohort, *words.stages)).later(hours=6).tick(seen(BLIND))
    story.then(e.EvidenceRecorded, e.StageEntered)
