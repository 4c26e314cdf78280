"""What can be asked of a rollout: imperative values, each from a person, the clock or the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from core.judging.model.judgement import Judgement
from core.judging.model.verdict import BlindSpot, Verdict
from core.rollout.plan import Plan
from core.rollout.policy import Policy
from core.rollout.surface import SurfaceDeclared


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRollout:
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Begin now, or `then` (the earliest possible time, by the `Start then` button)."""

    then: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """`request` is what the pressed button stood for; empty from a typed command: the open request."""

    request: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    request: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """Skip the waiting. `to_percent` jumps to a later ramp step; neither skips a gate."""

    to_percent: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeNotice:
    """`notice` is the channel that is told, as `support:#support`; empty where only one is open."""

    notice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseConcern:
    notice: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeelsOff:
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEval:
    """One offline run, already held against its gate's terms."""

    suite: str
    ok: bool
    passed: int
    failed: int
    errors: int
    reasons: tuple[str, ...]
    cases: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookResult:
    """What one look of the engine found, and where its inputs are kept."""

    judgement: Judgement = field(repr=False)  # the digests below stand for it where commands are compared
    first_look: int
    last_look: int
    state_before: str
    looks: str
    state_after: str
    judged_seconds: float | None = None
    blind: tuple[BlindSpot, ...] = ()  # the rollback limits of which harm could still have been missed
    caps: Mapping[str, float] = field(default_factory=dict)  # newly known, to be frozen
    unwatched: bool = False  # nobody had looked for so long that nothing may grow on this look

    @property
    def verdict(self) -> Verdict:
        return self.judgement.verdict

    @property
    def stage_requests(self) -> int:
        """Requests of the canary in the stage under way."""
        return self.judgement.canary_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed. `look` is None where nobody is exposed and there is nothing to look at."""

    look: LookResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtEvidence:
    """A look failed: what came in cannot be judged, so nothing may grow on it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDrill:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmFlip:
    seconds: float
    processes: int
    unheard: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtFlip:
    seconds: float
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPosted:
    key: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    key: str
    channel: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlag:
    """The flag system was read at `percent`, `seconds` after that was decided. `rolled_back`: whether the rollback was
    decided before it was read; a reading from before says nothing about it."""

    percent: float
    before: float
    seconds: float
    rolled_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlagTrouble:
    """The flag system cannot be brought to `percent`; `trying` whether it is tried again by itself."""

    percent: float
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlagLowered:
    """The flag system is at `percent`, which is less than what it was read back at before."""

    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySurface:
    declared: SurfaceDeclared


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyPolicy:
    policy: Policy
    fingerprint: str


PersonsCommand: TypeAlias = (
    Start
    | Approve
    | Reject
    | Advance
    | Pause
    | Resume
    | RollBack
    | Abandon
    | AcknowledgeNotice
    | RaiseConcern
    | FeelsOff
    | RecordEval
)
EngineCommand: TypeAlias = (
    Tick
    | DoubtEvidence
    | RecordDrill
    | ConfirmFlip
    | DoubtFlip
    | RecordPosted
    | RecordFailed
    | RecordFlag
    | RecordFlagTrouble
    | RecordFlagLowered
)
RolloutCommand: TypeAlias = PlanRollout | PersonsCommand | EngineCommand
Command: TypeAlias = RolloutCommand | ApplySurface | ApplyPolicy
