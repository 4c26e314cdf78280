"""What each scenario of the simulator leads to, at 2,000 requests a minute with 5 % on the canary."""

import itertools
from datetime import timedelta

import pytest

from bot.rendering.messages.alerts import rollback_alert
from core.rollout.state.events import EvidenceRecorded, TailsFrozen
from core.rollout.state.model import RolloutState

HARMS = {
    "quality-drop": "eval_pass_rate",
    "cost-doubles": "cost_per_request",
    "refusals": "refusal_rate",
    "slow-p95": "latency_p95",
    "new-error": "new_error_category",
    "one-language": "refusal_rate",
}


@pytest.mark.shows("E23", "E47", "E48", "E49", "E50")
@pytest.mark.parametrize(("scenario", "metric"), HARMS.items())
def test_harm_is_rolled_back_and_names_what_fired(story, scenario, metric):
    told = story(scenario, 20)
    assert told.rollout.state is RolloutState.ROLLED_BACK
    fired = told.rollout.rollback.findings[0].metric
    assert fired == metric
    assert told.rollout.rollback.version == "v42"
    assert told.service.load_world().surfaces["support-assistant"].live == "v42"


@pytest.mark.shows("E6", "E22")
def test_a_cost_that_doubles_is_told_with_what_it_comes_from(story):
    told = story("cost-doubles", 20)
    (found,) = told.rollout.evidence.causes
    assert (found.metrics, found.causes[0].factor) == (("cost_per_request",), "calls")
    assert sum(one.contribution for one in found.causes) == pytest.approx(found.difference)
    alert = rollback_alert.render(told.rollout, told.rollout.rollback, told.rollout.ended_at, None, "UTC")
    assert " because calls per request went from 1.3 to 2.5" in str(alert)


@pytest.mark.shows("E51")
def test_complaints_alone_hold_a_plan_that_sets_no_limit_on_them(story):
    told = story("complaints", 10)
    assert told.rollout.state is RolloutState.ON_HOLD
    assert told.rollout.hold.key.startswith("limit:complaint_rate:")


@pytest.mark.shows("E4")
def test_harm_in_one_language_that_the_total_hides_is_rolled_back_and_named(story):
    finding = story("one-language", 20).rollout.rollback.findings[0]
    assert finding.segment == "language=ja"
    assert finding.canary == pytest.approx(0.5, abs=0.25)


def test_large_costs_are_cut_at_a_value_that_the_log_holds(rehearse):
    story = rehearse("healthy").play(minutes=3)
    frozen = [r.event for r in story.service.load_history("R-1") if isinstance(r.event, TailsFrozen)]
    assert sum(("cost_per_request" in one.caps) for one in frozen) == 1
    assert 0.02 < story.rollout.caps["cost_per_request"] < 0.1


@pytest.mark.shows("E24")
def test_refusals_are_found_within_minutes_of_five_percent(story):
    rollback = story("refusals", 20).rollout.rollback
    taken = rollback.verdict_seconds
    assert timedelta(seconds=taken) <= timedelta(minutes=8)
    assert rollback.exposed_requests < 1000


def test_a_healthy_change_reaches_everyone_without_a_human(story):
    told = story("healthy", 40)
    assert told.rollout.state is RolloutState.DONE
    assert told.service.load_world().surfaces["support-assistant"].live == "v43"


@pytest.mark.shows("E12")
def test_every_evidence_event_follows_from_the_one_before(story):
    evidence = [
        r.event for r in story("healthy", 40).service.load_history("R-1") if isinstance(r.event, EvidenceRecorded)
    ]
    assert len(evidence) > 1
    for earlier, later in itertools.pairwise(evidence):
        assert later.state_before == earlier.state_after
        assert later.first_look == earlier.last_look + 1
