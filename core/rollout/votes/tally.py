"""Counts what testers say of each version, and whether the new one is called worse beyond chance."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log

from core.rollout.state.events import VoteCast
from core.rollout.state.model import Rollout
from core.stats.sequential import small_sample

VOTES_ALPHA = 0.05
"""The chance that votes hold a stage of a version that is no worse, however often they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmVotes:
    """How many testers said what of one arm."""

    good: int = 0
    worse: int = 0
    cant_tell: int = 0

    @property
    def total(self) -> int:
        """How many testers said anything."""
        return self.good + self.worse + self.cant_tell


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteTally:
    """What testers say in one stage. `unknown` are those of whom it is not known which version they get."""

    canary: ArmVotes
    control: ArmVotes
    unknown: ArmVotes

    @property
    def total(self) -> int:
        """How many testers said anything."""
        return self.canary.total + self.control.total + self.unknown.total

    @property
    def log_e(self) -> float:
        """Log e-value that testers call the new version worse more often than the current one."""
        return small_sample.log_e_more_often(
            self.canary.worse, self.canary.total, self.control.worse, self.control.total
        )

    @property
    def is_worse_beyond_chance(self) -> bool:
        """Whether the new version is called worse so much more often that it is not chance."""
        return self.log_e >= log(1 / VOTES_ALPHA)


def count_votes(rollout: Rollout, stage: int) -> VoteTally:
    """What testers say in the stage with this index."""
    votes = rollout.votes.get(stage, {}).values()
    by_arm: Mapping[str, ArmVotes] = {arm: _count([v for v in votes if v.arm == arm]) for arm in ("canary", "control")}
    unknown = _count([vote for vote in votes if vote.arm not in by_arm])
    return VoteTally(canary=by_arm["canary"], control=by_arm["control"], unknown=unknown)


def _count(votes: Iterable[VoteCast]) -> ArmVotes:
    said = [vote.choice for vote in votes]
    return ArmVotes(good=said.count("good"), worse=said.count("worse"), cant_tell=said.count("cant_tell"))
