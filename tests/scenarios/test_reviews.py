"""From traffic to a review, from the review to the baseline, from the baseline to the next plan."""

import pytest

from bot.rendering.answers import review_document
from core import review_sources
from core.files.foresight.known_traffic import recall_traffic
from core.reviews.draft import ExpectationOutcome
from core.rollout import commands as c
from core.rollout.context import Actor
from core.service import CommandRequest

LEE = Actor(id="slack:T1/U3", handle="@lee")
ANSWERS = {"numbers": "as expected", "unexpected": "no", "behaviour": "no", "cost": "yes, a little less"}


def submit(told, **changes):
    command = review_sources.complete_command(told.service, c.SubmitReview(**{**ANSWERS, **changes}), "R-1")
    request = CommandRequest(command=command, command_id="review", by=LEE, at=told.at, rollout="R-1")
    return told.service.handle(request)


def test_a_healthy_rollout_leaves_the_levels_of_its_new_version_as_the_baseline(story):
    told = story("healthy", 40)
    submit(told)
    baseline = told.service.load_world().surfaces["support-assistant"].live_baseline
    assert (baseline.rollout, baseline.version) == ("R-1", "v43")
    levels = baseline.levels_by_metric
    assert levels["refusal_rate"].level == pytest.approx(0.02, abs=0.01)
    assert levels["refusal_rate"].design_effect >= 1
    assert levels["cost_per_request"].spread > 0
    assert all(level.readings >= 200 for level in baseline.levels)
    assert {level.segment.partition("=")[0] for level in baseline.segments} == {"language", "plan"}
    assert baseline.daily_requests == pytest.approx(2000 * 60 * 24, rel=0.1)


def test_a_rollback_leaves_the_levels_of_the_version_that_is_live_again(story):
    told = story("refusals", 20)
    submit(told)
    baseline = told.service.load_world().surfaces["support-assistant"].live_baseline
    assert baseline.version == "v42"
    assert baseline.levels_by_metric["refusal_rate"].level < 0.03, "the control's, not the canary's"


def test_a_baseline_is_not_kept_against_the_will_of_its_reviewer(story):
    told = story("healthy", 40)
    submit(told, keeps_baseline=False)
    surface = told.service.load_world().surfaces["support-assistant"]
    assert surface.baseline is None
    assert recall_traffic(surface) is None


def test_a_baseline_no_longer_applies_once_another_version_is_live(story):
    told = story("healthy", 40)
    submit(told)
    back = CommandRequest(command=c.RollBack(), command_id="back", by=LEE, at=told.at, rollout="R-1")
    surface = told.service.handle(back).world.surfaces["support-assistant"]
    assert (surface.live, surface.live_baseline) == ("v42", None)


def test_complaints_are_counted_by_the_hour_of_the_week(story):
    told = story("healthy", 40)
    rollout = told.service.load_world().rollouts["R-1"]
    hours = review_sources.load_baseline(told.service, rollout).complaints_by_hour
    assert {one.hour for one in hours} <= {9}, "Monday from 09:00 UTC"


def test_the_draft_of_a_rollback_names_what_fired_and_reads_as_markdown(story):
    told = story("refusals", 20)
    draft = review_sources.load_draft(told.service, told.rollout)
    assert draft.is_rolled_back
    assert "refusal_rate" in {change.finding.metric for change in draft.unexpected if change.finding}
    assert draft.count_outcomes(ExpectationOutcome.NOT_STATED) > 5
    text = review_document.render_markdown(draft, "UTC")
    assert text.startswith("# Review of R-1 fix-first\n")
    assert "| Declined to answer |" in text
    assert "## 4. Is the cost where you expected it?" in text
