"""The interface that every driven system implements: read and write a percentage."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from core.rollout.plans.plan import DrivenFlag


class FlagSystem(Protocol):
    """One flag or label in a team's own system. Each call raises `RetryLater` or `PermanentFailure` where it fails."""

    def read(self) -> float:
        """The percentage that gets the new version now, 0 to 100. What is off is at 0, as is a label elsewhere."""

    def read_dormant(self) -> float:
        """The percentage that would get the new version if whatever is off were turned on. Else that of `read`."""

    def explain_doubt(self) -> str:
        """What is allowed and looks like a mistake, such as a label that no version has; empty for nothing."""

    def rehearse(self, percent: float) -> None:
        """Raise what a write of this percentage would be refused for, as far as can be seen without writing."""

    def write(self, percent: float) -> None:
        """Request another percentage, 0 to 100. Read it back to know whether it was taken."""


OpenFlagSystem: TypeAlias = Callable[[DrivenFlag], FlagSystem]
"""Opens what a plan names; raises `PermanentFailure` if this installation may not talk to its system."""
