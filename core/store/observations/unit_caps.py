"""Caps how many observations of one unit count, at a multiple of the mean per unit in its stage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Protocol, TypeVar
from zlib import crc32

CAP_MULTIPLE = 5
"""The cap of a unit, as a multiple of the mean number of observations per unit in the stage."""
CAP_MINIMUM = 20
"""This many observations of a unit always count, since the mean is not known yet when a stage begins."""
MAX_TRACKED_UNITS = 4096
"""How many units are counted individually. A unit that is not has sent less than 1/4096 of all observations."""
_SKETCH_BITS = 1 << 16


class SentByUnit(Protocol):
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


_T = TypeVar("_T", bound=SentByUnit)


@dataclass(slots=True)
class _StageCounts:
    """The observations of one stage in this process: how many counted, and how many of the busiest units."""

    counted: int = 0
    units: dict[str, int] = field(default_factory=dict)
    sketch: bytearray = field(default_factory=lambda: bytearray(_SKETCH_BITS))
    filled: int = 0

    def try_count(self, unit: str) -> bool:
        """Count one more observation of this unit, unless the unit has reached its cap; whether it counts."""
        place = crc32(unit.encode()) % _SKETCH_BITS
        if not self.sketch[place]:
            self.sketch[place] = 1
            self.filled += 1
        own = self.units.get(unit, 0)
        if own >= CAP_MINIMUM and own * self._estimate_units() >= CAP_MULTIPLE * self.counted:
            return False
        if own or len(self.units) < MAX_TRACKED_UNITS:
            self.units[unit] = own + 1
        else:
            # Decrement all (Misra and Gries 1982): frequent senders stay, whatever else comes.
            self.units = {name: number - 1 for name, number in self.units.items() if number > 1}
        self.counted += 1
        return True

    def _estimate_units(self) -> float:
        """Estimate the number of distinct units by linear counting (Whang and others 1990)."""
        return -_SKETCH_BITS * log(max(1 - self.filled / _SKETCH_BITS, 1 / _SKETCH_BITS))


class UnitCaps:
    """The caps of all stages, kept between batches.

    Whether an observation counts depends on how many came before, never on its values, and the rule is the same for
    both arms, so the error rate of the evidence holds. Each process keeps its own counts, in memory only: n processes
    admit up to n times `CAP_MINIMUM` of one unit.
    """

    def __init__(self) -> None:
        self._stages: dict[tuple[str, int], _StageCounts] = {}

    def admit(self, sent: Sequence[_T]) -> list[bool]:
        """Count these observations; for each, in order, whether it counts."""
        return [
            self._stages.setdefault((each.rollout, each.stage), _StageCounts()).try_count(each.unit) for each in sent
        ]
