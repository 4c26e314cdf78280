"""Caps how many observations of one unit count, at a multiple of the mean per unit in its stage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Protocol, TypeVar
from zlib import crc32

TIMES = 5
"""The cap of a unit, as a multiple of the mean number of observations per unit in the stage."""
LEAST = 20
"""This many observations of a unit always count, since the mean is not known yet when a stage begins."""
TRACKED = 4096
"""How many units are counted individually. A unit that is not has sent less than 1/4096 of all observations."""
_MARKS = 1 << 16


class Sent(Protocol):
    """Anything that a unit sent in a stage of a rollout."""

    @property
    def rollout(self) -> str:
        """The rollout that it belongs to."""

    @property
    def stage(self) -> int:
        """The index of the stage in which the unit was served."""

    @property
    def unit(self) -> str:
        """The unit that sent it."""


_T = TypeVar("_T", bound=Sent)


@dataclass(slots=True)
class _Stage:
    """The observations of one stage in this process: how many counted, and how many of the busiest units."""

    counted: int = 0
    units: dict[str, int] = field(default_factory=dict)
    marks: bytearray = field(default_factory=lambda: bytearray(_MARKS))
    marked: int = 0

    def takes(self, unit: str) -> bool:
        """Count one more observation of this unit, unless the unit has reached its cap; whether it counts."""
        place = crc32(unit.encode()) % _MARKS
        if not self.marks[place]:
            self.marks[place] = 1
            self.marked += 1
        own = self.units.get(unit, 0)
        if own >= LEAST and own * self._people() >= TIMES * self.counted:
            return False
        if own or len(self.units) < TRACKED:
            self.units[unit] = own + 1
        else:
            # Decrement all (Misra and Gries 1982): frequent senders stay, whatever else comes.
            self.units = {name: number - 1 for name, number in self.units.items() if number > 1}
        self.counted += 1
        return True

    def _people(self) -> float:
        """Estimate the number of distinct units by linear counting (Whang and others 1990)."""
        return -_MARKS * log(max(1 - self.marked / _MARKS, 1 / _MARKS))


class Allowances:
    """The caps of all stages, kept between batches.

    Whether an observation counts depends on how many came before, never on its values, and the rule is the same for
    both arms, so the error rate of the evidence holds. Each process keeps its own counts, in memory only: n processes
    admit up to n times `CAP_MINIMUM` of one unit.
    """

    def __init__(self) -> None:
        self._stages: dict[tuple[str, int], _Stage] = {}

    def count(self, sent: Sequence[_T]) -> list[bool]:
        """Count these observations; for each, in order, whether it counts."""
        return [self._stages.setdefault((each.rollout, each.stage), _Stage()).takes(each.unit) for each in sent]
