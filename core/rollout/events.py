"""What can happen to a rollout: every stored event, past tense, never edited once shipped.

`WRITTEN` names the fields that hold somebody's own words or name: they are sealed where they are stored. `LATER` names
those that came when bodies were stored already: they are not written while they are None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias

from core.judging.model.verdict import BlindSpot, Finding, Measure, Verdict
from core.rollout.plan import Content, Plan
from core.rollout.policy import Policy
from core.rollout.surface import SurfaceEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A file was applied. Applied again before the start, it begins approvals and notices anew."""

    TYPE: ClassVar[str] = "rollout.planned"
    LATER: ClassVar[tuple[str, ...]] = tuple(f"plan.{name}" for name in Plan.LATER)
    rollout: str
    plan: Plan
    fingerprint: str
    from_content: Content
    to_content: Content
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """People are asked. `gate` is `start` or the name of the stage to be entered; `verdict` what they are asked on."""

    TYPE: ClassVar[str] = "rollout.approval_requested"
    WRITTEN: ClassVar[tuple[str, ...]] = ("skipped",)
    LATER: ClassVar[tuple[str, ...]] = ("skipped",)
    request: str
    gate: str
    needed: int
    verdict: str
    expires_at: datetime
    skipped: str | None = None  # why a person skipped the waiting before it


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalExpired:
    TYPE: ClassVar[str] = "rollout.approval_expired"
    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    TYPE: ClassVar[str] = "rollout.approved"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "note")
    request: str
    by: str
    handle: str
    groups: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    TYPE: ClassVar[str] = "rollout.rejected"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    request: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartScheduled:
    """Somebody pressed `Start then`: the rollout begins by itself at this time."""

    TYPE: ClassVar[str] = "rollout.start_scheduled"
    start: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseChanged:
    """Before the start another version went live than the plan starts from, so it cannot begin; or that one again."""

    TYPE: ClassVar[str] = "rollout.base_changed"
    live: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Plan and limits are frozen from here on, under this fingerprint."""

    TYPE: ClassVar[str] = "rollout.started"
    fingerprint: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntered:
    TYPE: ClassVar[str] = "rollout.stage_entered"
    WRITTEN: ClassVar[tuple[str, ...]] = ("skipped",)
    index: int
    name: str
    percent: float
    skipped: str = ""  # why a person skipped the waiting, or stages


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecorded:
    """The outcome of an offline run against its gate's terms."""

    TYPE: ClassVar[str] = "rollout.eval_recorded"
    stage: int
    suite: str
    ok: bool
    passed: int
    failed: int
    errors: int
    reasons: tuple[str, ...]
    cases: tuple[str, ...]  # ids of the cases the reasons speak of
    digest: str  # of the rows, so that the same run is recognised
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillFinished:
    """The switch back was rehearsed on no traffic: how long until every process had seen it."""

    TYPE: ClassVar[str] = "rollout.drill_finished"
    stage: int
    seconds: float
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecorded:
    """What the engine saw when it mattered, with all that is needed to compute the verdict again."""

    TYPE: ClassVar[str] = "rollout.evidence_recorded"
    LATER: ClassVar[tuple[str, ...]] = ("verdict.number", "blind")
    number: int
    reason: str  # verdict | step | summary | hold | rollback
    verdict: Verdict
    measures: tuple[Measure, ...]
    canary_requests: int
    control_requests: int
    canary_units: int
    control_units: int
    first_look: int
    last_look: int
    state_before: str  # digest of the state the first look began with
    looks: str  # digest over the looks in between
    state_after: str
    notes: tuple[Finding, ...] = ()  # told, and holding nothing
    segments: tuple[Measure, ...] = ()  # the rows that stand out; `segments_checked` were looked at
    segments_checked: int = 0
    blind: tuple[BlindSpot, ...] | None = None  # limits of which harm could still have been missed; None: of none


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpotsAccepted:
    """Somebody let the rollout grow although harm of these limits could have been missed. Said in every later
    message."""

    TYPE: ClassVar[str] = "rollout.blind_spots_accepted"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    stage: str  # the one under way
    lasting: bool  # later stages do not wait for these limits either; else the waiting of this one alone was skipped
    spots: tuple[BlindSpot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailsFrozen:
    """From here on readings of these metrics above the cap count as the cap; by metric, in its own unit."""

    TYPE: ClassVar[str] = "rollout.tails_frozen"
    caps: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The engine, a rejected gate or two people's doubt stopped all growth. `key` is what a resume overrides."""

    TYPE: ClassVar[str] = "rollout.held"
    key: str
    text: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldCleared:
    """The reason of a hold went away by itself (data arrives again)."""

    TYPE: ClassVar[str] = "rollout.hold_cleared"
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    TYPE: ClassVar[str] = "rollout.paused"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    TYPE: ClassVar[str] = "rollout.resumed"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    overrides: str = ""  # the key of the hold that is set aside


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """Everybody is on the previous version from this event on."""

    TYPE: ClassVar[str] = "rollout.rolled_back"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    findings: tuple[Finding, ...]
    version: str  # what everybody gets now
    after_done: bool
    verdict_seconds: float | None  # rollout clock: from the first exposure of this stage to the verdict
    judged_seconds: float | None  # real time: from the beginning of the look to the decision
    exposed_requests: int
    exposed_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipConfirmed:
    """Every process reported that it serves the version of the rollback; `seconds` are real ones. Those `unheard` did
    not report any more, and were waited for until they serve everybody the live version by themselves."""

    TYPE: ClassVar[str] = "rollout.flip_confirmed"
    LATER: ClassVar[tuple[str, ...]] = ("unheard",)
    seconds: float
    processes: int
    unheard: tuple[str, ...] | None = None  # names of processes; None: all were heard


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipUnconfirmed:
    TYPE: ClassVar[str] = "rollout.flip_unconfirmed"
    seconds: float
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The bake is over: the new version is what is live."""

    TYPE: ClassVar[str] = "rollout.completed"
    version: str
    retired: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    TYPE: ClassVar[str] = "rollout.abandoned"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAcknowledged:
    TYPE: ClassVar[str] = "rollout.notice_acknowledged"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle",)
    notice: str
    by: str
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernRaised:
    TYPE: ClassVar[str] = "rollout.concern_raised"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    notice: str
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeltOff:
    """Somebody who used the new version says that it feels off; two different people hold the rollout."""

    TYPE: ClassVar[str] = "rollout.felt_off"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted:
    """A message reached Slack, and where it stands: edits and threads go there. `key` is the announcement's."""

    TYPE: ClassVar[str] = "rollout.message_posted"
    key: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    """A message could not be delivered for good, and why."""

    TYPE: ClassVar[str] = "rollout.message_failed"
    key: str
    channel: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSet:
    """The flag system that the plan drives was read back at what is decided, `seconds` (real ones) after that was."""

    TYPE: ClassVar[str] = "rollout.flag_set"
    flag: str
    percent: float
    before: float  # what it was at when it was looked at first
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagNotSet:
    """The flag system could not be brought to `percent`. `trying`: it is tried again by itself."""

    TYPE: ClassVar[str] = "rollout.flag_not_set"
    flag: str
    percent: float
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyApplied:
    TYPE: ClassVar[str] = "workspace.policy_applied"
    LATER: ClassVar[tuple[str, ...]] = tuple(f"policy.{name}" for name in Policy.LATER)
    policy: Policy
    fingerprint: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsErased:
    """What somebody wrote can be read no more: the key it was sealed with is gone."""

    TYPE: ClassVar[str] = "workspace.words_erased"
    key_id: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldCheckpointed:
    """What the log says up to `position`, whose event has this `hash`, was saved, so that a start need not read it all.

    `world` is the SHA-256 of what was saved, `code` that of the program that folded it; both in hex.
    """

    TYPE: ClassVar[str] = "workspace.world_checkpointed"
    position: int
    hash: str
    world: str
    code: str


RolloutEvent: TypeAlias = (
    Planned
    | ApprovalRequested
    | ApprovalExpired
    | Approved
    | Rejected
    | StartScheduled
    | BaseChanged
    | Started
    | StageEntered
    | EvalRecorded
    | DrillFinished
    | EvidenceRecorded
    | BlindSpotsAccepted
    | TailsFrozen
    | Held
    | HoldCleared
    | Paused
    | Resumed
    | RolledBack
    | FlipConfirmed
    | FlipUnconfirmed
    | Completed
    | Abandoned
    | NoticeAcknowledged
    | ConcernRaised
    | FeltOff
    | MessagePosted
    | MessageFailed
    | FlagSet
    | FlagNotSet
)
Event: TypeAlias = RolloutEvent | SurfaceEvent | PolicyApplied | WordsErased | WorldCheckpointed


def rollout_stream(rollout: str) -> str:
    return f"rollout:{rollout}"


def surface_stream(surface: str) -> str:
    return f"surface:{surface}"


POLICY_STREAM = "policy"
PEOPLE_STREAM = "people"
CHECKPOINT_STREAM = "checkpoints"
