"""Simulated requests have the rates, amounts, people and clustering that were asked for, the same ones in both arms."""

from dataclasses import replace

import numpy as np
import pytest

from core.judging.model.evidence import CANARY, CONTROL, REQUESTS, CellKey
from core.metrics.catalogue import CATALOGUE
from core.metrics.typical_levels import TYPICAL, MetricLevel
from core.simulation.harm import SimulatedHarm
from core.simulation.population import COHORT_SHARE, draw_population
from core.simulation.tally import Tally
from core.simulation.traffic import SyntheticTraffic
from core.stats import quantile
from core.stats.clustering import design_effect

METRICS = ("refusal_rate", "eval_pass_rate", "cost_per_request", "latency_p95", "complaint_rate", "hard_error_rate")


@pytest.fixture
def served(known, canary):
    """The tally after some days of a stage."""

    def serve(*, days=5.0, harm=None, icc=0.02, seed=1, stage=None, control="concurrent", cuts=(), **pace):
        chance = np.random.default_rng(seed)
        here = replace(known, **{"levels": {**TYPICAL, "complaint_rate": MetricLevel(level=0.01)}, **pace})
        population = draw_population(here.daily_requests, cuts, chance)
        traffic = SyntheticTraffic(here, [CATALOGUE[key] for key in METRICS], population, harm, chance, icc)
        tally = Tally(population.profiles, {"latency_p95": (4000.0,)})
        traffic.enter_stage(0, stage or canary(), control)
        for _ in range(10):
            traffic.add_arrivals(tally, days / 10)
        return tally.sums

    return serve


def of(sums, arm, metric, segment=""):
    """(weight, value) in all."""
    cell = sums.cells[CellKey(stage=0, arm=arm, segment=segment, metric=metric)]
    return float(cell.weight.sum()), float(cell.value.sum())


def level(sums, arm, metric):
    weight, value = of(sums, arm, metric)
    return value / weight


@pytest.mark.parametrize("arm", [CANARY, CONTROL])
def test_both_arms_have_the_levels_that_are_known(served, arm):
    sums = served(icc=0.0)
    requests = of(sums, arm, REQUESTS)[0]
    assert requests == pytest.approx({CANARY: 20_000, CONTROL: 80_000}[arm], rel=0.06)  # 20 % of 20,000 a day
    assert level(sums, arm, "refusal_rate") == pytest.approx(0.02, rel=0.2)
    assert of(sums, arm, "eval_pass_rate")[0] == pytest.approx(requests / 4, rel=0.06)  # a quarter is judged
    assert level(sums, arm, "eval_pass_rate") == pytest.approx(0.92, abs=0.012)
    assert level(sums, arm, "cost_per_request") == pytest.approx(0.014, rel=0.04)
    assert of(sums, arm, "complaint_rate")[1] == pytest.approx(requests * 0.01, rel=0.2)
    histogram = sums.histograms[CellKey(stage=0, arm=arm, segment="", metric="latency_p95")]
    assert quantile.estimate_quantile(histogram, 0.95) == pytest.approx(2700, rel=0.05)
    # above 4,000 ms: z = 1.645 + ln(4000/2700)/0.5 = 2.431, so 0.75 %
    assert level(sums, arm, "latency_p95>4000") == pytest.approx(0.0075, rel=0.25)


def test_harm_is_the_canarys_alone(served):
    sums = served(harm=SimulatedHarm(metric="refusal_rate", text="", shift=0.06))
    assert level(sums, CANARY, "refusal_rate") == pytest.approx(0.08, rel=0.1)
    assert level(sums, CONTROL, "refusal_rate") == pytest.approx(0.02, rel=0.15)
    dear = served(harm=SimulatedHarm(metric="cost_per_request", text="", ratio=1.5))
    assert level(dear, CANARY, "cost_per_request") == pytest.approx(0.021, rel=0.05)


def test_places_with_few_users_are_not_dearer(served):
    """Users differ much here, and a place of the canary has a tenth of the users of a place of control."""
    ratios = []
    for seed in range(8):
        sums = served(icc=0.3, seed=seed, levels={**TYPICAL, "cost_per_request": MetricLevel(level=1.0, spread=0.8)})
        ratios.append(level(sums, CANARY, "cost_per_request") / level(sums, CONTROL, "cost_per_request"))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.02)


def test_requests_of_a_user_are_as_alike_as_asked(served):
    alone, alike = (
        design_effect(np.stack([cell.weight, cell.value], axis=-1)[None])
        for cell in (
            served(icc=icc).cells[CellKey(stage=0, arm=CONTROL, segment="", metric="refusal_rate")]
            for icc in (0.0, 0.3)
        )
    )
    assert alone < 1.3
    # an exponential law of 15 requests each: 1 + 2 * 15 * 0.3 = 10
    assert 6 < alike < 16


def test_distinct_users_come_as_often_as_their_law_says(served):
    sums = served()
    people = 20_000 / 3
    seen = 1 - 1 / (1 + 15)  # fifteen requests each, by an exponential law
    assert sums.first_exposures[0, CANARY] == pytest.approx(people * 0.2 * seen, rel=0.1)
    assert sums.first_exposures[0, CONTROL] == pytest.approx(people * 0.8 * seen, rel=0.05)


def test_the_arms_of_a_stage_are_those_of_placement(served, canary):
    matched = served(control="matched")
    assert of(matched, CONTROL, REQUESTS)[0] == pytest.approx(of(matched, CANARY, REQUESTS)[0], rel=0.1)
    cohort = served(stage=canary(where={"internal": "true"}, percent=100.0))
    assert not any(key.arm == CONTROL for key in cohort.cells)
    assert of(cohort, CANARY, REQUESTS)[0] == pytest.approx(100_000 * COHORT_SHARE, rel=0.3)


def test_whom_a_cohort_compared_is_compared_no_more(canary):
    users = draw_population(20_000, (), np.random.default_rng(1))
    everybody = users.assign_arms(canary(percent=50.0), "concurrent")
    others = users.assign_arms(canary(percent=50.0), "concurrent", after_cohort=True)
    for all_of_them, left in zip(everybody, others, strict=True):
        assert (left == (all_of_them & ~users.member)).all()
    assert sum(users.expected_shares(canary(percent=50.0), "concurrent", after_cohort=True)) == pytest.approx(
        1 - COHORT_SHARE
    )


def test_segments_add_up_to_everybody(served):
    sums = served(cuts=("language", "plan"))
    for dimension in ("language", "plan"):
        parts = [
            cell.weight.sum()
            for key, cell in sums.cells.items()
            if key.arm == CANARY and key.metric == "refusal_rate" and key.segment.startswith(f"{dimension}=")
        ]
        assert sum(parts) == pytest.approx(of(sums, CANARY, "refusal_rate")[0])


def test_the_same_chance_gives_the_same_traffic(served):
    one, other = served(seed=5), served(seed=5)
    assert {k: v.value.tolist() for k, v in one.cells.items()} == {k: v.value.tolist() for k, v in other.cells.items()}
