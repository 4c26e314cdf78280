"""From traffic to a review, from the review to the baseline, from the baseline to the next plan."""

import pytest
from typer.testing import CliRunner

from bot.cli.root import app
from bot.commands import run_verb
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.rendering.documents import review_document
from bot.rendering.messages import card, event_lines
from core.files.foresight.known_traffic import recall_traffic
from core.report_sources import review_sources
from core.reviews.draft import ExpectationOutcome
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.state.events import Planned
from core.service import apply_file
from core.service.service import CommandRequest
from tests.rehearsal import DANA

NEXT = """\
version: 1
rollout: even-shorter
surface: support-assistant
owner: "@dana"
change:
  from: support-assistant@v43
  to: {prompt: "Give the fix. Nothing else."}
  why: "People liked the shorter answers."
behaviour_changes:
  - {audience: [support, marketing], text: "Answers are one sentence."}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 5pp}
  - {metric: refusal_rate, rises_by: 3pp}
notify:
  - {channel: "#ai-rollouts", as: engineering}
  - {channel: "#support", as: support, before: 24h}
  - {channel: "#marketing", as: marketing, before: 24h}
"""
LEE = Actor(id="slack:T1/U3", handle="@lee")
ANSWERS = {"numbers": "as expected", "unexpected": "no", "behaviour": "no", "cost": "yes, a little less"}


def submit(told, **changes):
    command = c.SubmitReview(**{**ANSWERS, **changes})
    request = CommandRequest(command=command, command_id="review", by=LEE, at=told.at, rollout="R-1")
    return told.service.handle(request)


@pytest.mark.shows("E82")
def test_a_healthy_rollout_leaves_the_levels_of_its_new_version_as_the_baseline(story):
    told = story("healthy", 40)
    submit(told)
    baseline = told.service.load_world().surfaces["support-assistant"].live_baseline
    assert (baseline.rollout, baseline.version) == ("R-1", "v43")
    levels = {level.metric: level for level in baseline.levels}
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
    refused = next(level for level in baseline.levels if level.metric == "refusal_rate")
    assert refused.level < 0.03, "the control's, not the canary's"


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
    hours = told.service.load_baseline(told.service.load_world(), rollout).complaints_by_hour
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


def apply_next(told, key="next"):
    return apply_file.apply_text(told.service, NEXT, "next.yaml", by=DANA, at=told.at, command_id=key)


@pytest.mark.shows("E82")
def test_the_next_plan_takes_its_sample_sizes_from_the_baseline_and_says_so(story, tmp_path, monkeypatch):
    """From traffic to a review, from the review to the baseline, from the baseline to the next plan: claim E82."""
    told = story("healthy", 40)
    submit(told)
    (tmp_path / "next.yaml").write_text(NEXT)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/story.db")
    shown = CliRunner().invoke(app, ["plan", str(tmp_path / "next.yaml")])
    assert shown.exit_code == 0, shown.output
    assert "Sample sizes, baseline from R-1: canary" in shown.output
    assert "levels of the baseline from R-1" in shown.output

    planned = apply_next(told).outcome.rollout
    size = next(stage.min_samples for stage in planned.plan.stages if stage.name == "canary")
    assert f"canary {size:,} requests" in shown.output
    assert size != 1500, "the template's own number"
    assert planned.baseline == "R-1"
    (event,) = [r.event for r in told.service.load_history("R-2") if isinstance(r.event, Planned)]
    assert "Sample sizes: baseline from R-1." in event_lines.format_line(planned, event, "UTC")
    assert "baseline from R-1" in str(card.render(planned, "UTC").blocks)


def test_a_file_that_is_applied_again_after_another_review_still_describes_its_plan(story):
    told = story("healthy", 40)
    apply_surface = told.service.load_world().surfaces["support-assistant"]
    assert apply_surface.baseline is None
    first = apply_next(told)
    submit(told)
    again = apply_next(told, "again")
    assert not again.changed
    assert again.outcome.rollout.fingerprint == first.outcome.rollout.fingerprint


def test_the_baseline_is_shown_with_the_limits_that_it_suggests(story):
    told = story("healthy", 40)
    context = CommandContext(service=told.service, by=LEE, at=told.at, command_id="look")
    assert "No baseline" in run_verb.execute(grammar.parse("baseline"), context).text
    submit(told)
    shown = run_verb.execute(grammar.parse("baseline support-assistant"), context)
    assert shown.text == "Baseline: Support assistant v43, from R-1."
    assert "rollback_when" not in str(shown.blocks)
    assert "{metric: eval_pass_rate, drops_by:" in str(shown.blocks)
    assert "baseline from R-1" in str(shown.blocks)
