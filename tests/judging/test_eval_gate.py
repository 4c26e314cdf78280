"""The gate before anybody is exposed."""

import pytest

from core.evals.eval_gate import GateFailed, GatePassed, OutcomeCounts, evaluate_gate
from core.evals.eval_run import EvalCase


def run(passed, failed=0, errors=0, category="tone"):
    outcomes = [(True, False)] * passed + [(False, False)] * failed + [(False, True)] * errors
    return [EvalCase(case=f"{category}-{i}", category=category, passed=p, error=e) for i, (p, e) in enumerate(outcomes)]


@pytest.mark.shows("E8")
def test_91_9_percent_is_not_92():
    outcome = evaluate_gate(run(919, 81), min_pass_rate=0.92)
    assert isinstance(outcome, GateFailed)
    assert outcome.reasons == ("919 of 1000 cases passed (91.9 %), 92 % are needed",)
    assert outcome.counts == OutcomeCounts(total=1000, passed=919, failed=81, errors=0)
    assert len(outcome.case_ids) == 81
    assert isinstance(evaluate_gate(run(920, 80), min_pass_rate=0.92), GatePassed)


def test_a_rate_is_shown_rounded_down():
    assert "(91.9 %)" in evaluate_gate(run(9199, 801), min_pass_rate=0.92).reasons[0]


def test_errors_count_as_failures_and_are_named():
    outcome = evaluate_gate(run(91, 4, 5), min_pass_rate=0.92)
    assert outcome.reasons[0].endswith("5 could not be judged and count as failed")
    assert outcome.counts.errors == 5
    claimed = [EvalCase(case="a", category="tone", passed=True, error=True)]
    assert isinstance(evaluate_gate(claimed, min_pass_rate=0.5), GateFailed)


@pytest.mark.shows("E9")
def test_one_new_failure_in_a_named_category_blocks():
    now = [*run(99, category="tone"), EvalCase(case="privacy-7", category="privacy", passed=False)]
    before = [*run(99, category="tone"), EvalCase(case="privacy-7", category="privacy", passed=True)]
    outcome = evaluate_gate(now, before, min_pass_rate=0.9, no_new_failures_in=("privacy",))
    assert outcome.reasons == ("1 new failure in privacy: privacy-7",)
    assert outcome.case_ids == ("privacy-7",)
    assert isinstance(evaluate_gate(now, now, no_new_failures_in=("privacy",)), GatePassed)  # it failed before, too
    assert isinstance(evaluate_gate(now, before, no_new_failures_in=("tone",)), GatePassed)
    assert isinstance(evaluate_gate(now, before, no_new_failures_in="all"), GateFailed)


def test_without_results_for_the_current_version_any_failure_there_blocks():
    outcome = evaluate_gate(run(9, 1, category="privacy"), None, no_new_failures_in=("privacy",))
    assert "no results for the current version" in outcome.reasons[0]


def test_a_version_that_passes_less_than_the_current_one():
    outcome = evaluate_gate(run(93, 7), run(95, 5), min_pass_rate=0.9, compare_to_current=True)
    assert outcome.reasons == ("93.0 % passed, the current version passes 95.0 %",)
    assert outcome.case_ids == ("tone-93", "tone-94")
    assert isinstance(evaluate_gate(run(95, 5), run(95, 5), compare_to_current=True), GatePassed)
    assert isinstance(evaluate_gate(run(95, 5), None, compare_to_current=True), GateFailed)


def test_an_empty_run_never_passes():
    assert evaluate_gate([], min_pass_rate=0.5) == GateFailed(
        reasons=("the run holds no cases",), case_ids=(), counts=OutcomeCounts(total=0, passed=0, failed=0, errors=0)
    )


def test_a_case_named_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        evaluate_gate([*run(1), *run(1)])


def case(name, *, ok=True, category="tone", cost=None, latency=None):
    return EvalCase(case=name, category=category, passed=ok, cost=cost, latency_ms=latency)


def test_a_category_without_a_case_has_shown_nothing():
    outcome = evaluate_gate(run(20), no_new_failures_in=("safety", "tone"))
    assert outcome.reasons == ('no case is in "safety"; the categories of this run are tone',)


@pytest.mark.parametrize("written", ["Safety", "SAFETY", " safety ", "safety.", "“safety”", "(Safety)"])
def test_a_category_is_the_same_in_other_letters(written):
    outcome = evaluate_gate([case("a", ok=False, category=written), case("b")], no_new_failures_in=("safety",))
    assert outcome.case_ids == ("a",)


def test_a_category_is_the_same_however_its_letters_are_composed():
    decomposed = "Qualite\u0301"
    assert evaluate_gate([case("a", ok=False, category=decomposed)], no_new_failures_in=("Qualité",)).case_ids == ("a",)


@pytest.mark.parametrize(
    ("rate", "least"), [(0.5, 2), (0.75, 4), (0.9, 10), (0.92, 13), (0.95, 20), (0.99, 20), (1, 20)]
)
def test_a_rate_needs_cases_enough_for_one_failure_to_be_within_it(rate, least):
    assert isinstance(evaluate_gate(run(least), min_pass_rate=rate), GatePassed)
    assert f"at least {least} are needed" in evaluate_gate(run(least - 1), min_pass_rate=rate).reasons[0]


def test_cases_of_the_current_run_that_are_missing_are_named():
    before, now = run(100), run(10)
    outcome = evaluate_gate(now, before, compare_to_current=True)
    (reason,) = outcome.reasons
    assert reason.startswith("90 of 100 cases of the current version's run are missing: tone-10, tone-11, ")
    assert reason.endswith(" and 85 more")
    others = [case(f"other-{i}") for i in range(10)]
    assert "100 of 100 cases" in evaluate_gate(others, before, compare_to_current=True).reasons[0]


def test_a_case_that_is_left_out_hides_no_failure_of_its_category():
    before = [case("p-1", category="privacy"), case("p-2", category="privacy"), case("t-1")]
    outcome = evaluate_gate([case("p-1", category="privacy")], before, no_new_failures_in=("privacy",))
    assert outcome.reasons == ("1 of 2 cases of the current version's run are missing: p-2",)


def test_rates_are_compared_over_the_cases_of_both_runs():
    before = run(8, 2)
    easier = [*run(7, 3), *(case(f"easy-{i}") for i in range(90))]
    outcome = evaluate_gate(easier, before, compare_to_current=True)
    assert outcome.reasons == ("70.0 % of the 10 cases of both runs passed, the current version passes 80.0 %",)


def test_cost_is_compared_over_the_cases_of_both_runs():
    before = [case("a", cost=1.0), case("b", cost=1.0)]
    now = [case("a", cost=2.0), case("b", cost=2.0), *(case(f"cheap-{i}", cost=0.01) for i in range(50))]
    assert evaluate_gate(now, before, max_cost_rise=0.25).reasons == ("cost rises by +100.0%, at most +25% is allowed",)


def test_cost_of_ten_other_cases_shows_nothing():
    before = [case(f"a-{i}", cost=1.0) for i in range(10)]
    outcome = evaluate_gate([case(f"b-{i}", cost=1.0) for i in range(10)], before, max_cost_rise=0.25)
    assert "10 of 10 cases" in outcome.reasons[0]
    assert outcome.reasons[1].startswith("cost cannot be compared")


@pytest.mark.parametrize(("slowest", "ok"), [(1200, True), (1210, False)])
def test_the_slowest_twentieth_may_rise_up_to_the_limit(slowest, ok):
    before = [case(f"{i}", latency=1000.0) for i in range(20)]
    now = [case(f"{i}", latency=float(slowest) if i < 2 else 900.0) for i in range(20)]
    outcome = evaluate_gate(now, before, max_p95_rise=0.2)
    assert isinstance(outcome, GatePassed) is ok
    assert ok or outcome.reasons == ("p95 latency rises by +21.0%, at most +20% is allowed",)


def test_latency_that_is_missing_in_one_case_is_not_fine():
    before = [case("a", latency=1.0), case("b", latency=1.0)]
    outcome = evaluate_gate([case("a", latency=1.0), case("b")], before, max_p95_rise=0.2)
    assert outcome.reasons[0].startswith("p95 latency cannot be compared")
