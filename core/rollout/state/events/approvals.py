"""Approvals of a start or a gate, and going on without one."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """Approval was requested. `gate` is `start` or the name of the stage to enter; `verdict` is the evidence it rests
    on."""

    TYPE: ClassVar[str] = "rollout.approval_requested"
    WRITTEN: ClassVar[tuple[str, ...]] = ("skipped",)
    LATER: ClassVar[tuple[str, ...]] = ("skipped", "skipped_by")
    request: str
    gate: str
    needed: int
    verdict: str
    expires_at: datetime
    skipped: str | None = None  # why a person skipped the wait before this gate
    skipped_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalExpired:
    """Nobody approved the request in time."""

    TYPE: ClassVar[str] = "rollout.approval_expired"
    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """One person approved the open request."""

    TYPE: ClassVar[str] = "rollout.approved"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "note")
    request: str
    by: str
    handle: str
    groups: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One person rejected the open request."""

    TYPE: ClassVar[str] = "rollout.rejected"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    request: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassBroken:
    """A person went on although something was missing: what was passed over, and by when that is reviewed."""

    TYPE: ClassVar[str] = "rollout.glass_broken"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    action: str  # start | advance
    passed_over: tuple[str, ...]
    review_due: datetime


ApprovalEvent: TypeAlias = ApprovalRequested | ApprovalExpired | Approved | Rejected | GlassBroken
