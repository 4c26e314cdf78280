"""What an evaluation answers, and why there may be no answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NoSnapshot(LookupError):
    """No snapshot has been fetched yet, and none was kept on disk."""


class UnknownSurface(LookupError):
    """The snapshot has no surface of this name: no file for it was ever applied."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """Which version a unit gets. One of the few answers of a surface, shared by everybody who gets it.

    `value` is the version's whole content; do not change it. `variant` is `canary`, `control` or `stable`, `reason`
    `SPLIT`, `TARGETING_MATCH` or `DEFAULT`. `exposure` is sent back in observations; it is empty without a rollout.
    Keep `conversation` of a conversation's first turn, and send it in the context of the later ones.
    """

    surface: str
    version: str
    value: Mapping[str, Any]
    variant: str
    reason: str
    rollout: str
    cohort: str
    stage: str
    exposure: str

    @property
    def stratum(self) -> str:
        """In which audience of which rollout this was served: the context's attribute `stratum` in later evaluations.
        Empty where it belongs to none; keep the one before then."""
        if not self.cohort and self.variant == "stable":
            return ""
        return f"{self.rollout}/{self.cohort}" if self.cohort else self.rollout

    @property
    def conversation(self) -> str:
        """What a conversation began with: the context's attribute `conversation` in all of its later turns."""
        return f"{self.surface}@{self.version}/{self.exposure}" if self.exposure else f"{self.surface}@{self.version}"
