"""What happens to the workspace as a whole."""

from dataclasses import dataclass
from typing import ClassVar

from core.rollout.plans.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyApplied:
    """A policy was applied to the workspace."""

    TYPE: ClassVar[str] = "workspace.policy_applied"
    LATER: ClassVar[tuple[str, ...]] = tuple(f"policy.{name}" for name in Policy.LATER)
    policy: Policy
    fingerprint: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsErased:
    """The texts of one person can no longer be read: the key they were encrypted with was deleted."""

    TYPE: ClassVar[str] = "workspace.words_erased"
    key_id: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldCheckpointed:
    """The world as of `position`, whose event has this `hash`, was saved, so that a start need not replay the whole
    log.

    `world` is the SHA-256 of the saved world and `code` that of the program that computed it; both in hex.
    """

    TYPE: ClassVar[str] = "workspace.world_checkpointed"
    position: int
    hash: str
    world: str
    code: str
