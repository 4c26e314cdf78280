"""Requests one by one, with their hash bucket and their outcome, for many runs at once."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bench.calibration.traffic import Scenario
from bench.measuring.streams import Array

BUCKETS = 256
DRAWS = 2**14
COST_SIGMA = 1.0

Visits = tuple[NDArray[np.int64], Array]
"""Buckets and values, both of shape (runs, requests)."""


Source = Callable[[int, int, float, float], tuple[Visits, Visits]]


def source(scenario: Scenario, runs: int, chance: np.random.Generator) -> Source:
    """A function of (canary requests, control requests, canary share, base rate) that gives both arms' visits."""
    if scenario.correlation > 0:
        return _persistent(scenario, runs, chance)

    def strangers(canary: int, control: int, _share: float, rate: float) -> tuple[Visits, Visits]:
        return _strangers(scenario, runs, canary, rate, chance), _strangers(scenario, runs, control, rate, chance)

    return strangers


def _strangers(scenario: Scenario, runs: int, requests: int, rate: float, chance: np.random.Generator) -> Visits:
    """Everybody comes once."""
    bucket = np.frombuffer(chance.bytes(runs * requests), dtype=np.uint8).reshape(runs, requests).astype(np.int64)
    if scenario.values == "costs":
        return bucket, rate * chance.lognormal(0, COST_SIGMA, (runs, requests))
    return bucket, (chance.random((runs, requests), dtype=np.float32) < rate).astype(np.float64)


def _persistent(scenario: Scenario, runs: int, chance: np.random.Generator) -> Source:
    """Users with rates of their own, Beta(rate, 1 - rate) / correlation; the first of them are the canary's."""
    users = scenario.users
    bucket = chance.integers(0, BUCKETS, runs * users, dtype=np.uint8)
    firm = 1 / scenario.correlation - 1
    typical = float(scenario.rate(1)[0])
    own = chance.beta(typical * firm, (1 - typical) * firm, runs * users).astype(np.float32)
    activity = np.exp(scenario.activity * ndtri((np.arange(users) + 0.5) / users))
    activities = chance.permuted(np.tile(activity, (runs, 1)), axis=1)
    first_of_run = users * np.arange(runs)[:, np.newaxis]

    def visits(who: NDArray[np.int64], requests: int) -> Visits:
        user = np.take_along_axis(who, chance.integers(0, DRAWS, (runs, requests)), axis=1) + first_of_run
        pleased = chance.random((runs, requests), dtype=np.float32) < own[user]
        return bucket[user].astype(np.int64), pleased.astype(np.float64)

    @cache
    def draws(first: int, last: int) -> NDArray[np.int64]:
        """Per run, users of an arm as often as they come."""
        reached = np.cumsum(activities[:, first:last], axis=1)
        places = (np.arange(DRAWS) + 0.5) / DRAWS
        return first + np.stack([np.searchsorted(one, one[-1] * places) for one in reached])

    def both(canary: int, control: int, share: float, _rate: float) -> tuple[Visits, Visits]:
        edge = round(share * users)
        return visits(draws(0, edge), canary), visits(draws(edge, users), control)

    return both
