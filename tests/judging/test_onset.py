"""The onset test: a sudden change hours into a stage is found within minutes, though the average is still fine."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.count_new import MIN_BATCH
from core.judging.model.verdict import RollBack
from tests.judging.conftest import CANARY, TICK
from tests.trials.length import pick

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
SLOW = Limit(
    metric="latency_p95", kind=LimitKind.EXCEEDS, amount=4000, scale=LimitScale.ABSOLUTE, role=LimitRole.ROLLBACK
)
SLOWER = Limit(
    metric="latency_p95", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
TOKENS = Limit(
    metric="output_tokens", kind=LimitKind.DROPS_BY, amount=0.1, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
PASSES = Limit(
    metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
HARMLESS = {"continue", "cleared"}


@pytest.mark.shows("E25")
@pytest.mark.parametrize(
    ("limit", "harm"),
    [
        (REFUSALS, {"refusals": 0.08}),
        (SLOW, {"latency": 2600}),
        (SLOWER, {"latency": 2600}),
        (COST, {"cost": 0.05}),
        (COST, {"cost": 0.022}),
        (TOKENS, {"tokens": 0.7}),
        (PASSES, {"passes": 0.8}),
    ],
)
def test_a_step_after_three_hours_is_rolled_back_within_ten_minutes(world, traffic, limit, harm):
    here = world((limit,))
    minutes = pick(3, 1)  # from one look to the next, as the average is what matters here
    for _ in range(180 // minutes):
        here.at += timedelta(minutes=minutes) - TICK
        here.serve(2000 * minutes, traffic(), traffic())
        assert here.look().verdict.name in HARMLESS
    began = here.at
    _, verdict = here.run(60, traffic(**harm), traffic())
    assert isinstance(verdict, RollBack)
    assert here.at - began < timedelta(minutes=10)
    average = next(m for m in here.look().measures if m.metric == limit.metric)
    if limit is REFUSALS:
        assert average.difference < limit.amount
    if limit in (REFUSALS, TOKENS, PASSES):
        assert "in the last minutes" in verdict.findings[0].note


def test_nothing_is_found_where_nothing_begins(world, traffic):
    here = world((REFUSALS, SLOW, SLOWER, COST, TOKENS, PASSES), seed=4)
    for _ in range(240):
        here.at += timedelta(seconds=50)
        here.serve(1500, traffic(), traffic())
        assert here.look().verdict.name in HARMLESS
    assert here.state.starts == 47


@pytest.mark.parametrize(("limit", "harm"), [(TOKENS, {"tokens": 0.7}), (COST, {"cost": 0.022})])
def test_a_late_change_is_found_where_a_minute_holds_few_requests(world, traffic, limit, harm):
    here = world((limit,), users=3000)
    here.stages = (replace(CANARY, canary_share=0.5),)
    for _ in range(pick(240, 60)):  # eight hundred requests an hour
        here.at += timedelta(minutes=5) - TICK
        here.serve(67, traffic(), traffic())
        assert here.look().verdict.name in HARMLESS
    began = here.at
    while here.look().verdict.name in HARMLESS:
        here.at += timedelta(minutes=5) - TICK
        here.serve(67, traffic(**harm), traffic())
        assert here.at - began < timedelta(hours=2.5)
    assert "in the last " in here.look().verdict.findings[0].note


def test_where_minutes_hold_too_little_beside_the_loudest_bucket_the_last_hour_tells(world, traffic):
    here = world((PASSES,), seed=0)
    here.stages = (replace(CANARY, canary_share=0.5),)
    for _ in range(120):  # ten hours, in which some bucket has come to stand out
        here.at += timedelta(minutes=5) - TICK
        here.serve(50, traffic(), traffic())
        here.look()
    began = here.at
    while (verdict := here.look().verdict).name in HARMLESS:
        here.at += timedelta(minutes=5) - TICK
        here.serve(50, traffic(passes=0.82), traffic())
    assert here.at - began <= timedelta(hours=2.75)
    assert "in the last hour" in verdict.findings[0].note


def test_harm_that_begins_on_the_first_day_pays_little_more_than_harm_of_the_first_hours(world, traffic):
    here = world((PASSES,), seed=0)
    here.stages = (replace(CANARY, canary_share=0.5),)
    for _ in range(40):  # twenty hours
        here.at += timedelta(minutes=30) - TICK
        here.serve(300, traffic(), traffic())
        here.look()
    assert here.state.starts == 234
    began = here.at
    while here.look().verdict.name in HARMLESS:
        here.at += timedelta(minutes=5) - TICK
        here.serve(100, traffic(passes=0.82), traffic())
    # Were all of the weight spent on the first hours, it would take 75 minutes.
    assert here.at - began <= timedelta(hours=1, minutes=1)


def test_readings_wait_until_both_arms_have_enough_and_none_is_lost(world, traffic):
    here = world((TOKENS,), users=3000)
    here.stages = (replace(CANARY, canary_share=0.5),)
    here.serve(2000, traffic(), traffic())
    here.look()  # knows where readings are cut
    cell, seen = here.question.comparison_cell("output_tokens"), []
    for _ in range(12):
        here.serve(15, traffic(), traffic())
        here.look()
        seen += [one for one in here.looks[-1].steps if one.metric == cell]
    assert 2 <= len(seen) < 12
    assert all(min(one.canary_trials, one.control_trials) >= MIN_BATCH for one in seen)
    total = here.state.get_total(CANARY.index, cell)
    assert sum(one.canary_trials for one in seen) == total.canary_trials


@pytest.mark.parametrize("hours", [36, 48, 24 * 30])
def test_a_pause_of_any_length_between_two_looks_is_judged(world, traffic, hours):
    here = world((REFUSALS, SLOW), seed=4)
    for _ in range(3):
        here.at += timedelta(minutes=6)
        here.serve(1500, traffic(), traffic())
        here.look()
    here.at += timedelta(hours=hours)
    here.serve(1500, traffic(), traffic())
    assert here.look().verdict.name in HARMLESS
    _, verdict = here.run(60, traffic(refusals=0.2), traffic())
    assert isinstance(verdict, RollBack)


def test_a_clock_that_is_set_back_gives_no_start_twice(world, traffic):
    here = world((REFUSALS,), seed=4)
    for minutes in (6, 6, 30, -30, 6, 6):
        here.at += timedelta(minutes=minutes)
        here.serve(1500, traffic(), traffic())
        was = here.state.starts if here.state else 0
        here.look()
        assert here.state.starts >= was
    assert here.state.starts == 7
