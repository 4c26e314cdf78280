"""The gate before anybody is exposed."""

import pytest

from core.judging.eval_gate import Counts, EvalCase, Failed, Passed, gate


def run(passed, failed=0, errors=0, category="tone"):
    outcomes = [(True, False)] * passed + [(False, False)] * failed + [(False, True)] * errors
    return [EvalCase(case=f"{category}-{i}", category=category, passed=p, error=e) for i, (p, e) in enumerate(outcomes)]


def test_91_9_percent_is_not_92():
    outcome = gate(run(919, 81), min_pass_rate=0.92)
    assert isinstance(outcome, Failed)
    assert outcome.reasons == ("919 of 1000 cases passed (91.9 %), 92 % are needed",)
    assert outcome.counts == Counts(total=1000, passed=919, failed=81, errors=0)
    assert len(outcome.case_ids) == 81
    assert isinstance(gate(run(920, 80), min_pass_rate=0.92), Passed)


def test_a_rate_is_shown_rounded_down():
    assert "(91.9 %)" in gate(run(9199, 801), min_pass_rate=0.92).reasons[0]


def test_errors_count_as_failures_and_are_named():
    outcome = gate(run(91, 4, 5), min_pass_rate=0.92)
    assert outcome.reasons[0].endswith("5 could not be judged and count as failed")
    assert outcome.counts.errors == 5
    claimed = [EvalCase(case="a", category="tone", passed=True, error=True)]
    assert isinstance(gate(claimed, min_pass_rate=0.5), Failed)


def test_one_new_failure_in_a_named_category_blocks():
    now = [*run(99, category="tone"), EvalCase(case="privacy-7", category="privacy", passed=False)]
    before = [*run(99, category="tone"), EvalCase(case="privacy-7", category="privacy", passed=True)]
    outcome = gate(now, before, min_pass_rate=0.9, no_new_failures_in=("privacy",))
    assert outcome.reasons == ("1 new failure in privacy: privacy-7",)
    assert outcome.case_ids == ("privacy-7",)
    assert isinstance(gate(now, now, no_new_failures_in=("privacy",)), Passed)  # it failed before, too
    assert isinstance(gate(now, before, no_new_failures_in=("self-harm",)), Passed)
    assert isinstance(gate(now, before, no_new_failures_in="all"), Failed)


def test_without_results_for_the_current_version_any_failure_there_blocks():
    outcome = gate(run(9, 1, category="privacy"), None, no_new_failures_in=("privacy",))
    assert "no results for the current version" in outcome.reasons[0]


def test_a_version_that_passes_less_than_the_current_one():
    outcome = gate(run(93, 7), run(95, 5), min_pass_rate=0.9, compare_to_current=True)
    assert outcome.reasons == ("93.0 % passed, the current version passes 95.0 %",)
    assert outcome.case_ids == ("tone-93", "tone-94")
    assert isinstance(gate(run(95, 5), run(95, 5), compare_to_current=True), Passed)
    assert isinstance(gate(run(95, 5), None, compare_to_current=True), Failed)


def test_an_empty_run_never_passes():
    assert gate([], min_pass_rate=0.5) == Failed(
        reasons=("the run holds no cases",), case_ids=(), counts=Counts(total=0, passed=0, failed=0, errors=0)
    )


def test_a_case_named_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        gate([*run(1), *run(1)])
