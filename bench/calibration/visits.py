"""Requests one by one, with their hash bucket and their outcome, for many runs at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.calibration.traffic import Scenario
from bench.streams import Array

BUCKETS = 256
USERS = 6_000
COST_SIGMA = 1.0

Visits = tuple[NDArray[np.int64], Array]
"""Buckets and values, both of shape (runs, requests)."""


def source(
    scenario: Scenario, runs: int, chance: np.random.Generator
) -> Callable[[int, int, float, float], tuple[Visits, Visits]]:
    """A function of (canary requests, control requests, canary share, base rate) that gives both arms' visits."""
    if scenario.correlation > 0:
        return _persistent(scenario.correlation, runs, chance)

    def strangers(canary: int, control: int, _share: float, rate: float) -> tuple[Visits, Visits]:
        return _strangers(scenario, runs, canary, rate, chance), _strangers(scenario, runs, control, rate, chance)

    return strangers


def _strangers(scenario: Scenario, runs: int, requests: int, rate: float, chance: np.random.Generator) -> Visits:
    """Everybody comes once."""
    bucket = np.frombuffer(chance.bytes(runs * requests), dtype=np.uint8).reshape(runs, requests).astype(np.int64)
    if scenario.values == "costs":
        return bucket, rate * chance.lognormal(0, COST_SIGMA, (runs, requests))
    return bucket, (chance.random((runs, requests), dtype=np.float32) < rate).astype(np.float64)


def _persistent(
    correlation: float, runs: int, chance: np.random.Generator
) -> Callable[[int, int, float, float], tuple[Visits, Visits]]:
    """Users with rates of their own, Beta(rate, 1 - rate) / correlation; the first of them are the canary's."""
    bucket = chance.integers(0, BUCKETS, (runs, USERS), dtype=np.uint8)
    own = np.empty(0, dtype=np.float32)

    def visits(first: int, last: int, requests: int) -> Visits:
        user = chance.integers(first, last, (runs, requests)) + np.arange(runs)[:, np.newaxis] * USERS
        pleased = chance.random((runs, requests), dtype=np.float32) < own[user]
        return bucket.ravel()[user].astype(np.int64), pleased.astype(np.float64)

    def both(canary: int, control: int, share: float, rate: float) -> tuple[Visits, Visits]:
        nonlocal own
        if own.size == 0:
            firm = 1 / correlation - 1
            own = chance.beta(rate * firm, (1 - rate) * firm, runs * USERS).astype(np.float32)
        edge = round(share * USERS)
        return visits(0, edge, canary), visits(edge, USERS, control)

    return both
