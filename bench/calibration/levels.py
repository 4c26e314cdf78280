"""Means and ratios of users who differ and come unequally often, since the start and for harm that begins late."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from bench.calibration.hashed import Sums
from bench.measuring.contrasts import contrast
from bench.measuring.streams import Array
from core.judging.engine.accumulate import GATE_REQUESTS
from core.judging.engine.e_processes import ONSET_HORIZONS, ONSET_INTERVAL, ONSET_WINDOW
from core.judging.engine.increments import LEVEL_EFFECTS
from core.judging.look.count_new import MIN_BATCH
from core.stats.input_checks import Side
from core.stats.sequential import mean, onset, proportion

ALPHA = 0.05
BUCKETS = 256
DAY = 288
"""Looks of a day, one every five minutes."""
CAP = exp(2.326)  # the 99th percentile of a cost whose logarithm has spread 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelWorld:
    """Requests of users with levels of their own. `share` is the canary's, `requests` those of both arms a look, which
    is five minutes after the last. `limit` is relative, as the one that tau is set by. `heavy`: one user in a hundred
    comes fifty times as often. `is_ratio`: a request has a numerator and a denominator, which differs by user, too."""

    name: str
    law: str  # "score" (1 to 5), "cost" (lognormal) or "events" (per step of a request)
    limit: float
    share: float = 0.5
    requests: int = 100
    users: int = 3000
    heavy: bool = False
    is_ratio: bool = False


WORLDS = (
    LevelWorld(name="scores of users", law="score", limit=0.05),
    LevelWorld(name="scores, sparse canary", law="score", limit=0.05, share=0.05, requests=200),
    LevelWorld(name="costs of users", law="cost", limit=0.15),
    LevelWorld(name="costs, sparse canary", law="cost", limit=0.15, share=0.05, requests=200),
    LevelWorld(name="ratio of users", law="events", limit=0.2, is_ratio=True),
    LevelWorld(name="ratio, heavy users", law="events", limit=0.2, heavy=True, is_ratio=True),
    LevelWorld(name="ratio, heavy users, sparse canary", law="events", limit=0.2, share=0.1, heavy=True, is_ratio=True),
)
KERNELS = ("since the start", "late, a fall", "late, a rise")


def condemned(world: LevelWorld, *, runs: int, looks: int, chance: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Per kernel and run, whether its evidence of harm ever reached 1/alpha, alone and with all of alpha."""
    sums, spread = Sums(runs, 1), np.zeros(runs)
    waiting, found = np.zeros((runs, 4)), {kernel: np.zeros(runs, dtype=np.bool_) for kernel in KERNELS}
    sides: dict[str, Side] = {"late, a fall": "less", "late, a rise": "greater"}
    mixtures = {kernel: np.full((runs, len(LEVEL_EFFECTS)), -np.inf) for kernel in sides}
    tau, batched, seen = np.zeros(runs), 0, 0
    split, both = round(world.share * world.requests), world.requests
    forget = 1 - exp(-ONSET_INTERVAL / ONSET_WINDOW)
    for number, (bucket, weight, value) in enumerate(serve_requests(world, runs, looks, chance)):
        arms = (slice(0, split), slice(split, both))
        for at, (arm, of) in enumerate(zip((sums.canary, sums.control), arms, strict=True)):
            place = (bucket[:, of] + BUCKETS * np.arange(runs)[:, np.newaxis]).ravel()
            for column, numbers in enumerate((weight[:, of], value[:, of])):
                arm[:, 0, :, column] += np.bincount(place, numbers.ravel(), runs * BUCKETS).reshape(runs, BUCKETS)
                waiting[:, 2 * at + 1 - column] += numbers.sum(axis=1)
        seen, batched = seen + split, batched + split
        known = bool(spread.any())
        gains = {}
        if batched >= MIN_BATCH:
            for kernel, side in sides.items():
                effects = tau[:, np.newaxis] * np.array(LEVEL_EFFECTS)
                gains[kernel] = mean.level_increments(*waiting.T, variance=spread, effects=effects, side=side)
            waiting, batched = np.zeros((runs, 4)), 0
        for kernel in sides:
            mixtures[kernel] = onset.advance_mixture(
                mixtures[kernel],
                gains.get(kernel, np.zeros_like(mixtures[kernel])) if known else np.zeros_like(mixtures[kernel]),
                forget=forget,
                log_start=onset.log_start_weight(number + 1, horizons=ONSET_HORIZONS),
            )
            found[kernel] |= proportion.log_mean(mixtures[kernel]) >= log(1 / ALPHA)
        if seen < GATE_REQUESTS:
            continue
        estimate, error = contrast(sums.canary, sums.control)
        if not tau.any():
            tau = 2 * world.limit * sums.control[:, 0, :, 1].sum(axis=1) / sums.control[:, 0, :, 0].sum(axis=1)
        evidence = mean.log_e_half_normal(estimate / error, (tau / error) ** 2)
        found["since the start"] |= evidence >= log(1 / ALPHA)
        weights = [arm[:, 0, :, 0].sum(axis=1) for arm in (sums.canary, sums.control)]
        spread = error**2 * weights[0] * weights[1] / (weights[0] + weights[1])
    return found


def serve_requests(
    world: LevelWorld, runs: int, looks: int, chance: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], Array, Array]]:
    """Buckets, weights and values of each look's requests, shape (runs, requests), the canary's first."""
    users, split = world.users, round(world.share * world.requests)
    edge = round(world.share * users)
    bucket = chance.integers(0, BUCKETS, (runs, users))
    own = chance.normal(0, 1, (runs, users))
    often = np.where(np.arange(users) % 100 == 0, 50.0 if world.heavy else 1.0, 1.0)
    arms = ((0, edge, split), (edge, users, world.requests - split))
    rows = np.arange(runs)[:, np.newaxis]
    for _ in range(looks):
        who = np.concatenate(
            [
                chance.choice(np.arange(first, last), (runs, asked), p=often[first:last] / often[first:last].sum())
                for first, last, asked in arms
            ],
            axis=1,
        )
        level = own[rows, who]
        if world.law == "score":
            weight = np.ones(who.shape)
            value = np.clip(np.rint(4 + 0.6 * level + 0.9 * chance.normal(0, 1, who.shape)), 1, 5)
        elif world.law == "cost":
            weight = np.ones(who.shape)
            value = np.minimum(np.exp(0.6 * level + 0.8 * chance.normal(0, 1, who.shape)), CAP)
        else:
            weight = 1.0 + chance.poisson(3 * np.exp(0.5 * level))
            value = chance.poisson(weight * 0.2 * np.exp(0.5 * level - 0.125)).astype(np.float64)
        yield bucket[rows, who], weight, value
