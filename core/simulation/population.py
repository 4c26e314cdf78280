"""Simulated users: their bucket, activity and segments, and the arm of each in a stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from core.judging.model.evidence import BUCKETS
from core.rollout.plans.plan import Stage
from core.stats.input_checks import Array

REQUESTS_PER_USER_DAY = 3.0  # assumed requests per user and day
MAX_USERS, MIN_USERS = 20_000, 500
"""Bounds of the number of users that are drawn. If there are more, each represents several people."""
COHORT_SHARE = 0.02  # share of all users in a cohort
SEGMENT_SHARES = {"a": 0.6, "b": 0.3, "c": 0.1}
"""Made-up values of a segment dimension, and their shares."""
MAX_PROFILES = 12  # number of segment combinations that are drawn

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Simulated users as arrays of shape (users,).

    `position` in [0, 1) decides the arm, `activity` is the user's share of all requests, `place` is
    `profile * 256 + bucket`. `people` is the number of real people, at least the number of simulated users.
    """

    position: Array
    place: Ints
    member: Bools  # whether the user belongs to a cohort
    activity: Array
    profiles: tuple[Mapping[str, str], ...]
    people: int

    @property
    def size(self) -> int:
        """Number of simulated users."""
        return len(self.position)

    @property
    def people_per_user(self) -> float:
        """Number of real people that one simulated user represents."""
        return self.people / self.size

    def expected_shares(self, stage: Stage, control: str, *, after_cohort: bool) -> tuple[float, float]:
        """Expected shares of all people in the (canary, control) of a stage."""
        of = COHORT_SHARE if stage.where is not None else 1.0 - COHORT_SHARE if after_cohort else 1.0
        return stage.percent / 100 * of, stage.control_share(control) * of

    def assign_arms(self, stage: Stage, control: str, *, after_cohort: bool = False) -> tuple[Bools, Bools]:
        """Masks of the users in the (canary, control) of a stage, assigned as `core.flags.placement` does.

        Members of a past cohort are not compared again.
        """
        share = stage.percent / 100
        canary, rest = self.position < share, self.position >= share
        if stage.has_matched_control(control):
            rest = self.position >= 1 - share
        if stage.where is not None:
            canary, rest = canary & self.member, rest & self.member
        elif after_cohort:
            canary, rest = canary & ~self.member, rest & ~self.member
        return canary, rest


def draw_population(daily_requests: float, cuts: Sequence[str], chance: Generator) -> Population:
    """Draw users for a number of daily requests; their activity follows an exponential distribution."""
    wanted = daily_requests / REQUESTS_PER_USER_DAY
    size = int(min(max(wanted, MIN_USERS), MAX_USERS))
    profiles = draw_profiles(cuts, chance)
    activity = chance.exponential(size=size)
    profile = chance.integers(0, len(profiles), size)
    return Population(
        position=chance.random(size),
        place=profile * BUCKETS + chance.integers(0, BUCKETS, size),
        member=chance.random(size) < COHORT_SHARE,
        activity=activity / activity.sum(),
        profiles=profiles,
        people=max(size, round(wanted)),
    )


def draw_profiles(cuts: Sequence[str], chance: Generator) -> tuple[Mapping[str, str], ...]:
    """Draw combinations of segments by dimension; a single empty one if no dimension is judged."""
    if not cuts:
        return ({},)
    drawn = {cut: chance.choice(list(SEGMENT_SHARES), MAX_PROFILES, p=list(SEGMENT_SHARES.values())) for cut in cuts}
    return tuple({cut: str(drawn[cut][i]) for cut in cuts} for i in range(MAX_PROFILES))
