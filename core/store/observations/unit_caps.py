"""How much of one unit counts: some times what is usual in its stage, whatever it says and however often."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Protocol, TypeVar
from zlib import crc32

TIMES = 5
"""So many times the mean number of observations of a stage's units, one unit counts."""
LEAST = 20
"""And so many at any rate: when a stage begins nobody knows yet what is usual."""
TRACKED = 4096
"""Units that are counted one by one. One that is not has sent less than 1/4096 of everything."""
_MARKS = 1 << 16


class Sent(Protocol):
    """Something that a unit has sent in a stage of a rollout."""

    @property
    def rollout(self) -> str:
        """The rollout that it belongs to."""

    @property
    def stage(self) -> int:
        """The stage in which its unit was served."""

    @property
    def unit(self) -> str:
        """Whoever sent it."""


_T = TypeVar("_T", bound=Sent)


@dataclass(slots=True)
class _Stage:
    """What a stage has been sent, as far as this process knows: how many count, and the busiest units' shares."""

    counted: int = 0
    units: dict[str, int] = field(default_factory=dict)
    marks: bytearray = field(default_factory=lambda: bytearray(_MARKS))
    marked: int = 0

    def takes(self, unit: str) -> bool:
        """Whether one more of this unit counts; it is then counted."""
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
            # Everybody gives one up (Misra and Gries 1982): whoever sends much stays, whatever else comes.
            self.units = {name: number - 1 for name, number in self.units.items() if number > 1}
        self.counted += 1
        return True

    def _people(self) -> float:
        """How many units there are, by the share of places that nobody has marked (Whang and others 1990)."""
        return -_MARKS * log(max(1 - self.marked / _MARKS, 1 / _MARKS))


class Allowances:
    """Kept between batches by whoever takes them in. Which observations count depends on how many came before, never
    on what they say, and the measure is the same for both arms: so evidence keeps its error rate.

    Each process has its own, and begins anew with it: several let through several times `LEAST` of one unit.
    """

    def __init__(self) -> None:
        self._stages: dict[tuple[str, int], _Stage] = {}

    def count(self, sent: Sequence[_T]) -> list[bool]:
        """Whether each counts, in order."""
        return [self._stages.setdefault((each.rollout, each.stage), _Stage()).takes(each.unit) for each in sent]
