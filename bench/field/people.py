"""Who uses a simulated AI feature: people who differ, a few of them with most of the traffic, and robots."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

LANGUAGES = ("en", "de", "fr", "tr", "ja")
SHARES = (0.55, 0.2, 0.15, 0.07, 0.03)
OPTED_IN, INTERNAL, PAID = 0.2, 0.04, 0.3
HEAVY = 0.005
"""Accounts that come fifty times as often as others of their kind."""
ROBOTS = 0.002
"""Programs that come a hundred times as often as a person, whatever the hour, and are mostly refused."""
CHANGING = 0.05
"""People who opt in or out while the rollout runs."""
CACHES = (0.0, 30.0, 300.0, 600.0)
"""Seconds for which clients keep an evaluation."""
CACHE_SHARES = (0.5, 0.25, 0.15, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Arrays over people. `activity` is each one's share of all sessions; `quality`, `refused`, `failing` and `clicks`
    are each one's own rates; `dear` and `slow` multiply cost and latency. `changes` is when somebody's opting in turns
    round, as a part of the trial's length (above 1: never)."""

    names: tuple[str, ...]
    activity: NDArray[np.float64]
    opted_in: NDArray[np.bool_]
    internal: NDArray[np.bool_]
    paid: NDArray[np.bool_]
    language: NDArray[np.int64]
    robot: NDArray[np.bool_]
    heavy: NDArray[np.bool_]
    quality: NDArray[np.float64]
    refused: NDArray[np.float64]
    failing: NDArray[np.float64]
    clicks: NDArray[np.float64]
    dear: NDArray[np.float64]
    slow: NDArray[np.float64]
    cache: NDArray[np.float64]
    changes: NDArray[np.float64]


def gather(count: int, chance: Generator, *, opted_in_quality: float) -> People:
    """`count` people. Those who opted in have a pass rate that is higher by `opted_in_quality` under either version."""
    activity = chance.lognormal(0.0, 1.0, count)
    heavy, robot = chance.random(count) < HEAVY, chance.random(count) < ROBOTS
    activity = np.where(heavy, activity * 50, activity)
    activity = np.where(robot, np.median(activity) * 100, activity)
    opted_in = chance.random(count) < OPTED_IN
    quality = _rates(chance, count, 0.9) + np.where(opted_in, opted_in_quality, 0.0)
    return People(
        names=tuple(f"user-{chance.integers(1 << 40):x}" for _ in range(count)),
        activity=activity / activity.sum(),
        opted_in=opted_in,
        internal=chance.random(count) < INTERNAL,
        paid=chance.random(count) < PAID,
        language=chance.choice(len(LANGUAGES), count, p=SHARES),
        robot=robot,
        heavy=heavy,
        quality=np.clip(quality, 0.0, 1.0),
        refused=np.where(robot, 0.7, _rates(chance, count, 0.02)),
        failing=_rates(chance, count, 0.004),
        clicks=_rates(chance, count, 0.3),
        dear=chance.lognormal(0.0, 0.4, count),
        slow=chance.lognormal(0.0, 0.2, count),
        cache=chance.choice(CACHES, count, p=CACHE_SHARES),
        changes=np.where(chance.random(count) < CHANGING, chance.random(count), 2.0),
    )


def _rates(chance: Generator, count: int, mean: float, icc: float = 0.03) -> NDArray[np.float64]:
    """Each one's own rate: a beta law; requests of one person are correlated by `icc`."""
    size = (1 - icc) / icc
    return chance.beta(mean * size, (1 - mean) * size, count)
