"""Everything that can happen to a rollout: the stored events, named in the past tense and never changed once shipped.

`WRITTEN` lists the fields that hold a person's own words or name; they are encrypted where they are stored. `LATER`
lists fields that were added when events were already stored; while they are None they are not written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias

from core.evals.eval_report import EvalReport
from core.judging.model.causes import DifferenceCauses
from core.judging.model.comparison import Advice, HoldoutComparison, MetricCourse
from core.judging.model.soft_errors import SoftErrorCounts
from core.judging.model.verdict import BlindSpot, Finding, Measure, Verdict
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.layers import LayerSlots
from core.rollout.plans.plan import Content, Plan
from core.rollout.plans.policy import Policy
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.state.surface import SurfaceEvent
from core.rollout.workspace.freezes import FreezeEvent
from core.rollout.workspace.subscriptions import SubscriptionEvent
from core.shadow_eval.spending import JudgingSpend


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A rollout file was applied. Applying it again before the start resets approvals and notices.

    With a `renewal`, no file was: a plan that waited in the queue was made again on the version that is live now. That
    resets the approvals alone.
    """

    TYPE: ClassVar[str] = "rollout.planned"
    LATER: ClassVar[tuple[str, ...]] = (*(f"plan.{name}" for name in Plan.LATER), "baseline", "renewal")
    rollout: str
    plan: Plan
    fingerprint: str
    from_content: Content
    to_content: Content
    by: str
    baseline: str | None = None  # the rollout whose baseline filled in the sample sizes
    renewal: PlanRenewal | None = None  # why it was made again; None: a file was applied


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
class StartScheduled:
    """A person pressed `Start then`: the rollout starts automatically at this time."""

    TYPE: ClassVar[str] = "rollout.start_scheduled"
    start: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseChanged:
    """Before the start, the live version changed: either away from the version the plan starts from (the rollout cannot
    start) or back to it."""

    TYPE: ClassVar[str] = "rollout.base_changed"
    live: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The rollout started. Plan and limits are frozen from here on, under this fingerprint."""

    TYPE: ClassVar[str] = "rollout.started"
    LATER: ClassVar[tuple[str, ...]] = ("layer",)
    fingerprint: str
    by: str
    layer: LayerSlots | None = None  # the units of a layer that it may touch; None: everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntered:
    """A stage was entered; `percent` of its audience gets the new version."""

    TYPE: ClassVar[str] = "rollout.stage_entered"
    WRITTEN: ClassVar[tuple[str, ...]] = ("skipped",)
    LATER: ClassVar[tuple[str, ...]] = ("skipped_by",)
    index: int
    name: str
    percent: float
    skipped: str = ""  # why a person skipped the wait, or skipped stages
    skipped_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecorded:
    """The result of an offline eval run, judged against the gate's terms."""

    TYPE: ClassVar[str] = "rollout.eval_recorded"
    LATER: ClassVar[tuple[str, ...]] = ("report",)
    stage: int
    suite: str
    ok: bool
    passed: int
    failed: int
    errors: int
    reasons: tuple[str, ...]
    cases: tuple[str, ...]  # ids of the cases that the reasons are about
    digest: str  # hash of the rows; detects a run that is submitted twice
    by: str
    report: EvalReport | None = None  # what the run says besides


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillFinished:
    """The rollback was rehearsed without traffic; `seconds` is how long it took every process to switch."""

    TYPE: ClassVar[str] = "rollout.drill_finished"
    stage: int
    seconds: float
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecorded:
    """The evidence behind a verdict, a step or a summary, with everything needed to compute the verdict again."""

    TYPE: ClassVar[str] = "rollout.evidence_recorded"
    LATER: ClassVar[tuple[str, ...]] = (
        "verdict.number",
        "verdict.source",
        "verdict.why",
        "blind",
        "causes",
        "soft_errors",
        "judging",
        "measures.*.spread",
        "segments.*.spread",
    )
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
    state_before: str  # digest of the engine state before the first look
    looks: str  # digest of the looks from first to last
    state_after: str
    notes: tuple[Finding, ...] = ()  # findings that are reported but hold nothing
    segments: tuple[Measure, ...] = ()  # the segments that stand out, of the `segments_checked` that were examined
    segments_checked: int = 0
    blind: tuple[BlindSpot, ...] | None = (
        None  # limits whose violation could still have been missed; None if there are none
    )
    causes: tuple[DifferenceCauses, ...] | None = None  # of metrics that changed; None if nothing is to be explained
    soft_errors: tuple[SoftErrorCounts, ...] | None = None  # in this stage; None if there were none
    judging: JudgingSpend | None = None  # what judging answers has cost by then; None if no answers are judged


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonEnded:
    """A long comparison reached its horizon. A person decides on its result; `advice` is what the metrics say.

    `measures` are the metrics that it is decided on, over the whole stage. `weekdays` counts the days with requests of
    both versions, Monday first, in the policy's time zone; empty where days do not matter.
    """

    TYPE: ClassVar[str] = "rollout.comparison_ended"
    LATER: ClassVar[tuple[str, ...]] = ("measures.*.spread",)
    stage: int
    look: int  # the number of the look that it rests on
    advice: Advice
    measures: tuple[Measure, ...]
    courses: tuple[MetricCourse, ...]
    weekdays: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDecided:
    """A person decided a long comparison: whether to keep the new version, and why."""

    TYPE: ClassVar[str] = "rollout.comparison_decided"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    stage: int
    keep: bool
    advice: Advice  # what the metrics said
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpotsAccepted:
    """A person let the rollout grow although violations of these limits could have been missed. Every later message
    mentions it."""

    TYPE: ClassVar[str] = "rollout.blind_spots_accepted"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    stage: str  # the current stage
    lasting: bool  # True: later stages do not wait for these limits either; False: only this wait was skipped
    spots: tuple[BlindSpot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailsFrozen:
    """From here on, readings above the cap count as the cap. `caps` maps each metric to its cap, in the metric's own
    unit."""

    TYPE: ClassVar[str] = "rollout.tails_frozen"
    caps: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """All growth stopped: because of the engine, a rejected gate, or two people who doubt it. A resume overrides the
    hold by its `key`."""

    TYPE: ClassVar[str] = "rollout.held"
    key: str
    text: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldCleared:
    """The reason for a hold went away by itself, for example because data arrives again."""

    TYPE: ClassVar[str] = "rollout.hold_cleared"
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person paused the rollout."""

    TYPE: ClassVar[str] = "rollout.paused"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person resumed the rollout after a pause or a hold."""

    TYPE: ClassVar[str] = "rollout.resumed"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    overrides: str = ""  # key of the hold that is overridden


@dataclass(frozen=True, slots=True, kw_only=True)
class StageExtended:
    """A person gave a stage that could not be decided in time more time. What grows still has to be seen."""

    TYPE: ClassVar[str] = "rollout.stage_extended"
    by: str
    stage: int  # its index
    asked_at: timedelta  # how long it will have held when a person is asked again


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
class ConversationsMoved:
    """From this event on, conversations under way get what everyone gets, after a rollout in which they went on with
    the version that they began with. `is_due`: their time is over; otherwise a person wanted it at once."""

    TYPE: ClassVar[str] = "rollout.conversations_moved"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutEnded:
    """From this event on, those who were held back get what everyone gets.

    `cause`: `time` (it is over), `version` (the previous one can no longer be called), `rollout` (another one started
    on the surface; `reason` is its id), or `person`.
    """

    TYPE: ClassVar[str] = "rollout.holdout_ended"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    cause: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutCompared:
    """What those who were held back show against everybody else, once, after the end of the holdout. Nobody is moved by
    it."""

    TYPE: ClassVar[str] = "rollout.holdout_compared"
    LATER: ClassVar[tuple[str, ...]] = ("found.measures.*.spread",)
    found: HoldoutComparison


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
class Bundled:
    """The rollout moves with others, as a file says. `members` are the ids of all of them, in the order of the file."""

    TYPE: ClassVar[str] = "rollout.bundled"
    bundle: str
    order: BundleOrder
    members: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbundled:
    """The file of its bundle was applied without it, so it moves alone."""

    TYPE: ClassVar[str] = "rollout.unbundled"
    bundle: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleNotFollowed:
    """`cause`, a rollout of the same bundle, went back, and this one could not follow: why."""

    TYPE: ClassVar[str] = "rollout.bundle_not_followed"
    bundle: str
    cause: str
    why: str


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
class Completed:
    """The bake ended: the new version is live."""

    TYPE: ClassVar[str] = "rollout.completed"
    version: str
    retired: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """The plan was given up before its start."""

    TYPE: ClassVar[str] = "rollout.abandoned"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAcknowledged:
    """A person confirmed that they have read a notice."""

    TYPE: ClassVar[str] = "rollout.notice_acknowledged"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle",)
    notice: str
    by: str
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernRaised:
    """A person raised a concern about a notice."""

    TYPE: ClassVar[str] = "rollout.concern_raised"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    notice: str
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernsAnswered:
    """Somebody answered all concerns that were open."""

    TYPE: ClassVar[str] = "rollout.concerns_answered"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderRequested:
    """A person wants a direct message when watching is over, or once it is clear that it will not get there."""

    TYPE: ClassVar[str] = "rollout.reminder_requested"
    LATER: ClassVar[tuple[str, ...]] = ("next_step",)
    notice: str  # key of the notice whose audience the message is worded for; may be empty
    by: str
    next_step: bool | None = None  # True: as soon as it grows, stops or waits for somebody


@dataclass(frozen=True, slots=True, kw_only=True)
class FeltOff:
    """A user of the new version reports that it feels off. Two different people hold the rollout."""

    TYPE: ClassVar[str] = "rollout.felt_off"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorsJudged:
    """A judge was given its anchors again. `verdicts` are by anchor; those that it did not judge are left out.

    `p` is the smallest p-value of the comparisons with earlier rounds; None if there was nothing to compare. A round is
    complete if enough anchors were judged for it to count, and good if nothing hints that the judge has moved.
    """

    TYPE: ClassVar[str] = "rollout.anchors_judged"
    round: int
    began_at: datetime
    verdicts: Mapping[str, bool]
    anchors: int
    is_complete: bool
    is_good: bool
    p: float | None = None
    labels: Mapping[str, bool] = field(default_factory=dict)  # by anchor: whether people call its answer good


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeMoved:
    """The judge judges the same anchors otherwise than before. What it judged since the last good round is set aside.

    `passes` of `judged` anchors passed in this round, `passes_before` of `judged_before` in the first one. `since` is
    when the last good round ended; `set_aside` the readings of each arm since then.
    """

    TYPE: ClassVar[str] = "rollout.judge_moved"
    round: int
    passes: int
    judged: int
    passes_before: int
    judged_before: int
    p: float
    since: datetime | None
    set_aside: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettled:
    """The judge judges its anchors as before it moved; what it judges from now on counts again."""

    TYPE: ClassVar[str] = "rollout.judge_settled"
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingCapReached:
    """The cap on what judging a rollout may cost is reached, in dollars; nothing more is judged.

    `judged` is how many answers of each arm were judged by then.
    """

    TYPE: ClassVar[str] = "rollout.judging_cap_reached"
    spent: float
    cap: float
    judged: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCast:
    """A tester said how the version is that they get in this stage. Their last vote in a stage counts.

    `arm` is empty where it is not known which version they get. `voter` is who they are among the testers.
    """

    TYPE: ClassVar[str] = "rollout.vote_cast"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    voter: str  # a Slack user id
    stage: int
    arm: str  # canary | control | ""
    choice: str  # one of `commands.VOTE_CHOICES`
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteWithdrawn:
    """A tester took their vote of this stage back."""

    TYPE: ClassVar[str] = "rollout.vote_withdrawn"
    by: str
    voter: str
    stage: int


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
class ReviewRequested:
    """The rollout ended, and its review is due. One that is rolled back after it was done is reviewed again."""

    TYPE: ClassVar[str] = "rollout.review_requested"
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSubmitted:
    """A person answered the four questions of the review, and perhaps what to learn from it.

    `keeps_baseline`: what was measured became the baseline of the surface; False, too, where too little was measured.
    """

    TYPE: ClassVar[str] = "rollout.review_submitted"
    WRITTEN: ClassVar[tuple[str, ...]] = (
        "handle",
        "numbers",
        "unexpected",
        "behaviour",
        "cost",
        "worked",
        "failed",
        "next_time",
    )
    by: str
    handle: str
    numbers: str  # did the numbers match the expectations
    unexpected: str  # was anything unexpected
    behaviour: str  # do people behave differently
    cost: str  # is the cost where it was expected
    worked: str
    failed: str
    next_time: str
    keeps_baseline: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthFrozen:
    """A freeze was declared that covers this rollout: it neither starts nor grows until then."""

    TYPE: ClassVar[str] = "rollout.growth_frozen"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthUnfrozen:
    """That freeze was ended before its time."""

    TYPE: ClassVar[str] = "rollout.growth_unfrozen"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintReported:
    """Somebody reported that a customer complained about an AI answer.

    `arm` is the arm in which it counts and `version` the version that the customer got; both are empty if that is not
    known. `unit_hash` is the customer's 64-bit number as in `UnitMovedBack`, empty if the customer is not known.
    """

    TYPE: ClassVar[str] = "rollout.complaint_reported"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str
    arm: str
    version: str
    unit_hash: str
    message: str  # the message in Slack that it is about, as channel/ts; may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted:
    """A message reached Slack. `channel` and `ts` locate it for edits and threads; `key` is the announcement's key."""

    TYPE: ClassVar[str] = "rollout.message_posted"
    key: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    """A message could not be delivered and will not be retried."""

    TYPE: ClassVar[str] = "rollout.message_failed"
    key: str
    channel: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSet:
    """The external flag system was read back at the decided percentage, `seconds` (real time) after the decision."""

    TYPE: ClassVar[str] = "rollout.flag_set"
    flag: str
    percent: float
    before: float  # the percentage at the first reading
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagNotSet:
    """The external flag system could not be set to `percent`. `trying`: it is being retried automatically."""

    TYPE: ClassVar[str] = "rollout.flag_not_set"
    flag: str
    percent: float
    error: str
    trying: bool


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
    | ComparisonEnded
    | ComparisonDecided
    | BlindSpotsAccepted
    | TailsFrozen
    | Held
    | HoldCleared
    | Paused
    | Resumed
    | RolledBack
    | RollbackExplained
    | FlipConfirmed
    | FlipUnconfirmed
    | Completed
    | Abandoned
    | NoticeAcknowledged
    | ConcernRaised
    | ConcernsAnswered
    | ReminderRequested
    | StageExtended
    | FeltOff
    | VoteCast
    | VoteWithdrawn
    | UnitMovedBack
    | GlassBroken
    | GrowthFrozen
    | GrowthUnfrozen
    | ComplaintReported
    | ReviewRequested
    | ReviewSubmitted
    | MessagePosted
    | MessageFailed
    | FlagSet
    | FlagNotSet
    | RevertRequested
    | RevertNotRequested
    | CodeReverted
    | ConversationsMoved
    | StratumRolledBack
    | HoldoutEnded
    | HoldoutCompared
    | AnchorsJudged
    | JudgeMoved
    | JudgeSettled
    | JudgingCapReached
    | Bundled
    | Unbundled
    | BundleNotFollowed
)
Event: TypeAlias = (
    RolloutEvent | SurfaceEvent | SubscriptionEvent | FreezeEvent | PolicyApplied | WordsErased | WorldCheckpointed
)


def rollout_stream(rollout: str) -> str:
    """The name of the event stream of a rollout."""
    return f"rollout:{rollout}"


def surface_stream(surface: str) -> str:
    """The name of the event stream of a surface."""
    return f"surface:{surface}"


def subscriber_stream(user: str) -> str:
    """The name of the event stream of one person's subscriptions, by Slack user id."""
    return f"subscriber:{user}"


POLICY_STREAM = "policy"
FREEZE_STREAM = "freezes"
PEOPLE_STREAM = "people"
CHECKPOINT_STREAM = "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to append, and the stream it belongs to."""

    stream: str
    event: Event
