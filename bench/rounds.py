"""Rounds that take turns, so that a noisy minute of the machine falls on everybody alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Party = TypeVar("Party", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure. `seconds` is the length of one round of load."""

    rounds: int
    seconds: float
    memory_idle: float
    memory_loaded: float
    quick: bool

    def some(self, full: int) -> int:
        """A number of repetitions, a quarter of it when it has to be quick."""
        return max(1, full // 4) if self.quick else full


FULL = Effort(rounds=7, seconds=6, memory_idle=30, memory_loaded=300, quick=False)
QUICK = Effort(rounds=5, seconds=2, memory_idle=10, memory_loaded=60, quick=True)


def medians(parties: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each party's figure; every party has its turn in every round, after one that does not count."""
    for measure in parties.values():
        measure()
    found: dict[str, list[float]] = {name: [] for name in parties}
    for number in range(rounds):
        names = list(parties)
        for name in names if number % 2 == 0 else names[::-1]:
            found[name].append(parties[name]())
    return {name: median(figures) for name, figures in found.items()}
