"""What every flag system can do for us: say what it is at, and be told what to be at."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from core.rollout.plan import DrivenFlag


class FlagSystem(Protocol):
    """One flag of a team's own system. Each call is one request: `Later` or `Never` where it comes to nothing."""

    def read(self) -> float:
        """The percentage that it gives the new version to now, 0 to 100."""

    def write(self, percent: float) -> None:
        """Ask for another one. Whether it was taken is known by reading it."""


Open: TypeAlias = Callable[[DrivenFlag], FlagSystem]
"""The system that a plan names; `Never` where this installation may not talk to it."""
