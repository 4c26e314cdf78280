"""How often a kind of soft error came in each arm of the current stage."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftErrorCounts:
    """The counts of one category. `is_new`: the current version has never shown it, and the new one too often for
    chance."""

    category: str
    canary: int
    control: int
    canary_requests: int
    control_requests: int
    is_new: bool = False
