"""A long comparison: nobody wins early, harm stops it at once, and at its horizon a person decides."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.judging.model.comparison import HorizonComparison
from core.judging.model.verdict import Cleared
from core.rollout import commands as c
from core.rollout.decisions import growth_conditions
from core.rollout.plans.plan import Approvals, Risk, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, BreakGlass, Freeze
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState

AB = Stage(
    kind=StageKind.AB,
    name="ab",
    percent=50,
    min_hold=timedelta(days=14),
    max_hold=timedelta(days=28),
    min_samples=2000,
    decide_on=("eval_pass_rate", "retry_rate"),
)


@pytest.fixture
def comparing(running, words):
    """A canary that has moved on into its long comparison."""

    def start(story=None, **changes):
        stages = (words.stages[0], AB, *words.stages[2:])
        story = running(story, **{"stages": stages, **changes}).later(hours=6).tick(words.look())
        assert story.now.current_stage == AB
        return story

    return start


@pytest.fixture
def result(words):
    """A look at the horizon, with its comparison."""

    def build(advice="keep", **changes):
        rows = tuple(words.measure(metric) for metric in AB.decide_on)
        found = HorizonComparison(advice=advice, measures=rows)
        return replace(words.look(**changes), comparison=found, weekdays=(2,) * 7)

    return build


@pytest.fixture
def over(comparing, result):
    """A long comparison that has reached its horizon."""

    def start(story=None, advice="keep", **changes):
        return comparing(story, **changes).later(days=14).tick(result(advice))

    return start


def test_a_canary_moves_on_into_it_and_whoever_had_the_new_version_keeps_it(comparing):
    assert comparing().now.percent == 50


@pytest.mark.shows("E59")
def test_nobody_wins_before_the_horizon(comparing, words):
    story = comparing().later(days=13, hours=23, minutes=59)
    assert not growth_conditions.is_comparison_due(story.now, 2000, story.at)
    story.tick(words.look(Cleared()))
    assert story.now.current_stage == AB
    refused = story.refuses(c.Decide(keep=True, reason="clearly better"), "compared until Mon 07 Dec 16:00 UTC")
    assert refused.earliest == story.at + timedelta(minutes=1)
    story.refuses(c.Advance(reason="clearly better"), "Nobody wins early")
    story.refuses(c.Advance(to_percent=100, reason="clearly better"), "Nobody wins early")
    assert growth_conditions.is_comparison_due(story.now, 2000, story.at + timedelta(minutes=1))


@pytest.mark.shows("E61")
def test_harm_ends_it_on_any_day(comparing, words):
    story = comparing().later(days=2).tick(words.look(words.harm))
    assert story.now.state is RolloutState.ROLLED_BACK


def test_so_does_a_person(comparing):
    story = comparing().later(days=2).when(c.RollBack())
    assert story.now.state is RolloutState.ROLLED_BACK


@pytest.mark.shows("E61", "E83")
def test_at_the_horizon_the_result_is_recorded_and_a_person_is_asked(over, words):
    story = over().then(e.EvidenceRecorded, e.ComparisonEnded, e.Held)
    assert story.now.state is RolloutState.ON_HOLD
    assert story.now.hold.text == "the comparison is over after 14 days: keep the new version, or go back"
    assert story.now.comparisons[1].advice == "keep"
    story.later(hours=1).tick(words.look(Cleared()))
    assert story.now.state is RolloutState.ON_HOLD
    assert story.now.percent == 50, "nothing grows until somebody has decided"


@pytest.mark.shows("E59")
@pytest.mark.parametrize(
    ("requests", "days", "due"),
    [
        (1999, 14, False),
        (2000, 14, True),
        (2000, 14.9, True),
        (2000, 16, False),
        (2000, 20.9, False),
        (2000, 21, True),
        (1999, 27.9, False),
        (1999, 28, True),
    ],
)
def test_a_sample_that_is_missing_makes_it_longer_by_whole_weeks_but_not_endless(comparing, requests, days, due):
    story = comparing().later(days=days)
    assert growth_conditions.is_comparison_due(story.now, requests, story.at) is due


def test_a_pause_makes_it_longer(comparing):
    story = comparing().later(days=3).when(c.Pause()).later(days=2).when(c.Resume()).later(days=11, minutes=-1)
    assert not growth_conditions.is_comparison_due(story.now, 2000, story.at)
    assert growth_conditions.is_comparison_due(story.now, 2000, story.at + timedelta(minutes=1))


def test_nobody_decides_to_go_back_to_what_is_switched_off(over):
    story = over(rollback_until="2026-12-01")
    refused = story.refuses(c.Decide(keep=False, reason="people ask again"), "could be called until 2026-12-01 only")
    assert refused.hint.startswith("The way back is a new rollout from v43")
    story.when(c.Decide(keep=True, reason="as good")).then(e.ComparisonDecided)


def test_keeping_takes_the_next_step_at_the_next_look(over, words):
    story = over().when(c.Decide(keep=True, reason="better, and support agrees")).then(e.ComparisonDecided)
    assert story.now.state is RolloutState.RUNNING
    story.tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)
    assert story.now.current_stage.name == "ramp 100%"


def test_the_step_after_the_decision_waits_for_what_is_found_and_has_to_last(over, words):
    story = over().when(c.Decide(keep=True, reason="clearly better"))
    story.tick(words.look(pending=(words.finding("latency_p95", "exceeds"),)))
    assert story.now.percent == 50
    story.tick(words.look())
    assert story.now.percent == 100


def test_going_back_gives_everybody_the_previous_version(over):
    story = over(advice="go back").when(c.Decide(keep=False, reason="people ask again"))
    assert [type(event) for event in story.last[:2]] == [e.ComparisonDecided, e.RolledBack]
    assert story.now.rollback.reason == "people ask again"
    assert story.surface.live == "v42"


def test_a_decision_needs_a_reason_and_a_choice(over):
    story = over()
    story.refuses(c.Decide(keep=True), "give a reason for the decision")
    story.refuses(c.Decide(keep=None, reason="well"), "keep the new version, or go back")


def test_a_decision_against_the_measures_is_possible_and_says_so(over):
    story = over(advice="go back").when(c.Decide(keep=True, reason="the loss is in a flow we drop"))
    assert (story.now.decisions[1].keep, story.now.decisions[1].advice) == (True, "go back")


def test_deciding_twice_changes_nothing_and_one_may_still_go_back(over):
    story = over().when(c.Decide(keep=True, reason="better")).when(c.Decide(keep=True, reason="yes")).then()
    story.when(c.Decide(keep=False, reason="support found a flaw"))
    assert story.now.state is RolloutState.ROLLED_BACK


def test_a_resume_is_no_decision(over):
    over().refuses(c.Resume(reason="go on"), "waits for a decision")


def test_only_those_who_move_rollouts_forward_decide(over, cast):
    over().refuses(c.Decide(keep=True, reason="better"), "Guests", by=cast["guest"])


def test_after_the_decision_a_freeze_still_holds_the_step(over, words):
    frozen = Freeze(
        name="holidays",
        from_date=(words.monday + timedelta(days=14)).date(),
        to_date=(words.monday + timedelta(days=16)).date(),
    )
    story = over(words.story(policy=replace(DEFAULT_POLICY, freezes=(frozen,))))
    story.when(c.Decide(keep=True, reason="better")).tick(words.look())
    assert story.now.current_stage == AB
    story.later(days=2).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)


def test_at_high_risk_two_people_approve_the_step_after_the_decision(words, running):
    story = running(risk=Risk.HIGH, approvals=Approvals(required=2), stages=(AB, *words.stages[2:]))
    found = HorizonComparison(advice="keep", measures=(words.measure("eval_pass_rate"),))
    story.later(days=14).tick(replace(words.look(), comparison=found)).then(
        e.EvidenceRecorded, e.ComparisonEnded, e.Held
    )
    story.when(c.Decide(keep=True, reason="better")).tick(words.look()).then(e.EvidenceRecorded, e.ApprovalRequested)
    assert story.now.request.gate == "ramp 100%"


def test_break_glass_ends_it_early_and_is_named(comparing, words, cast):
    glass = BreakGlass(groups=("@ai-leads",))
    story = comparing(words.story(policy=replace(DEFAULT_POLICY, break_glass=glass))).later(days=3)
    story.refuses(c.Advance(reason="the old model is down for all"), "Nobody wins early")
    story.when(c.Advance(reason="the old model is down for all"), by=cast["lee"])
    assert "by break-glass" in story.last[-1].skipped


def test_a_comparison_without_deciding_metrics_ends_as_it_always_did(running, words):
    bare = replace(AB, decide_on=(), min_samples=0)
    story = running(stages=(bare, *words.stages[2:])).later(days=14).tick(words.look())
    story.then(e.EvidenceRecorded, e.StageEntered)
