"""Rates without the errors of a judge, and whether a judge judges as before: against exact sums and simulation."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from core.shadow_eval import find_drift
from core.shadow_eval.known_error import measure_error
from core.stats.fixed_horizon.fixed_sample import exact_mcnemar
from core.stats.fixed_horizon.stratified import ItemCounts, compute_change_p
from core.stats.prevalence import KnownShare, correct_rate


@pytest.mark.parametrize(("broke", "mended"), [(7, 0), (5, 2), (1, 1), (0, 12)])
def test_two_rounds_are_mcnemars_test(broke: int, mended: int) -> None:
    items = [ItemCounts(seen=2, passed=1, late_seen=1, late_passed=late) for late in [0] * broke + [1] * mended]
    items += [ItemCounts(seen=2, passed=2, late_seen=1, late_passed=1)] * 30
    assert compute_change_p(items) == pytest.approx(exact_mcnemar(broke, mended))


def test_one_item_is_fishers_hypergeometric() -> None:
    found = compute_change_p([ItemCounts(seen=12, passed=7, late_seen=5, late_passed=1)])
    assert found == pytest.approx(2 * hypergeom(12, 7, 5).cdf(1))


def test_a_flip_that_stays_is_worth_more_with_each_round() -> None:
    before, after = {f"a{i}": True for i in range(40)}, {f"a{i}": i >= 5 for i in range(40)}
    found = [find_drift.compare_rounds([before, before, before, *[after] * late]).p for late in (1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1e-4


def test_the_parts_of_all_tests_add_up_to_less_than_one() -> None:
    many = 100_000
    spent = sum(find_drift.share_of_test(number) for number in range(1, many + 1))
    rest = 1 / (1.07 * np.log(many + 2))  # the integral over all that follow
    assert spent + rest < 1


def test_a_judge_that_never_moves_is_seldom_said_to_have_moved() -> None:
    chance = np.random.default_rng(11)
    rates = np.where(np.arange(40) < 30, 0.9, 0.15)
    alarms = 0
    for _ in range(60):
        rounds = [dict(enumerate(row)) for row in (chance.random((12, 40)) < rates)]
        named = [{f"a{i}": bool(passed) for i, passed in one.items()} for one in rounds]
        alarms += any(find_drift.compare_rounds(named[: n + 1]).is_moved(n) for n in range(1, 12))
    assert alarms <= 7, "at most 3 of 60 in the long run; more than 7 in one of a hundred such tests"


@pytest.mark.parametrize(
    ("true", "sensitivity", "specificity", "readings", "good", "bad"),
    [(0.92, 0.9, 0.85, 400, 30, 10), (0.92, 0.9, 0.85, 4000, 100, 50), (0.7, 0.9, 0.85, 400, 20, 20)],
)
def test_the_corrected_range_holds_the_truth(
    true: float, sensitivity: float, specificity: float, readings: int, good: int, bad: int
) -> None:
    chance = np.random.default_rng(1)
    raw = true * sensitivity + (1 - true) * (1 - specificity)
    held = 0
    for _ in range(1000):
        found = correct_rate(
            KnownShare(hits=chance.binomial(readings, raw), of=readings),
            KnownShare(hits=chance.binomial(good, sensitivity), of=good),
            KnownShare(hits=chance.binomial(bad, specificity), of=bad),
        )
        assert found is not None
        held += found.low <= true <= found.high
    assert held >= 930, "95 % in the long run"


def test_a_judge_no_better_than_chance_corrects_nothing() -> None:
    error = measure_error({"a": True, "b": False}, [{"a": True, "b": True}])
    assert error is not None
    assert error.is_no_better_than_chance
    assert error.correct(0.9, 400) is None


def test_an_anchor_counts_once_however_often_it_was_judged() -> None:
    labels = {"a": True, "b": True, "c": False}
    rounds = [{"a": True, "b": True, "c": False}, {"a": True, "b": False, "c": False}]
    error = measure_error(labels, rounds)
    assert error is not None
    assert (error.sensitivity.hits, error.sensitivity.of) == (1.5, 2)
    assert measure_error({"a": True}, rounds) is None, "without bad ones there is no specificity"


def test_a_judge_that_is_as_before_is_back_and_one_that_stays_moved_is_not() -> None:
    before, moved = {f"a{i}": i < 36 for i in range(40)}, {f"a{i}": i < 26 for i in range(40)}
    assert find_drift.is_back([before] * 3, [before] * 2)
    assert find_drift.is_back([before] * 3, [moved] * 4 + [before] * 2)
    assert not find_drift.is_back([before] * 3, [before])
    assert not any(find_drift.is_back([before] * 3, [moved] * many) for many in range(1, 8))


def test_a_judge_that_stays_moved_is_seldom_called_back_though_its_verdicts_vary() -> None:
    chance = np.random.default_rng(4)

    def draw(good: float, bad: float) -> dict[str, bool]:
        passed = chance.random(40) < np.where(np.arange(40) < 30, good, bad)
        return {f"a{anchor}": bool(one) for anchor, one in enumerate(passed)}

    called, seen = 0, 0
    while seen < 40:
        before, moved = [draw(0.9, 0.15) for _ in range(3)], draw(0.7, 0.05)
        if find_drift.compare_rounds([*before, moved]).is_moved(3):
            seen += 1
            since = [draw(0.7, 0.05) for _ in range(6)]
            called += any(find_drift.is_back(before, since[: many + 1]) for many in range(6))
    assert called <= 12, "a few of those whose move was found by a lucky round"
