"""The interface that every flag system adapter implements: read and write a percentage."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from core.rollout.plans.plan import DrivenFlag


class FlagSystem(Protocol):
    """One flag in a team's own system. Each call is one request and raises `RetryLater` or `PermanentFailure`."""

    def read(self) -> float:
        """The percentage that gets the new version now, 0 to 100."""

    def write(self, percent: float) -> None:
        """Request another percentage, 0 to 100. Read it back to know whether it was taken."""


OpenFlagSystem: TypeAlias = Callable[[DrivenFlag], FlagSystem]
"""Opens the flag that a plan names; raises `PermanentFailure` if this installation may not talk to its system."""
