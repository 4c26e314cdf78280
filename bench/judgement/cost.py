"""Canary requests until a higher cost is found: ours winsorised, against gbstats on what it is given."""

from collections.abc import Iterator
from math import log

import numpy as np

from bench.judgement import gbstats_current
from bench.measuring import streams
from bench.measuring.contrasts import contrast
from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort
from bench.measuring.streams import Array
from core.stats.sequential import mean

RUNS = 200
ALPHA = 0.05
SIGMA = 1.0  # of the logarithm of a request's cost
CANARY, CONTROL = 5, 95
BUCKETS = 256
BASELINE = 10_000  # earlier requests, which fix the cap and tau
GATE = 100  # canary requests before a mean is judged
CASES = ((0.10, 700), (0.20, 220), (0.50, 80))  # rise, looks
SEED = 20261126


def measure(effort: Effort) -> Iterator[Figure]:
    """gbstats gets the raw costs, as it does by default, and the capped ones, as GrowthBook can be told to do."""
    runs = effort.some(RUNS)
    with Peer("gbstats_sequential.py", environment="peers-stats") as gbstats:
        for number, (rise, looks) in enumerate(CASES):
            chance = np.random.default_rng([SEED, number])
            before = chance.lognormal(0, SIGMA, BASELINE)
            cap = float(np.quantile(before, 0.99))
            canary = (1 + rise) * chance.lognormal(0, SIGMA, (runs, looks, CANARY))
            control = chance.lognormal(0, SIGMA, (runs, looks, CONTROL))
            capped = np.minimum(canary, cap), np.minimum(control, cap)
            tau = 0.2 * float(np.minimum(before, cap).mean())
            ours = float(np.median(_ours(*capped, tau, chance))) * CANARY
            for told, (new, old) in (("raw", (canary, control)), ("capped", capped)):
                peer = (
                    min(float(np.median(looks)) for looks in (_released(new, old, gbstats), _current(new, old)))
                    * CANARY
                )
                yield Figure(
                    name=f"cost +{rise:.0%}: requests until found, against gbstats on {told} costs",
                    ours=ours,
                    peer=peer,
                    unit="req",
                    goal=1.15,
                    better="less",
                )


def _ours(canary: Array, control: Array, tau: float, chance: np.random.Generator) -> Array:
    """The half-normal mixture over hash buckets, every request of another unit."""
    runs, looks, _ = canary.shape
    sums = [np.zeros((runs, 1, BUCKETS, 2)) for _ in range(2)]
    found = np.full(runs, np.inf)
    for look in range(looks):
        for arm, values in zip(sums, (canary[:, look], control[:, look]), strict=True):
            bucket = chance.integers(0, BUCKETS, values.shape) + BUCKETS * np.arange(runs)[:, np.newaxis]
            for column, weights in enumerate((np.ones(values.size), values.ravel())):
                arm[:, 0, :, column] += np.bincount(bucket.ravel(), weights, runs * BUCKETS).reshape(runs, BUCKETS)
        if (look + 1) * CANARY < GATE:
            continue
        estimate, error = contrast(*sums)
        evidence = mean.log_e_half_normal(estimate / error, (tau / error) ** 2)
        found = np.where(np.isinf(found) & (evidence >= log(1 / ALPHA)), look + 1, found)
    return found


def _released(canary: Array, control: Array, gbstats: Peer) -> Array:
    asked = {"canary": _summaries(canary).tolist(), "control": _summaries(control).tolist()}
    found = gbstats.ask(what="detect", more_is_harm=True, **asked)["found"]
    return np.array([np.inf if look is None else look for look in found], dtype=np.float64)


def _current(canary: Array, control: Array) -> Array:
    T, C = (np.moveaxis(_summaries(arm), -1, 0) for arm in (canary, control))
    variance = sum((squares - total**2 / n) / (n - 1) / n for n, total, squares in (T, C))
    estimate = T[1] / T[0] - C[1] / C[0]
    return streams.first_look(gbstats_current.reaches(estimate, variance, T[0] + C[0], alpha=ALPHA) > 0)


def _summaries(values: Array) -> Array:
    """(n, sum, sum of squares) up to each look, shape (runs, looks, 3)."""
    sums = [np.cumsum((values**power).sum(axis=-1), axis=-1) for power in (0, 1, 2)]
    return np.stack(sums, axis=-1)
