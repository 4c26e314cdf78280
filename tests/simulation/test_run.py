"""A simulated rollout keeps to its plan: looks, holds, what rolls it back, what it waits for."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.catalogue import CATALOGUE
from core.rollout.plans.plan import Risk
from core.simulation.harm import SimulatedHarm
from core.simulation.population import draw_population
from core.simulation.run import schedule_looks, simulate_rollout
from core.simulation.study import StudyTask, run_study, run_task, summarise_study
from core.simulation.tally import Tally
from core.simulation.traffic import SyntheticTraffic
from tests.trials.length import pick

HOUR = timedelta(hours=1)
REFUSING = SimulatedHarm(metric="refusal_rate", text="refusal_rate +20 pp", shift=0.2)
NOTHING, HARMED = StudyTask(harm=-1, number=0), StudyTask(harm=0, number=0)


def test_without_harm_every_stage_lasts_its_least_hold(study):
    run = run_task(study(), NOTHING)
    assert (run.rollback, run.held, run.undecided) == (None, None, ())
    assert run.lasted == 7 * HOUR


def test_gross_harm_is_rolled_back_at_one_of_the_first_looks(study):
    run = run_task(study(harms=(REFUSING,), looks=40), HARMED)
    assert run.rollback is not None
    assert (run.rollback.metric, run.rollback.stage) == ("refusal_rate", "canary")
    assert run.rollback.after < 2 * HOUR
    # the canary's fifth of 20,000 requests a day, up to then
    assert run.rollback.requests == pytest.approx(4000 * (run.rollback.after / timedelta(days=1)), rel=0.4)
    assert 0 < run.rollback.users <= run.rollback.requests


def test_a_hold_is_noted_and_set_aside(study, plan):
    hold = Limit(
        metric="retry_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.HOLD
    )
    harm = SimulatedHarm(metric="retry_rate", text="retry_rate +20 pp", shift=0.2)
    asked = study(plan=plan(limits=(*plan().limits, hold)), harms=(harm,))
    run = run_task(asked, HARMED)
    assert run.rollback is None
    assert run.held is not None
    assert run.held.metric == "retry_rate"
    assert run.lasted == 7 * HOUR
    found = summarise_study(asked, run_study(asked)).harms[0]
    assert (found.by_hold, found.stopped, found.right) == (True, 3, 3)


def test_too_little_traffic_leaves_a_stage_undecided(study, plan, canary):
    asked = study(plan=plan(stages=(canary(min_samples=100_000),)))
    run = run_task(asked, NOTHING)
    assert run.undecided == ("canary",)
    assert run.lasted == 24 * HOUR


def test_high_risk_waits_until_the_limit_is_shown_to_be_kept(study, plan, canary):
    high = study(plan=plan(risk=Risk.HIGH, stages=(canary(min_hold=HOUR / 60, min_samples=0, max_hold=72 * HOUR),)))
    low = study(plan=replace(high.plan, risk=Risk.LOW))
    assert run_task(low, NOTHING).lasted < HOUR / 6  # as soon as both arms have had a request
    waited = run_task(high, NOTHING)
    assert HOUR < waited.lasted < 72 * HOUR
    assert waited.undecided == ()


def test_large_values_are_cut_once_control_has_shown_enough(plan, known):
    dear = Limit(
        metric="cost_per_request",
        kind=LimitKind.RISES_BY,
        amount=0.15,
        scale=LimitScale.RELATIVE,
        role=LimitRole.ROLLBACK,
    )
    chance = np.random.default_rng(1)
    source = SyntheticTraffic(known, [CATALOGUE["cost_per_request"]], draw_population(20_000, (), chance), None, chance)
    tally = Tally(source.population.profiles, {})
    simulate_rollout(plan(limits=(dear,)), source, tally, looks=12)
    cap = tally.caps["cost_per_request"]
    # the 99th percentile of a log-normal law: .014 exp(-.8^2/2 + .8 * 2.326) = .0654
    assert cap == pytest.approx(0.0654, rel=0.35)


class Uneven(SyntheticTraffic):
    """More people see the new version than should."""

    def add_arrivals(self, tally, days):
        super().add_arrivals(tally, days)
        tally.set_exposures(0, 2000, 3000)


def test_a_skewed_split_holds_and_is_set_aside(plan, known, canary):
    chance = np.random.default_rng(1)
    source = Uneven(known, [CATALOGUE["refusal_rate"]], draw_population(20_000, (), chance), None, chance)
    run = simulate_rollout(plan(stages=(canary(),)), source, Tally(source.population.profiles, {}), looks=12)
    assert run.held is not None
    assert run.held.metric == "split:1"
    assert (run.undecided, run.lasted) == ((), 6 * HOUR)


def test_looks_are_denser_at_the_beginning_and_go_on_to_the_longest_hold(canary):
    found = [at for at, _ in schedule_looks(canary(), 20_000, 10)]
    gaps = np.diff([at.total_seconds() for at in found[:10]])
    assert 6 * HOUR in found
    assert found[-1] == 24 * HOUR
    assert (gaps[1:] >= gaps[:-1]).all()
    assert [last for _, last in schedule_looks(canary(), 20_000, 10)].count(True) == 1
    assert found == sorted(set(found))


def test_a_run_depends_on_seed_and_number_alone(study):
    asked = study(harms=(REFUSING,))
    assert run_task(asked, StudyTask(harm=0, number=2)) == run_task(asked, StudyTask(harm=0, number=2))
    forwards = dict(run_study(asked))
    assert summarise_study(asked, forwards.items()) == summarise_study(asked, reversed(list(forwards.items())))
    assert run_task(study(harms=(REFUSING,), seed=2), HARMED) != forwards[HARMED]


@pytest.mark.slow
def test_plans_without_harm_are_rarely_rolled_back(study):
    asked = study(runs=pick(30, 150), looks=30)
    most = pick(6, 16)  # 1 chance in 1,000 at a true 5 %
    assert summarise_study(asked, run_study(asked)).harmless.rolled_back <= most
