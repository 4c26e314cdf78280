"""Simulated users: where each falls, how often they come, what they are like, and who is in which arm of a stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from core.judging.model.evidence import BUCKETS
from core.rollout.plan import Stage
from core.stats.checked import Array

REQUESTS_A_DAY = 3.0  # of one user, where nothing tells
MOST, LEAST = 20_000, 500
"""Users that are drawn: where there are more, each stands for several, and is the less peculiar for it."""
COHORT = 0.02  # of all users, where a stage lets in only some
SHARES = {"a": 0.6, "b": 0.3, "c": 0.1}
"""Made-up values of a dimension of segments, and their shares."""
PROFILES = 12  # combinations of segments that are drawn

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Arrays of shape (users,). `position` in [0, 1) decides the arm, `activity` is each user's share of all requests;
    `place` is `profile * 256 + bucket`; `people` is how many there really are, at least those that are drawn."""

    position: Array
    place: Ints
    member: Bools  # of a cohort
    activity: Array
    profiles: tuple[Mapping[str, str], ...]
    people: int

    @property
    def size(self) -> int:
        """Users that are drawn."""
        return len(self.position)

    @property
    def stands_for(self) -> float:
        """How many people one of these users is."""
        return self.people / self.size

    def shares(self, stage: Stage, control: str, *, after_cohort: bool = False) -> tuple[float, float]:
        """The parts of all people that are expected in the arms of a stage."""
        share = stage.percent / 100
        rest = share if control == "matched" and share <= 1 / 2 else 1 - share
        of = COHORT if stage.where is not None else 1.0 - COHORT if after_cohort else 1.0
        return share * of, rest * of

    def arms(self, stage: Stage, control: str, *, after_cohort: bool = False) -> tuple[Bools, Bools]:
        """Who is served the new version in a stage, and who is its control, as placement does it: whom a past cohort
        compared is compared no more."""
        share = stage.percent / 100
        canary, rest = self.position < share, self.position >= share
        if control == "matched" and share <= 1 / 2:
            rest = self.position >= 1 - share
        if stage.where is not None:
            canary, rest = canary & self.member, rest & self.member
        elif after_cohort:
            canary, rest = canary & ~self.member, rest & ~self.member
        return canary, rest


def populate(daily_requests: float, cuts: Sequence[str], chance: Generator) -> Population:
    """Users for a pace, as unequal in how often they come as people are (an exponential law)."""
    wanted = daily_requests / REQUESTS_A_DAY
    size = int(min(max(wanted, LEAST), MOST))
    profiles = profiles_of(cuts, chance)
    activity = chance.exponential(size=size)
    profile = chance.integers(0, len(profiles), size)
    return Population(
        position=chance.random(size),
        place=profile * BUCKETS + chance.integers(0, BUCKETS, size),
        member=chance.random(size) < COHORT,
        activity=activity / activity.sum(),
        profiles=profiles,
        people=max(size, round(wanted)),
    )


def profiles_of(cuts: Sequence[str], chance: Generator) -> tuple[Mapping[str, str], ...]:
    """Combinations of segments; a single empty one where none are judged."""
    if not cuts:
        return ({},)
    drawn = {cut: chance.choice(list(SHARES), PROFILES, p=list(SHARES.values())) for cut in cuts}
    return tuple({cut: str(drawn[cut][i]) for cut in cuts} for i in range(PROFILES))
