"""Rounds that take turns, so that a noisy minute of the machine falls on everybody alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Party = TypeVar("Party", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure.

    `seconds` is the length of one round of load, and `share` how many of the full number of repetitions there are. So
    many `rollouts` run side by side for `crowded` seconds, looked at every `tick`. Commands come over `connections`;
    over a single one none overtakes another, however slow the machine is. The rest are events of the two long logs,
    rows of a warehouse, and starts of the demonstration.
    """

    rounds: int
    seconds: float
    share: float
    memory_idle: float
    memory_loaded: float
    crowded: float
    rollouts: int = 50
    tick: float = 10.0
    connections: int = 16
    large_log: int
    startup_log: int
    warehouse_rows: int
    demo_starts: int

    def some(self, full: int) -> int:
        """So many repetitions of the full number."""
        return max(1, int(full * self.share))


FULL = Effort(
    rounds=7,
    seconds=6,
    share=1.0,
    memory_idle=30,
    memory_loaded=300,
    crowded=600,
    large_log=1_000_000,
    startup_log=5_000_000,
    warehouse_rows=100_000_000,
    demo_starts=3,
)
QUICK = Effort(
    rounds=5,
    seconds=2,
    share=0.25,
    memory_idle=10,
    memory_loaded=60,
    crowded=60,
    large_log=100_000,
    startup_log=100_000,
    warehouse_rows=2_000_000,
    demo_starts=3,
)
SMALLEST = Effort(
    rounds=1,
    seconds=0.1,
    share=0.01,
    memory_idle=1,
    memory_loaded=3,
    crowded=4,
    rollouts=2,
    tick=1.0,
    connections=1,
    large_log=5_000,
    startup_log=5_000,
    warehouse_rows=20_000,
    demo_starts=1,
)
"""Whether everything can run at all; what it finds means nothing."""


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
