"""Everything that can be asked of a rollout: imperative values, each from a person, the clock or the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import TypeAlias

from core.evals.eval_report import EvalReport
from core.judging.model.causes import DifferenceCauses
from core.judging.model.comparison import HoldoutComparison, HorizonComparison
from core.judging.model.judgement import Judgement
from core.judging.model.soft_errors import SoftErrorCounts
from core.judging.model.verdict import BlindSpot, Verdict
from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import RetirementTold, SurfaceDeclared
from core.shadow_eval.spending import JudgingSpend


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRollout:
    """Plan a rollout, or replace the plan of one that has not started.

    `baseline` is the rollout whose baseline filled in the sample sizes; empty if none did.
    """

    plan: Plan
    baseline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBundle:
    """Plan several rollouts that move as one, or replace those plans while none of them has started."""

    name: str
    order: BundleOrder
    plans: tuple[PlanRollout, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start now, or at `then` (the earliest possible time, from the `Start then` button), or, with `queue`, once no
    other rollout runs on the surface."""

    then: datetime | None = None
    queue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """Approve a request. `request` is the one the button belongs to; empty (typed command) means the open request."""

    request: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Reject a request; `request` as in `Approve`."""

    request: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """Skip the wait. `to_percent` jumps to a later ramp step. Neither skips a gate."""

    to_percent: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """Decide a long comparison that has reached its horizon. `keep`: the new version; None was not understood."""

    keep: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Stop growing until somebody resumes."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on after a pause or a hold; overrides the finding of that hold."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendStage:
    """Give a stage that could not be decided in time three more of its longest holds, and accept nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """Give everyone the previous version; with `stratum`, if the plan has it, only its members."""

    reason: str = ""
    stratum: str = ""


ROLLBACK_CAUSES = ("answers", "slow", "cost", "errors", "complaints", "test", "other")
"""Why a person rolls back, as the buttons after it offer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRollback:
    """Say afterwards why it was rolled back; the reason is needed only for `other`."""

    cause: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """Give up a plan that has not started."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeNotice:
    """Confirm a notice. `notice` is the notified channel, as in `support:#support`; may be empty if only one is
    open."""

    notice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseConcern:
    """Raise a concern about a notice."""

    notice: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerConcerns:
    """Answer all concerns that are open."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReminder:
    """Ask for a direct message when watching is over. `notice` is the notice it was asked under, if
    any. With `next_step`, ask for one as soon as it grows, stops or waits for somebody."""

    notice: str = ""
    next_step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeelsOff:
    """Report that the new version feels off."""

    text: str = ""


VOTE_CHOICES = ("good", "worse", "cant_tell")
"""What a tester may say of a version."""
WITHDRAW_VOTE = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class CastVote:
    """Say as a tester how the version is: one of `VOTE_CHOICES`, or `WITHDRAW_VOTE`. Without a choice, `text` is added
    to the vote that was given.

    `stage` is the index of the stage that was asked about; None means the current one. `arm` is what the voter gets;
    the service fills it in.
    """

    choice: str = ""
    text: str = ""
    stage: int | None = None
    arm: str = field(default="", repr=False)  # left out of `repr`, by which commands are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveBack:
    """Give one unit the live version again until the rollout ends."""

    unit: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReview:
    """Answer the four questions of a review. Submitting it again replaces the earlier answers.

    `baseline` is what the rollout measured; it becomes the surface's baseline if `keeps_baseline`.
    """

    numbers: str = ""
    unexpected: str = ""
    behaviour: str = ""
    cost: str = ""
    worked: str = ""
    failed: str = ""
    next_time: str = ""
    keeps_baseline: bool = True
    # left out of `repr`, by which commands are compared: it is measured again for a repeat
    baseline: SurfaceBaseline | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportComplaint:
    """Report that a customer complained about an AI answer. `unit` is the customer, if known; `message` the message in
    Slack that it is about, as channel/ts.

    `arm` and `version` say what the customer got; the service fills them in.
    """

    text: str
    unit: str = ""
    message: str = ""
    arm: str = field(default="", repr=False)  # left out of `repr`, by which commands are compared
    version: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEval:
    """Record one offline eval run that was already judged against its gate's terms."""

    suite: str
    ok: bool
    passed: int
    failed: int
    errors: int
    reasons: tuple[str, ...]
    cases: tuple[str, ...]
    digest: str
    report: EvalReport | None = field(default=None, repr=False)  # the digest stands for it where commands are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class LookResult:
    """The result of one look of the engine, and where its inputs are stored."""

    # left out of `repr`, by which commands are compared: the digests below stand for it
    judgement: Judgement = field(repr=False)
    first_look: int
    last_look: int
    state_before: str
    looks: str
    state_after: str
    judged_seconds: float | None = None
    blind: tuple[BlindSpot, ...] = ()  # rollback limits whose violation could still have been missed
    caps: Mapping[str, float] = field(default_factory=dict)  # caps that became known with this look, to be frozen
    causes: tuple[DifferenceCauses, ...] = field(default=(), repr=False)  # of the metrics that changed
    soft_errors: tuple[SoftErrorCounts, ...] = field(default=(), repr=False)  # in the current stage
    unwatched: bool = False  # the previous look is so old that the rollout must not grow on this one
    comparison: HorizonComparison | None = None  # at the horizon of a long comparison, and only there
    weekdays: tuple[int, ...] = ()  # of that comparison, as in `ComparisonEnded`
    judging: JudgingSpend | None = None  # what judging answers has cost by then; None if no answers are judged

    @property
    def verdict(self) -> Verdict:
        """The verdict of the judgement."""
        return self.judgement.verdict

    @property
    def stage_requests(self) -> int:
        """Canary requests in the current stage."""
        return self.judgement.canary_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed. `look` is None if nobody is exposed and there is nothing to judge."""

    look: LookResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtEvidence:
    """A look failed: the incoming data cannot be judged, so the rollout must not grow on it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtComplaints:
    """There are more complaints than is normal at these hours, so the rollout must not grow."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDrill:
    """Record how long the rehearsed rollback took."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmFlip:
    """Record that every process serves the version of the rollback."""

    seconds: float
    processes: int
    unheard: tuple[str, ...] | None = None
    stratum: str = ""  # that was rolled back alone


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtFlip:
    """Record that a rollback could not be confirmed in time."""

    seconds: float
    missing: tuple[str, ...]
    stratum: str = ""  # that was rolled back alone


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHoldout:
    """Give those who were held back after the end of a rollout the new version, before their time is over."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDueHoldout:
    """The time of those held back is over, or their version can no longer be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHoldout:
    """Record what those who were held back showed against everybody else."""

    found: HoldoutComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveConversations:
    """The time is over in which conversations went on with the version that they began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPosted:
    """Record where a message was posted in Slack."""

    key: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """Record that a message could not be delivered."""

    key: str
    channel: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlag:
    """Record that a driven flag or label was read at `percent`, `seconds` after that was decided.

    `rolled_back`: whether the rollback was decided before the reading; an earlier reading says nothing about the
    rollback.
    """

    flag: str  # its title
    percent: float
    before: float
    seconds: float
    rolled_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlagTrouble:
    """Record that it cannot be set to `percent`; `trying`: it is being retried automatically."""

    flag: str
    percent: float
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlagLowered:
    """Record that it is at `percent`, below the last percentage that was read back."""

    flag: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRevert:
    """Record that the revert with this index was requested; `reference` leads to it."""

    index: int
    reference: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRevertTrouble:
    """Record that the revert with this index cannot be requested; `trying`: it is being retried automatically."""

    index: int
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmReverted:
    """Confirm that the code of a rolled back rollout is reverted and deployed."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySurface:
    """Apply a surface file."""

    declared: SurfaceDeclared


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyPolicy:
    """Apply a policy file."""

    policy: Policy
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Follow an AI feature as an audience."""

    surface: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Stop following: an AI feature, as one audience, or everything if both are empty."""

    surface: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNotifications:
    """Set everything at once: the role on the home tab, quiet hours in `zone`, and each (surface, audience) to
    follow."""

    role: str
    quiet_from: time | None
    quiet_until: time | None
    zone: str
    topics: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOtherModel:
    """Report that `answered` is the model in a response for this version of a surface."""

    surface: str
    version: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TellRetirement:
    """Warn a surface of the retirement of the model that it calls, once per step."""

    surface: str
    told: RetirementTold


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestApproval:
    """Ask for the open approval again: a new request in the thread replaces the open one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceForward:
    """Start, or take a step (to `to_percent` if given), without what it would wait for. `action` is start or
    advance."""

    action: str = ""
    to_percent: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeChanges:
    """Let nothing start or grow until a time, on one AI feature or (empty) on all."""

    surface: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeChanges:
    """End declared freezes: of one AI feature, or all of them if empty."""

    surface: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAnchors:
    """What a judge said of its anchors in one round; `set_aside` are the readings of each arm since the last good one.

    `verdicts` are by anchor; those that it did not judge are left out of them, not of the number of `anchors`.
    """

    round: int
    began_at: datetime
    verdicts: Mapping[str, bool]
    anchors: int
    labels: Mapping[str, bool] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordJudgingCap:
    """Judging a rollout has cost what it may, in dollars; `judged` counts the judged answers by arm."""

    spent: float
    cap: float
    judged: Mapping[str, int]


PersonCommand: TypeAlias = (
    Start
    | Approve
    | Reject
    | Advance
    | Decide
    | Pause
    | Resume
    | RollBack
    | ExplainRollback
    | ExtendStage
    | Abandon
    | AcknowledgeNotice
    | RaiseConcern
    | AnswerConcerns
    | RequestReminder
    | FeelsOff
    | CastVote
    | MoveBack
    | ReportComplaint
    | ConfirmReverted
    | SubmitReview
    | RequestApproval
    | EndHoldout
    | ForceForward
    | RecordEval
)
EngineCommand: TypeAlias = (
    Tick
    | DoubtEvidence
    | DoubtComplaints
    | RecordDrill
    | ConfirmFlip
    | DoubtFlip
    | RecordPosted
    | RecordFailed
    | RecordFlag
    | RecordFlagTrouble
    | RecordFlagLowered
    | RecordRevert
    | RecordRevertTrouble
    | MoveConversations
    | EndDueHoldout
    | RecordHoldout
    | RecordAnchors
    | RecordJudgingCap
)
RolloutCommand: TypeAlias = PlanRollout | PersonCommand | EngineCommand
SubscriptionCommand: TypeAlias = Subscribe | Unsubscribe | ChangeNotifications
ModelCommand: TypeAlias = ReportOtherModel | TellRetirement
FreezeCommand: TypeAlias = FreezeChanges | UnfreezeChanges
WorkspaceCommand: TypeAlias = ApplySurface | ApplyPolicy | SubscriptionCommand | ModelCommand | FreezeCommand
Command: TypeAlias = RolloutCommand | PlanBundle | WorkspaceCommand
