"""A run beside the current version's: which cases broke, what is new, what the suite and the costs did."""

from typing import Any

import pytest

from core.evals import compare_runs
from core.evals.eval_gate import GateFailed, GatePassed, evaluate_gate
from core.evals.eval_run import EvalCase, hash_dataset
from core.evals.repeats import FlakyCase, fold_repeats


def case(name: str, passed: bool = True, **more: Any) -> EvalCase:
    return EvalCase(**{"case": name, "category": "tone", "passed": passed, **more})


def many(count: int, passed: bool = True, prefix: str = "c", **more: Any) -> list[EvalCase]:
    return [case(f"{prefix}{n}", passed, **more) for n in range(count)]


# --- repeated runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "passes"), [((True, True, False), True), ((True, False), False), ((True, False, False), False)]
)
def test_a_case_passes_if_more_than_half_of_its_runs_do(runs: tuple[bool, ...], passes: bool) -> None:
    (folded,), flaky = fold_repeats([case("a", ok, repeat=n) for n, ok in enumerate(runs)])
    assert (folded.has_passed, folded.is_flaky) == (passes, True)
    assert flaky == (FlakyCase(case="a", passed=sum(runs), runs=len(runs)),)


def test_runs_that_agree_are_not_flaky_and_their_costs_are_averaged() -> None:
    (folded,), flaky = fold_repeats([case("a", repeat=0, cost=0.1), case("a", repeat=1, cost=0.3)])
    assert (folded.cost, folded.is_flaky, flaky) == (pytest.approx(0.2), False, ())
    (unknown,), _ = fold_repeats([case("a", repeat=0, cost=0.1), case("a", repeat=1)])
    assert unknown.cost is None


def test_a_run_that_could_not_be_judged_makes_a_case_that_does_not_pass_an_error() -> None:
    (folded,), _ = fold_repeats([case("a", repeat=0), case("a", False, repeat=1, error=True)])
    assert (folded.passed, folded.error) == (False, True)


def test_the_same_repeat_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        fold_repeats([case("a"), case("a")])


def test_one_failing_run_is_a_failure_where_nothing_may_newly_fail() -> None:
    (folded,), _ = fold_repeats([case("a", n != 1, repeat=n, category="privacy") for n in range(3)])
    outcome = evaluate_gate([folded], [case("a", category="privacy")], no_new_failures_in=("privacy",))
    assert isinstance(outcome, GateFailed)
    assert outcome.reasons == ("1 new failure in privacy: a (in some of its runs)",)
    was_flaky = case("a", category="privacy", is_flaky=True)
    assert isinstance(evaluate_gate([folded], [was_flaky], no_new_failures_in=("privacy",)), GatePassed)


# --- case by case -----------------------------------------------------------------------------------------------------


def test_the_same_rate_may_hide_cases_that_broke() -> None:
    new = [case("a", False), case("b"), *many(8)]
    current = [case("a"), case("b", False), *many(8)]
    found = compare_runs.compare_outcomes(new, current)
    assert found is not None
    assert (found.passed, found.current_passed, found.shared) == (9, 9, 10)
    assert (found.broke.cases, found.mended.cases, found.p_value) == (("a",), ("b",), 1.0)


def test_how_unlikely_the_split_is_by_chance() -> None:
    new = [*many(9, False, "x"), case("y"), *many(40)]
    current = [*many(9, True, "x"), case("y", False), *many(40)]
    found = compare_runs.compare_outcomes(new, current)
    assert found is not None
    assert found.p_value == pytest.approx(2 * 11 / 1024)  # 9 or 10 of 10 either way, by hand


def test_a_case_whose_input_changed_is_another_case() -> None:
    new, current = [case("a", False, content="2"), case("b")], [case("a", False, content="1"), case("b")]
    assert [old.case for _, old in compare_runs.pair_cases(new, current)] == ["b"]
    assert [c.case for c in compare_runs.find_new_failures(new, current)] == ["a"]  # the old failure excuses nothing
    change = compare_runs.find_suite_change(new, current)
    assert change is not None
    assert (change.rewritten.cases, change.added.count, change.removed.count) == (("a",), 0, 0)
    assert compare_runs.find_suite_change(new, [case("a", content="2"), case("b")]) is None


def test_what_a_suite_gained_and_lost_is_named() -> None:
    change = compare_runs.find_suite_change([case("a"), case("new")], [case("a"), case("gone")])
    assert change is not None
    assert (change.added.cases, change.removed.cases) == (("new",), ("gone",))


@pytest.mark.shows("E7")
def test_the_hash_of_a_suite_is_that_of_its_cases_and_not_of_its_outcomes() -> None:
    suite = hash_dataset([case("a"), case("b")])
    assert hash_dataset([case("b", False, cost=1.0), case("a", repeat=3)]) == suite
    assert hash_dataset([case("a"), case("b", category="safety")]) != suite
    assert hash_dataset([case("a"), case("b", content="x")]) != suite


def test_new_failures_are_grouped_by_category_however_it_is_spelt() -> None:
    new = [case("a", False, category="Privacy"), case("b", False, category="privacy."), case("c", False)]
    groups = compare_runs.group_new_failures(new, [case("c", False)])
    assert [(g.category, g.failures.cases) for g in groups] == [("Privacy", ("a", "b"))]


# --- the pass rate for certain ----------------------------------------------------------------------------------------


def test_the_lower_bound_decides_only_where_the_file_says_so() -> None:
    run = [*many(188), *many(12, False, "x")]
    assert isinstance(evaluate_gate(run, min_pass_rate=0.92), GatePassed)
    outcome = evaluate_gate(run, min_pass_rate=0.92, by_lower_bound=True)
    assert isinstance(outcome, GateFailed)
    assert outcome.reasons == (
        "188 of 200 cases passed (94.0 %), but with 95 % confidence only 89.7 % would, and 92 % are needed",
    )
    larger = [*many(1880), *many(120, False, "x")]
    assert isinstance(evaluate_gate(larger, min_pass_rate=0.92, by_lower_bound=True), GatePassed)


# --- cost and latency -------------------------------------------------------------------------------------------------


@pytest.mark.shows("E6", "E42", "E65")
def test_cost_and_latency_are_compared_over_the_cases_that_both_runs_have() -> None:
    new = [case(f"c{n}", cost=0.11, latency_ms=100.0 + n) for n in range(200)]
    current = [case(f"c{n}", cost=0.10, latency_ms=90.0 + n) for n in range(200)]
    found = {change.measure: change for change in compare_runs.compare_replays(new, current, max_cost_rise=0.25)}
    cost, slow = found["cost"], found["latency_p95"]
    assert (cost.rise, cost.allowed, cost.cases) == (pytest.approx(0.1), 0.25, 200)
    assert (cost.rise_low, cost.rise_high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert (slow.new.value, slow.current.value) == (289.0, 279.0)
    assert slow.new.low is not None
    assert slow.new.high is not None
    assert slow.new.low < slow.new.value < slow.new.high


def test_too_few_cases_leave_the_slow_end_open() -> None:
    new = [case(f"c{n}", latency_ms=100.0 + n) for n in range(20)]
    slow = {change.measure: change for change in compare_runs.compare_replays(new, new)}["latency_p95"]
    assert slow.new.high is None
    assert slow.rise == 0.0


def test_an_error_says_nothing_of_cost_or_latency() -> None:
    new = [case("a", latency_ms=100.0), case("b", False, error=True, latency_ms=1.0)]
    (typical, _) = compare_runs.compare_replays(new, [case("a", latency_ms=100.0), case("b", latency_ms=100.0)])
    assert (typical.cases, typical.rise) == (1, 0.0)
