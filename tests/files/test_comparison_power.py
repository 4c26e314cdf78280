"""Which difference a long comparison and a holdout notice at their end, and what is said of one that is too short."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core.files.foresight.comparison_power import foresee_comparisons, foresee_stage
from core.files.foresight.known_traffic import KnownTraffic, assume_traffic
from core.files.foresight.outlook import build_outlook
from core.metrics.catalogue import CATALOGUE
from core.metrics.typical_levels import MetricLevel
from core.rollout.plans.baseline import BaselineLevel, SurfaceBaseline
from core.rollout.plans.layers import divide_equally
from core.rollout.plans.policy import DEFAULT_POLICY
from core.stats.fixed_horizon.horizon import fixed_interval

CANARY = "  - canary: {percent: 5, min_hold: 6h, max_hold: 24h, min_samples: 1500}\n"
AB = "  - ab: {percent: 50, days: 14, decide_on: [eval_pass_rate]}\n"
HELD = "holdout: {percent: 2%, for: 90d}\n"
PASSES = CATALOGUE["eval_pass_rate"]


@pytest.fixture
def long(small):
    return small((CANARY, CANARY + AB)).replace("ramp: {steps: [25%, 100%]", "ramp: {steps: [100%]")


def traffic(daily, **levels):
    return KnownTraffic(daily_requests=daily, pace_from="daily_requests", levels=levels)


def test_what_it_promises_is_what_the_table_at_the_end_shows(built, long):
    """Play the comparison that is planned: the difference that is named is found four times in five."""
    plan = built(long)
    stage = next(one for one in plan.stages if one.is_decided_at_end)
    level = MetricLevel(level=0.9, share=0.25)
    power = foresee_stage(stage, plan.limits, [PASSES], "concurrent", traffic(2000, eval_pass_rate=level))
    (found,) = power.metrics
    arm = round(2000 * 0.25 * 14 / 2)
    random = np.random.default_rng(1)
    new, old = random.binomial(arm, 0.9 - found.smallest, 4000) / arm, random.binomial(arm, 0.9, 4000) / arm
    errors = np.sqrt(new * (1 - new) / arm + old * (1 - old) / arm)
    noticed = [
        fixed_interval(d, e, alpha=0.05, degrees_of_freedom=255)[1] < 0 for d, e in zip(new - old, errors, strict=True)
    ]

    assert np.mean(noticed) == pytest.approx(0.8, abs=0.03)


def test_four_times_the_traffic_notices_half_the_difference_and_a_design_effect_takes_as_much_longer(built, long):
    stage = next(one for one in built(long).stages if one.is_decided_at_end)

    def judge(daily, **level):
        known = traffic(daily, eval_pass_rate=MetricLevel(level=0.9, **level))
        return foresee_stage(stage, built(long).limits, [PASSES], "concurrent", known).metrics[0]

    plain, busy, clustered = judge(2000), judge(8000), judge(2000, design_effect=3)
    assert plain.smallest == pytest.approx(2 * busy.smallest, rel=0.02)
    assert clustered.needed == pytest.approx(3 * plain.needed, rel=1e-6)


def test_deciding_on_more_metrics_takes_longer(built, long):
    plan = built(long)
    stage = next(one for one in plan.stages if one.is_decided_at_end)
    known = traffic(20_000, eval_pass_rate=MetricLevel(level=0.9), cost_per_request=MetricLevel(level=0.01, spread=0.8))
    one = foresee_stage(stage, plan.limits, [PASSES], "concurrent", known).metrics[0]
    two = foresee_stage(stage, plan.limits, [PASSES, CATALOGUE["cost_per_request"]], "concurrent", known).metrics

    assert two[0].smallest > one.smallest
    assert [each.is_relative for each in two] == [False, True]


def test_a_horizon_that_is_too_short_is_a_warning_with_the_length_that_would_do(checked, long, surface):
    text = long.replace("eval_pass_rate, drops_by: 2pp", "eval_pass_rate, drops_by: 1pp")
    said = checked(text, on=replace(surface, daily_requests=4000))

    assert "stages.2.ab.days: too short: at this traffic 14 days at 50% notice eval_pass_rate from" in said
    assert "on, not from 1 pp (four times in five); 28 days would do" in said
    assert "too short" not in checked(text.replace("days: 14", "days: 28"), on=replace(surface, daily_requests=4000))
    assert "too short" not in checked(text)


def test_the_baseline_counts_and_not_what_is_usual(checked, long, surface):
    level = BaselineLevel(metric="eval_pass_rate", level=0.92, spread=0, share=1.0, design_effect=1.0, readings=90_000)
    kept = SurfaceBaseline(
        rollout="R-3",
        version="v42",
        until=None,
        daily_requests=None,
        levels=(level,),  # type: ignore[arg-type]
    )
    text = long.replace("eval_pass_rate, drops_by: 2pp", "eval_pass_rate, drops_by: 1pp")
    quiet = replace(surface, daily_requests=4000)

    assert "too short" in checked(text, on=quiet)
    assert "too short" not in checked(text, on=replace(quiet, baseline=kept))


def test_in_a_layer_it_takes_as_much_longer_and_a_holdout_does_not(built, long, surface, now):
    layers = (divide_equally("chat", [("support-assistant", 500_000), ("search", None)]),)
    plan, busy = built(long + HELD), replace(surface, daily_requests=100_000)

    def foresee(policy):
        reach = 0.5 if policy.layers else 1.0
        known = assume_traffic(busy).with_pace(100_000 * reach, "daily_requests")
        return build_outlook(plan, busy, policy, known, now).comparisons

    alone, layered = foresee(DEFAULT_POLICY), foresee(replace(DEFAULT_POLICY, layers=layers))

    assert [one.name for one in alone] == ["ab", "holdout"]
    assert layered[0].metrics[0].needed == pytest.approx(2 * alone[0].metrics[0].needed, rel=1e-6)
    assert layered[1] == alone[1]


def test_a_holdout_that_is_too_short_says_which_length_or_share_would_do(checked, small, surface):
    said = checked(small() + HELD, on=replace(surface, daily_requests=3000))

    assert "holdout.for: too short: at this traffic 90 days at 2% held back notice eval_pass_rate from" in said
    assert "% held back would do" in said.replace("%", " %").replace("  %", " %")


def test_without_traffic_nothing_is_promised(built, long):
    assert foresee_comparisons(built(long + HELD), traffic(None)) == ()


def test_a_comparison_that_no_year_would_decide_says_so(checked, long, surface):
    text = long.replace("eval_pass_rate, drops_by: 2pp", "eval_pass_rate, drops_by: 0.1pp")

    assert "no length up to a year would do" in checked(text, on=replace(surface, daily_requests=1000))


def test_the_length_is_rounded_up_to_whole_weeks(built, long):
    (power,) = foresee_comparisons(built(long), traffic(3000, eval_pass_rate=MetricLevel(level=0.9)))

    assert power.length_needed % timedelta(weeks=1) == timedelta(0)
    assert power.length_needed >= power.metrics[0].needed
