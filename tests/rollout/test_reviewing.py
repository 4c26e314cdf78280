"""The review: asked for when a rollout ends, answered by a person, asked for again if it is taken back later."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.rollout import commands as c
from core.rollout.consequences import surface_events_for
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.notifications.rollout_announcements import announce
from core.rollout.plans.baseline import BaselineLevel, SurfaceBaseline
from core.rollout.state import events as e
from core.rollout.state.surface import BaselineRecorded

ANSWERS = c.SubmitReview(numbers="cheaper", unexpected="no", behaviour="no", cost="yes")


def test_a_rollback_asks_for_a_review_within_two_days(running):
    story = running().when(c.RollBack()).then(e.RolledBack, e.ReviewRequested)
    assert story.last[1].due_at == story.at + timedelta(days=2)
    assert story.now.needs_review


def test_a_finished_rollout_asks_for_a_review(running, words):
    story = running()
    for _ in range(4):
        story.later(hours=48).tick(words.look())
    story.then(e.EvidenceRecorded, e.Completed, e.ReviewRequested)
    assert story.now.needs_review


def test_a_plan_that_is_given_up_needs_none(planned):
    story = planned().when(c.Abandon(reason="not needed"))
    assert not any(isinstance(event, e.ReviewRequested) for event in story.last)
    story.refuses(ANSWERS, "given up before its start")


def test_nothing_is_reviewed_before_the_end(running):
    running().refuses(ANSWERS, "has not ended")


@pytest.mark.parametrize("left_out", ["numbers", "unexpected", "behaviour", "cost"])
def test_each_of_the_four_questions_needs_an_answer(running, left_out):
    given = {name: "yes" for name in ("numbers", "unexpected", "behaviour", "cost") if name != left_out}
    running().when(c.RollBack()).refuses(c.SubmitReview(**given), "Without an answer")


def test_the_same_review_twice_is_one(running):
    story = running().when(c.RollBack()).when(ANSWERS).then(e.ReviewSubmitted)
    assert not story.now.needs_review
    story.when(ANSWERS).then()
    story.when(c.SubmitReview(numbers="dearer", unexpected="no", behaviour="no", cost="no")).then(e.ReviewSubmitted)
    assert story.now.review.numbers == "dearer"


def test_what_is_rolled_back_after_its_review_is_reviewed_again(running, words):
    story = running()
    for _ in range(4):
        story.later(hours=48).tick(words.look())
    story.when(ANSWERS).when(c.RollBack(reason="late complaint"))
    assert story.now.needs_review


def test_the_owner_is_reminded_after_two_five_and_ten_days(running):
    story = running()
    before = story.now
    story.when(c.RollBack())
    told = announce(story.last[1], 42, before, story.now)
    reminders = [one for one in told if one.kind is AnnouncementKind.REVIEW_REMINDER]
    assert [one.due_at - story.at for one in reminders] == [timedelta(days=days) for days in (2, 5, 10)]
    assert len({one.key for one in reminders}) == 3


def test_only_a_review_that_keeps_it_records_a_baseline(running):
    level = BaselineLevel(metric="refusal_rate", level=0.02, spread=0.0, share=1.0, design_effect=1.0, readings=9000)
    story = running().when(c.RollBack())
    measured = SurfaceBaseline(rollout="R-1", version="v42", until=story.at, daily_requests=None, levels=(level,))
    story.when(replace(ANSWERS, baseline=measured))
    submitted = story.last[0]
    assert surface_events_for(submitted, "R-1", story.at, measured) == (
        BaselineRecorded(baseline=measured, by=submitted.by),
    )
    story.when(replace(ANSWERS, baseline=measured, keeps_baseline=False))
    assert surface_events_for(story.last[0], "R-1", story.at, measured) == ()


def test_a_review_claims_no_baseline_where_too_little_was_measured(running):
    story = running().when(c.RollBack()).when(ANSWERS)
    assert not story.now.review.keeps_baseline


def test_where_the_glass_was_broken_the_review_is_due_when_the_policy_says(running):
    story = running()
    early = story.at + timedelta(hours=30)
    broken = e.GlassBroken(by="slack:T1/U5", reason="down", action="advance", passed_over=(), review_due=early)
    story.happen(broken).later(hours=6).when(c.RollBack())
    assert story.now.review_due == early
