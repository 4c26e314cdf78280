"""The interface of systems that revert code after a rollback."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from core.rollout.plans.plan import CodeRevert


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertOrder:
    """What is to be reverted and why. `id` is the same at every attempt; `reason` is no text of a person."""

    id: str
    rollout: str
    surface: str
    version: str  # the one everyone gets now
    code: str  # what the version that was rolled back called its code
    reason: str
    at: datetime  # of the rollback


class RevertSystem(Protocol):
    """One system. Raises `RetryLater` or `PermanentFailure`."""

    def request_revert(self, order: RevertOrder) -> str:
        """Ask for the revert, or find that it was asked for already; returns what leads people to it."""


OpenRevertSystem: TypeAlias = Callable[[CodeRevert], RevertSystem]
"""Opens what a plan names; raises `PermanentFailure` if this installation may not talk to it."""
