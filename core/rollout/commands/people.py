"""What people ask of a rollout."""

from dataclasses import dataclass, field
from datetime import datetime

from core.evals.eval_report import EvalReport
from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.plan import Plan


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
class EndHoldout:
    """Give those who were held back after the end of a rollout the new version, before their time is over."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmReverted:
    """Confirm that the code of a rolled back rollout is reverted and deployed."""

    note: str = ""


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
