"""A mean that rises from nothing is harm, and is found as such."""

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.evidence import REQUESTS, CellKey
from core.judging.model.verdict import Hold, RollBack
from tests.trials.length import pick

COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
TOKENS = Limit(
    metric="output_tokens", kind=LimitKind.CHANGES_BY, amount=0.2, scale=LimitScale.RELATIVE, role=LimitRole.HOLD
)


def serve(here, metric, *, canary, control, requests=2000):
    """Requests of random users that read nothing but this metric; a value is a function of how many are drawn."""
    who = here.random.integers(0, here.users, requests)
    served = here.position[who] < 0.05
    for arm, mask, value in (("canary", served, canary), ("control", ~served, control)):
        bucket = here.bucket[who[mask]]
        here.seen.setdefault((2, arm), set()).update(who[mask].tolist())
        keys = lambda name, arm=arm: [CellKey(stage=2, arm=arm, segment="", metric=name)]  # noqa: E731
        here.add(keys(REQUESTS), bucket, np.ones(len(bucket)))
        here.mean(keys, metric, bucket, value(len(bucket)))


def run(here, metric, looks=10, **arms):
    for _ in range(looks):
        serve(here, metric, **arms)
        found = here.look()
        if found.verdict.name in ("roll_back", "hold"):
            return found
    return found


def nothing(n):
    return np.zeros(n)


def exactly(value):
    return lambda n: np.full(n, value)


def about(value, seed=7):
    random = np.random.default_rng(seed)
    return lambda n: value * random.lognormal(-0.5, 1.0, n)


@pytest.mark.parametrize("canary", [exactly(0.05), about(0.05)], ids=["constant", "varying"])
@pytest.mark.parametrize("control", [nothing, exactly(0.0001), exactly(0.01)], ids=["nothing", "a trifle", "constant"])
def test_a_cost_that_rises_from_a_constant_is_rolled_back(world, canary, control):
    found = run(world((COST,)), "cost_per_request", canary=canary, control=control)
    assert isinstance(found.verdict, RollBack)
    assert found.measures[0].word == "Worse"


def test_tokens_that_begin_to_flow_hold(world):
    found = run(world((TOKENS,)), "output_tokens", canary=about(400), control=nothing)
    assert isinstance(found.verdict, Hold)


@pytest.mark.parametrize("both", [nothing, exactly(0.01)], ids=["nothing", "constant"])
def test_what_costs_the_same_constant_is_left(world, both):
    found = run(world((COST,)), "cost_per_request", canary=both, control=both)
    assert found.verdict.name in {"continue", "cleared"}


def test_a_single_reading_above_nothing_is_not_harm(world):
    here = world((COST,))
    run(here, "cost_per_request", canary=nothing, control=nothing, looks=3)
    first = [True]

    def once(n):
        value = np.zeros(n)
        value[:1] = 5.0 if first else 0.0
        first.clear()
        return value

    found = run(here, "cost_per_request", canary=once, control=nothing, looks=20)
    assert found.verdict.name in {"continue", "cleared"}


def test_costs_that_are_mostly_nothing_in_both_arms_raise_few_alarms(world):
    alarms = 0
    for seed in range(pick(20, 60)):
        random = np.random.default_rng([seed, 5])

        def rarely(n, random=random):
            return np.where(random.random(n) < 0.002, random.lognormal(0, 1.5, n), 0.0)

        found = run(world((COST,), seed=seed), "cost_per_request", canary=rarely, control=rarely, looks=40)
        alarms += found.verdict.name in ("roll_back", "hold")
    assert alarms <= pick(3, 5)  # a true 5 % gives more once in 60 times, in 30 in the long form
