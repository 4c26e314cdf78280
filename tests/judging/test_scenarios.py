"""What happens to a harmful and to a harmless canary: 5 % of 2,000 requests a minute, a look every ten seconds."""

from dataclasses import replace
from datetime import timedelta
from statistics import median

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.evidence import CellKey
from core.judging.model.question import StageDesign
from core.judging.model.verdict import RollBack
from tests.trials.length import pick

HARMLESS = {"continue", "cleared", "no_control"}
FULL = StageDesign(index=5, name="100", compared=False, canary_share=1.0, control_left=False)


def test_refusals_from_2_to_8_percent_are_rolled_back_within_minutes(world, traffic):
    taken = []
    for seed in range(7):
        looks, verdict = world(seed=seed).run(120, traffic(refusals=0.08), traffic())
        assert isinstance(verdict, RollBack)
        assert verdict.findings[0].metric == "refusal_rate"
        taken.append(looks)
    assert median(taken) <= 18  # three minutes
    assert max(taken) <= 60


@pytest.mark.shows("E31")
def test_a_harmless_canary_is_left_alone(world, traffic):
    for seed in range(pick(2, 4)):
        looks, verdict = world(seed=100 + seed).run(150, traffic(), traffic())
        assert (looks, verdict.name in HARMLESS) == (150, True)


def test_a_ramp_while_quality_drifts_is_left_alone(world, traffic):
    here = world(seed=21)
    for index, share in enumerate((0.05, 0.25, 0.5), start=3):
        here.enter(StageDesign(index=index, name=f"{share:.0%}", compared=True, canary_share=share, control_left=True))
        for step in range(40):
            now = traffic(passes=0.92 - 0.02 * index + 0.0004 * step, cost=0.014 + 0.002 * index)
            here.serve(333, now, now)
            assert here.look().verdict.name in HARMLESS


@pytest.mark.shows("E24")
@pytest.mark.parametrize(
    ("harm", "metric", "within"),
    [
        ({"passes": 0.85}, "eval_pass_rate", 60),
        ({"cost": 0.028}, "cost_per_request", 40),
        ({"categories": {"ToolTimeout": 0.02}}, "new_error_category", 120),
        ({"complaints": 0.01}, "complaint_rate", 120),
        ({"flags": 0.02}, "moderation_flag_rate", 60),
    ],
)
def test_each_kind_of_harm_is_rolled_back_for_what_it_is(world, traffic, harm, metric, within):
    looks, verdict = world().run(within, replace(traffic(), **harm), traffic())
    assert isinstance(verdict, RollBack), looks
    assert verdict.findings[0].metric == metric


@pytest.mark.shows("E13")
def test_harm_that_comes_only_with_growth_is_not_drowned_by_what_went_well_before(world, traffic):
    here = world(seed=3)
    for _ in range(150):
        here.serve(333, traffic(), traffic())
        assert here.look().verdict.name in HARMLESS
    here.enter(StageDesign(index=3, name="50", compared=True, canary_share=0.5, control_left=True))
    looks, verdict = here.run(12, traffic(refusals=0.06), traffic())
    assert isinstance(verdict, RollBack), looks


@pytest.mark.shows("E23", "E49")
def test_slow_answers_roll_back_only_once_they_have_lasted(world, traffic):
    slow = Limit(
        metric="latency_p95",
        kind=LimitKind.EXCEEDS,
        amount=4000,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
        lasting=timedelta(minutes=15),
    )
    here = world((slow,))
    looks, verdict = here.run(120, traffic(latency=2600), traffic())
    assert isinstance(verdict, RollBack)
    assert looks > 90
    assert here.at == here.state.beyond_since["0"] + timedelta(minutes=15)
    assert verdict.findings[0].limit_text == "exceeds 4000 ms for 15 min"
    assert verdict.findings[0].canary > 4000


@pytest.mark.shows("E23")
def test_a_relative_rise_of_slow_answers_holds(world, traffic):
    rise = Limit(
        metric="latency_p95", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.HOLD
    )
    looks, verdict = world((rise,)).run(60, traffic(latency=1800), traffic())
    assert verdict.name == "hold", looks
    assert verdict.findings[0].difference == pytest.approx(0.5, abs=0.25)
    assert world((rise,), seed=5).run(120, traffic(), traffic())[1].name in HARMLESS


@pytest.mark.parametrize(("latency", "found"), [(1300, "continue"), (2200, "hold")])
def test_a_strict_rise_of_slow_answers_waits_for_the_margin(world, traffic, latency, found):
    rise = Limit(
        metric="latency_p95",
        kind=LimitKind.RISES_BY,
        amount=0.15,
        scale=LimitScale.RELATIVE,
        role=LimitRole.HOLD,
        strict=True,
    )
    assert world((rise,)).run(60, traffic(latency=latency), traffic())[1].name == found


def test_one_batch_alone_is_enough(world, traffic):
    here = world()
    here.serve(20_000, traffic(refusals=0.08), traffic())
    assert isinstance(here.look().verdict, RollBack)
    harmless = world()
    harmless.serve(20_000, traffic(), traffic())
    assert harmless.look().verdict.name in HARMLESS


@pytest.mark.shows("E6", "E48")
def test_costs_that_never_vary_are_compared_too(world, traffic):
    here = world()
    for arm, cost, who in (("canary", 0.02, range(400)), ("control", 0.01, range(400, 2000))):
        units = np.array(who)
        here.arm(2, arm, units, traffic())
        key = CellKey(stage=2, arm=arm, segment="", metric="cost_per_request")
        here.values[key] = here.weights[key] * cost
    verdict = here.look().verdict
    assert isinstance(verdict, RollBack)
    assert verdict.findings[0].difference == pytest.approx(1.0)


@pytest.mark.shows("E28")
def test_without_a_control_harm_is_held_against_the_past_and_says_so(world, traffic):
    here = world(seed=4)
    for _ in range(60):
        here.serve(333, traffic(), traffic())
        here.look()
    here.enter(FULL)
    for _ in range(60):
        here.serve(333, traffic(), traffic())
        found = here.look()
        assert found.verdict.name in HARMLESS
    assert all(m.weaker for m in found.measures if m.metric == "refusal_rate")
    looks, verdict = here.run(40, traffic(refusals=0.08), traffic())
    assert isinstance(verdict, RollBack), looks
    assert "no control is left" in verdict.findings[0].note


@pytest.mark.parametrize(("refusing_users", "found"), [(20, "roll_back"), (1, "continue")])
def test_twenty_refusals_of_one_user_weigh_less_than_those_of_twenty(world, traffic, refusing_users, found):
    # 5 % of 400 requests against 2 % of 8,000, either way; control's refusals are as concentrated as the canary's.
    refusals = Limit(
        metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
    )
    here = world((refusals,))
    here.bucket[400:408] = [0, *range(40, 47)]  # one of the eight that refuse is among those that tell the base rate
    for arm, first, users, refused in (("canary", 0, 400, 20), ("control", 400, 8000, 160)):
        everyone = np.arange(first, first + users)
        here.arm(2, arm, everyone[refused:], traffic(refusals=0.0))
        here.arm(2, arm, np.resize(everyone[: refused * refusing_users // 20], refused), traffic(refusals=1.0))
    assert here.look().verdict.name == found
