"""The draft of a review: each metric against its expectation, cost per month, and what nobody had foreseen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.rendering.markup import PLAIN
from bot.rendering.numbers.reports import review_words
from core.reviews.draft import ExpectationOutcome, draft_review
from core.rollout.plans.plan import Expectation
from core.rollout.state import events as e
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from tests.rollout.conftest import finding_of, measure_of, plan_of, surface_of

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def evidence(number, *measures, canary=500, control=9500, notes=(), segments=()):
    from core.judging.model.verdict import Continue

    return e.EvidenceRecorded(
        number=number,
        reason="step",
        verdict=Continue(),
        measures=measures,
        canary_requests=canary,
        control_requests=control,
        canary_units=canary // 2,
        control_units=control // 2,
        first_look=1,
        last_look=2,
        state_before="",
        looks="",
        state_after="",
        notes=notes,
        segments=segments,
    )


def measured(metric, **changes):
    usual = {"canary": 0.0121, "control": 0.0139, "difference": -0.129, "n_canary": 500, "n_control": 9500}
    return replace(measure_of(metric), **{**usual, **changes})


def drafted(*events, plan=None, surface=None, end=None):
    agreed = plan or plan_of()
    planned = e.Planned(
        rollout="R-1", plan=agreed, fingerprint="f", from_content={}, to_content={"prompt": "new.md"}, by="U2"
    )
    begun = (planned, e.Started(fingerprint="f", by="U2"), e.StageEntered(index=0, name="canary", percent=5))
    ended = (end or e.Completed(version="v43", retired="v42"), e.ReviewRequested(due_at=MONDAY + timedelta(days=9)))
    rollout, entries = None, []
    for i, event in enumerate((*begun, *events, *ended)):
        at = MONDAY + timedelta(hours=i)
        rollout = evolve(rollout, event, at)
        entries.append(HistoryEntry(position=i + 1, at=at, actor="system:engine", event=event))
    return draft_review(rollout, entries, surface or surface_of())


def rolled_back(*findings):
    return e.RolledBack(
        by="system:engine",
        reason=findings[0].limit_text if findings else "rises by 15 %",
        findings=findings,
        version="v42",
        after_done=False,
        verdict_seconds=1.0,
        judged_seconds=0.1,
        exposed_requests=500,
        exposed_units=400,
    )


@pytest.mark.shows("E81")
@pytest.mark.parametrize(
    ("judged", "outcome"),
    [
        ("as expected", ExpectationOutcome.MET),
        ("not as expected", ExpectationOutcome.MISSED),
        ("not shown yet", ExpectationOutcome.NOT_SHOWN),
    ],
)
def test_an_expectation_is_met_missed_or_not_shown(judged, outcome):
    plan = plan_of(expectations=(Expectation(metric="cost_per_request", direction="down"),))
    draft = drafted(evidence(1, measured("cost_per_request", expected=judged)), plan=plan)
    assert [(row.metric, row.outcome) for row in draft.rows] == [("cost_per_request", outcome)]


def test_what_was_expected_and_never_measured_is_not_shown():
    plan = plan_of(expectations=(Expectation(metric="cost_per_request", direction="down"),))
    (row,) = drafted(plan=plan).rows
    assert (row.final, row.outcome) == (None, ExpectationOutcome.NOT_SHOWN)


def test_other_metrics_have_no_expectation_stated():
    (row,) = drafted(evidence(1, measured("retry_rate"))).rows
    assert row.outcome is ExpectationOutcome.NOT_STATED


def test_the_last_row_with_both_versions_counts_not_a_later_one_against_the_past():
    both = measured("cost_per_request", canary=0.010)
    alone = measured("cost_per_request", canary=0.020, weaker=True, n_control=0)
    (row,) = drafted(evidence(1, both), evidence(2, alone)).rows
    assert (row.final.evidence, row.final.measure.canary) == (1, 0.010)


@pytest.mark.shows("E81")
def test_the_cost_of_a_month_is_at_the_traffic_of_the_surface():
    draft = drafted(evidence(1, measured("cost_per_request")), surface=surface_of(daily_requests=100_000))
    assert draft.cost.per_month == pytest.approx((0.0121 - 0.0139) * 100_000 * 30)
    *_, cost_question = review_words.list_questions(draft, PLAIN, "UTC")
    assert "Saves about $5,400 a month at 100,000 requests a day." in str(cost_question)


def test_a_review_says_from_where_on_it_cuts_values_off_that_a_rollback_told_in_full():
    draft = drafted(evidence(1, measured("cost_per_request", unit="US$", relative=True)))
    found = finding_of("cost_per_request")
    back = rolled_back(found)
    capped = replace(draft, rollout=replace(draft.rollout, caps={"cost_per_request": 0.0464}))
    for told, said in ((capped, False), (replace(capped, rollout=replace(capped.rollout, rollback=back)), True)):
        *_, cost_question = review_words.list_questions(told, PLAIN, "UTC")
        assert (", values above $0.0464 count as that" in str(cost_question)) is said


def test_the_cost_of_what_was_rolled_back_is_told_as_what_did_not_happen():
    back = rolled_back()
    dearer = measured("cost_per_request", canary=0.0139, control=0.0121, difference=0.15)
    draft = drafted(evidence(1, dearer), surface=surface_of(daily_requests=100_000), end=back)
    *_, cost_question = review_words.list_questions(draft, PLAIN, "UTC")
    said = "With everyone on it, it would have cost about $5,400 more a month at 100,000 requests a day."
    assert said in str(cost_question)


def test_a_range_wider_than_the_limit_either_way_is_no_amount_of_money():
    cost = measured("cost_per_request", difference=0.0, low=-0.24, high=0.23, relative=True, amount=0.15)
    draft = drafted(evidence(1, cost), surface=surface_of(daily_requests=100_000))
    *_, cost_question = review_words.list_questions(draft, PLAIN, "UTC")
    assert cost_question.lines[-2:] == (
        "cost_per_request: 1.2 % new vs 1.4 % old; too few requests to tell a difference",
        "500 requests with a known cost are too few to tell whether the cost per month changes.",
    )


def test_what_could_not_be_judged_is_no_difference_either():
    few = measured("conversation_turns", word="Not enough data", difference=-0.12, low=None, high=None, relative=True)
    assert "; too few requests to tell a difference" in _behaviour(few)
    cost = measured("cost_per_request", word="Not enough data", low=None, high=None)
    draft = drafted(evidence(1, cost), surface=surface_of(daily_requests=100_000))
    assert "too few to tell whether the cost per month changes" in str(review_words.list_questions(draft, PLAIN, "UTC"))


def test_numbers_of_an_earlier_stage_say_of_which():
    clicks = measured("suggestion_ctr", low=-0.2, high=0.1)
    entered = e.StageEntered(index=1, name="ramp 25%", percent=25)
    past = measured("suggestion_ctr", canary=0.5, weaker=True, n_control=0)
    draft = drafted(evidence(1, clicks), entered, evidence(2, past, control=0))
    _, _, behaviour, _ = review_words.list_questions(draft, PLAIN, "UTC")
    assert behaviour.lines[0] == "Measured at small test 5 %, while both versions ran:"
    same = drafted(evidence(1, clicks))
    assert "Measured at" not in str(review_words.list_questions(same, PLAIN, "UTC"))


def test_what_was_open_or_noted_while_both_versions_ran_is_not_forgotten():
    kinds = measured("new_error_category", word="No data", limit_text="rate above 3 %", canary=None)
    note = replace(
        finding_of("latency_p50"), note="better than expected: check for leakage, truncation or a filter that is off"
    )
    draft = drafted(evidence(1, kinds, notes=(note,)), evidence(2, kinds, control=0))
    questions = review_words.list_questions(draft, PLAIN, "UTC")
    (said,) = [asked.lines for asked in questions if asked.name == "unexpected"]
    assert said[0].endswith(
        "; unusually much better: the owner should check for leakage, truncation or a filter that is off"
    )
    assert said[1] == "Could not be judged: new_error_category."


def test_customers_of_another_segment_may_be_those_for_whom_it_was_rolled_back():
    hit = replace(finding_of("refusal_rate"), segment="language=ja")
    back = rolled_back(hit)
    paid = measured("refusal_rate", segment="plan=paid", difference=0.07, low=0.01, high=0.2)
    draft = drafted(evidence(1, segments=(paid,)), end=back)
    questions = review_words.list_questions(draft, PLAIN, "UTC")
    (said,) = [asked.lines for asked in questions if asked.name == "unexpected"]
    assert said == (
        "refusal_rate: +7.0 pp (+1.0 … +20.0), where plan is paid; these may be the same customers as where "
        "language is ja",
    )


def test_a_cost_that_was_not_shown_to_change_has_ends_on_both_sides():
    cost = measured("cost_per_request", difference=-0.03, low=-0.20, high=0.13, relative=True)
    draft = drafted(evidence(1, cost), surface=surface_of(daily_requests=100_000))
    requests = 100_000 * 30
    assert (draft.cost.least, draft.cost.most) == pytest.approx((-0.20 * 0.0139 * requests, 0.13 * 0.0139 * requests))
    *_, cost_question = review_words.list_questions(draft, PLAIN, "UTC")
    assert (
        "No change shown; it could be anything between -$8,300 and +$5,400 a month at 100,000 requests a day."
        in str(cost_question)
    )


def test_a_few_complaints_are_counted_and_many_are_a_rate():
    few = measured(
        "complaint_rate", canary=0.002, control=0.001, difference=1.0, relative=True, unit="per 1,000 requests"
    )
    assert "complaint_rate: 1 in 500 requests (new) vs 10 in 9,500 (old)" in _behaviour(few)
    many = replace(few, canary=0.04, control=0.02)
    assert "complaint_rate: 40.00 per 1,000 new vs 20.00 per 1,000 old (+100.0 %)" in _behaviour(many)


def _behaviour(measure):
    _, _, behaviour, _ = review_words.list_questions(drafted(evidence(1, measure)), PLAIN, "UTC")
    return str(behaviour)


def test_without_a_stated_traffic_it_is_the_pace_of_the_rollout():
    """10,000 requests in the hour between the canary's beginning and its evidence."""
    draft = drafted(evidence(1, measured("cost_per_request")))
    assert draft.cost.daily_requests == 240_000
    assert draft.cost.pace_from == "the pace of R-1"


@pytest.mark.shows("E81")
def test_what_got_worse_what_stands_out_and_every_hold_is_unexpected():
    worse = measured("retry_rate", word="Worse")
    cut = measured("retry_rate", segment="language=de", difference=0.03, low=0.01, high=0.05)
    noise = measured("retry_rate", segment="language=tr", difference=0.03, low=-0.04, high=0.1)
    held = e.Held(key="limit:retry_rate:rises_by", text="people ask again")
    draft = drafted(held, evidence(1, worse, notes=(finding_of("accept_rate"),), segments=(cut, noise)))
    found = [(one.finding.metric, one.finding.segment) if one.finding else one.text for one in draft.unexpected]
    assert found == [("retry_rate", ""), ("accept_rate", ""), ("retry_rate", "language=de"), "people ask again"]


def test_what_got_worse_beside_none_at_all_is_told_in_cases():
    worse = replace(
        measured("complaint_rate", word="Worse", difference=None, low=None, high=None),
        title="Complaints (support)",
        unit="per 1,000 requests",
        canary=4 / 494,
        control=0.0,
        n_canary=494,
        n_control=1528,
    )
    questions = review_words.list_questions(drafted(evidence(1, worse)), PLAIN, "UTC")
    (said,) = [asked.lines for asked in questions if asked.name == "unexpected"]
    assert said == ("Complaints (support): 4 in 494 requests (new) vs 0 in 1,528 (old)",)


def test_colleagues_who_doubted_it_are_counted():
    felt = [e.FeltOff(by=f"slack:T1/U{n}", handle="@x", text="curt") for n in (7, 8)]
    worried = e.ConcernRaised(notice="support:#support", by="slack:T1/U9", handle="@kim", text="too short")
    complaints = drafted(*felt, worried).complaints
    assert (complaints.felt_off, complaints.concerns) == (2, 1)
