"""Simulated rollouts without harm are rarely condemned: 500 runs of 300 looks, 1,000 in the long form."""

import numpy as np
import pytest

from bench.calibration import binomial, counted, decision, hashed, levels, margins
from bench.calibration.batches import batches
from bench.calibration.report import Result, heading
from bench.calibration.traffic import SCENARIOS
from bench.evidence import ratio_errors
from tests.trials.length import pick

pytestmark = pytest.mark.slow

RUNS, LOOKS, ALPHA = pick(500, 1000), 300, 0.05
MOST = binomial.most_alarms(ALPHA, RUNS, chance=0.001)  # of 1,000 runs 72: a true 5 % fails once in a thousand times
NAMED = {scenario.name: scenario for scenario in SCENARIOS}
COUNTED = [name for name, one in NAMED.items() if "exact" in one.kernels and not one.correlation]
HASHED = ["skewed cost", "ramp, drift .92 to .88", "ramp, incident in both arms"]


@pytest.mark.parametrize("name", COUNTED)
def test_the_exact_kernel_rarely_condemns_what_does_no_harm(name):
    chances = batches(RUNS, 250, 20261201)
    alarms = sum(counted.condemned(NAMED[name], runs=n, looks=LOOKS, chance=rng).sum() for n, rng in chances)
    assert alarms <= MOST


@pytest.mark.parametrize("name", HASHED)
def test_means_compared_within_stages_rarely_condemn_what_does_no_harm(name):
    assert alarms_of(name, ("means",))["means"] <= MOST


@pytest.mark.parametrize("name", ["users, ICC .5", "users, ICC .5, ramp"])
def test_requests_of_few_users_condemn_rarely_once_tempered_and_often_if_taken_as_independent(name):
    alarms = alarms_of(name, ("exact", "tempered", "means"))
    assert alarms["tempered"] <= MOST
    assert alarms["means"] <= MOST
    assert alarms["exact"] > MOST  # so that the simulation is known to see what tempering prevents


@pytest.mark.parametrize("name", ["scores of users", "costs, sparse canary", "ratio, heavy users"])
def test_levels_of_users_who_differ_rarely_condemn_what_does_no_harm(name):
    world, runs = next(one for one in levels.WORLDS if one.name == name), pick(200, 1000)
    parts = [
        levels.condemned(world, runs=n, looks=pick(100, 288), chance=rng) for n, rng in batches(runs, 100, 20261204)
    ]
    for kernel in levels.KERNELS:
        assert sum(part[kernel].sum() for part in parts) <= binomial.most_alarms(ALPHA, runs, chance=0.001)


@pytest.mark.parametrize("name", [one.name for one in levels.WORLDS if one.is_ratio])
def test_ranges_of_ratios_hold_the_truth_however_busy_a_few_users_are(name):
    world, runs = next(one for one in levels.WORLDS if one.name == name), pick(400, 2000)
    difference, _, _, widened = ratio_errors.measure_errors(world, runs)
    outside = (np.abs(difference / widened) > ratio_errors.NORMAL).sum()
    assert outside <= binomial.most_alarms(ALPHA, runs, chance=0.001)


@pytest.mark.parametrize("side", ["greater", "less"])
def test_on_a_margin_neither_clearing_nor_strict_harm_speaks_too_often(side):
    chances = batches(RUNS, 250, 20261202)
    alarms = sum(margins.crossed(side, runs=n, looks=LOOKS, chance=rng).sum() for n, rng in chances)
    assert alarms <= MOST


def test_eighty_eight_tests_together_keep_the_promise_of_one():
    runs = 200
    chances = batches(runs, 50, 20261203)
    alarms = sum(
        np.isfinite(decision.found(runs=n, looks=LOOKS, harmed_rate=None, chance=rng)[0]).sum() for n, rng in chances
    )
    assert alarms <= binomial.most_alarms(ALPHA, runs, chance=0.001)
    assert 0.9 < decision.weights().sum() <= 1


def test_a_limit_of_a_rate_is_that_of_clopper_and_pearson():
    assert binomial.upper_limit(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))  # no alarm: (1 - p)^n = 0.05
    assert binomial.upper_limit(10, 100) == pytest.approx(0.16372, abs=1e-5)  # R: binom.test(10, 100, alt = "less")
    assert binomial.upper_limit(7, 7) == 1.0


def test_a_result_is_met_only_when_its_upper_limit_is():
    assert Result(scenario="a", kernel="b", runs=4000, looks=9, alarms=170).met
    assert not Result(scenario="a", kernel="b", runs=4000, looks=9, alarms=190).met


def test_a_line_has_a_cell_for_every_heading():
    result = Result(scenario="a", kernel="b", runs=4000, looks=9, alarms=170)
    assert result.line() == "| a | b | 4,000 | 9 | 170 | 0.0425 | 0.0481 | <= 0.05 | yes |"
    assert {row.count("|") for row in (*heading().splitlines(), result.line())} == {10}


def alarms_of(name, kernels):
    total = dict.fromkeys(kernels, 0)
    for runs, chance in batches(RUNS, 100, 20261204):
        found = hashed.condemned(NAMED[name], kernels=kernels, runs=runs, looks=LOOKS, chance=chance)
        for kernel in kernels:
            total[kernel] += int(found[kernel].sum())
    return total
