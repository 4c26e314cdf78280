"""How people get the previous version back, and the code its previous state."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from core.judging.model.verdict import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """From this event on, everyone gets the previous version."""

    TYPE: ClassVar[str] = "rollout.rolled_back"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    LATER: ClassVar[tuple[str, ...]] = ("finishing", "bundle_cause")
    by: str
    reason: str
    findings: tuple[Finding, ...]
    version: str  # the version everyone gets now
    after_done: bool
    verdict_seconds: float | None  # rollout time, from the first exposure of this stage to the verdict
    judged_seconds: float | None  # real time, from the start of the look to the decision
    exposed_requests: int
    exposed_units: int
    finishing: bool | None = None  # conversations that began with the new version go on with it, as the plan says
    bundle_cause: str | None = None  # the rollout of the same bundle with which it went back; None: by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumRolledBack:
    """From this event on, one stratum gets the previous version, and is not compared; the others stay."""

    TYPE: ClassVar[str] = "rollout.stratum_rolled_back"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    stratum: str
    version: str  # the version its members get now


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMovedBack:
    """A person gave one unit the live version again. It is not compared any more.

    `unit_hash` is the 64-bit number, in hex, from which the unit's bucket follows: the log does not hold the unit
    itself.
    """

    TYPE: ClassVar[str] = "rollout.unit_moved_back"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    unit_hash: str
    version: str  # the version that the unit gets
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationsMoved:
    """From this event on, conversations under way get what everyone gets, after a rollout in which they went on with
    the version that they began with. `is_due`: their time is over; otherwise a person wanted it at once."""

    TYPE: ClassVar[str] = "rollout.conversations_moved"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackExplained:
    """A person said afterwards why it was rolled back. `cause` is one of `commands.ROLLBACK_CAUSES`; `reason` may add
    words to it."""

    TYPE: ClassVar[str] = "rollout.rollback_explained"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "reason")
    by: str
    handle: str
    cause: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipConfirmed:
    """Every process reported that it serves the version of the rollback; `seconds` is real time.

    The processes in `unheard` no longer reported. Confirmation waited until those fall back to the live version on
    their own.
    """

    TYPE: ClassVar[str] = "rollout.flip_confirmed"
    LATER: ClassVar[tuple[str, ...]] = ("unheard", "stratum")
    seconds: float
    processes: int
    unheard: tuple[str, ...] | None = None  # names of processes; None if all of them reported
    stratum: str | None = None  # the stratum that was rolled back; None: everyone


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipUnconfirmed:
    """The rollback could not be confirmed in time; `missing` names the processes that did not report."""

    TYPE: ClassVar[str] = "rollout.flip_unconfirmed"
    LATER: ClassVar[tuple[str, ...]] = ("stratum",)
    seconds: float
    missing: tuple[str, ...]
    stratum: str | None = None  # the stratum that was rolled back; None: everyone


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertRequested:
    """A system was asked to revert the code, `seconds` (real time) after the rollback. `reference` leads to it."""

    TYPE: ClassVar[str] = "rollout.revert_requested"
    index: int
    system: str
    reference: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertNotRequested:
    """The code revert could not be requested. `trying`: it is being retried automatically."""

    TYPE: ClassVar[str] = "rollout.revert_not_requested"
    index: int
    system: str
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReverted:
    """A person or a pipeline confirmed that the code is reverted and deployed."""

    TYPE: ClassVar[str] = "rollout.code_reverted"
    WRITTEN: ClassVar[tuple[str, ...]] = ("note",)
    by: str
    note: str


RollbackEvent: TypeAlias = (
    RolledBack
    | StratumRolledBack
    | UnitMovedBack
    | ConversationsMoved
    | RollbackExplained
    | FlipConfirmed
    | FlipUnconfirmed
    | RevertRequested
    | RevertNotRequested
    | CodeReverted
)
