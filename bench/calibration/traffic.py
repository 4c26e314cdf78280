"""What comes in during a simulated rollout without harm: requests, their split, and a base rate that may move."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.measuring.streams import Array

REQUESTS = 100  # a look, both arms together
RAMP = (0.01, 0.05, 0.25, 0.50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way in which both arms behave alike.

    `rate` and `canary_share` tell the base rate and the canary's share at each of so many looks. `correlation` is that
    of requests of one user; users persist and move from control to canary as the share grows. `activity` is the
    standard deviation of the logarithm of how often a user comes. With `sparse` a look has at most one canary request.
    """

    name: str
    rate: Callable[[int], Array]
    canary_share: Callable[[int], Array]
    harm: Literal["greater", "less"] = "less"
    requests: int = REQUESTS
    correlation: float = 0.0
    users: int = 6_000
    activity: float = 0.0
    sparse: bool = False
    kernels: tuple[Literal["exact", "means"], ...] = ("exact", "means")
    values: Literal["outcomes", "costs"] = "outcomes"

    def stages(self, looks: int) -> list[int]:
        """The stage of each look; a stage is a time with one split."""
        changes = np.diff(self.canary_share(looks), prepend=self.canary_share(looks)[:1]) != 0
        return [int(stage) for stage in np.cumsum(changes)]

    def trials(self, looks: int) -> tuple[list[int], list[int]]:
        """Requests of canary and control at each look."""
        canary = np.maximum(1, np.round(self.requests * self.canary_share(looks)).astype(int))
        return canary.tolist(), (self.requests - canary).tolist()


def steady(value: float) -> Callable[[int], Array]:
    """The same at every look."""
    return lambda looks: np.full(looks, value)


def ramp(looks: int) -> Array:
    """The shares of a ramp, each for as long as the others."""
    return np.array(RAMP)[np.arange(looks) * len(RAMP) // looks]


def _drift(looks: int) -> Array:
    return np.linspace(0.92, 0.88, looks)


def _diurnal(looks: int) -> Array:
    return np.asarray(0.90 + 0.02 * np.sin(2 * np.pi * 5 * np.arange(looks) / looks))


def _incident(looks: int) -> Array:
    return np.where(np.arange(looks) >= 0.9 * looks, 0.50, 0.90)


SCENARIOS = (
    Scenario(name="flat", rate=steady(0.90), canary_share=steady(0.05)),
    Scenario(name="rare errors", rate=steady(0.005), canary_share=steady(0.05), harm="greater", kernels=("exact",)),
    Scenario(
        name="skewed cost",
        rate=steady(1.0),
        canary_share=steady(0.05),
        harm="greater",
        values="costs",
        kernels=("means",),
    ),
    Scenario(name="ramp", rate=steady(0.90), canary_share=ramp),
    Scenario(name="ramp, drift .92 to .88", rate=_drift, canary_share=ramp),
    Scenario(name="ramp, diurnal +-.02", rate=_diurnal, canary_share=ramp),
    Scenario(name="ramp, incident in both arms", rate=_incident, canary_share=ramp),
    Scenario(
        name="sparse canary",
        rate=steady(0.90),
        canary_share=steady(0.05),
        requests=20,
        sparse=True,
        kernels=("exact",),
    ),
    Scenario(name="users, ICC .2", rate=steady(0.90), canary_share=steady(0.05), correlation=0.2),
    Scenario(name="users, ICC .5", rate=steady(0.90), canary_share=steady(0.05), correlation=0.5),
    Scenario(name="users, ICC .5, ramp", rate=steady(0.90), canary_share=ramp, correlation=0.5),
    Scenario(name="few users, ICC .5", rate=steady(0.90), canary_share=steady(0.05), correlation=0.5, users=1_000),
    Scenario(name="unequal users, ICC .5", rate=steady(0.90), canary_share=steady(0.05), correlation=0.5, activity=1.0),
)
