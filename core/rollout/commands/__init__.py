"""Everything that can be asked, as one closed union: imperative values, each from a person, the clock or the engine."""

from typing import TypeAlias

from core.rollout.commands.engine import (
    ConfirmFlip,
    DoubtComplaints,
    DoubtEvidence,
    DoubtFlip,
    EndDueHoldout,
    MoveConversations,
    RecordAnchors,
    RecordDrill,
    RecordFailed,
    RecordFlag,
    RecordFlagLowered,
    RecordFlagTrouble,
    RecordHoldout,
    RecordJudgingCap,
    RecordPosted,
    RecordRevert,
    RecordRevertTrouble,
    Tick,
)
from core.rollout.commands.engine import LookResult as LookResult
from core.rollout.commands.people import ROLLBACK_CAUSES as ROLLBACK_CAUSES
from core.rollout.commands.people import VOTE_CHOICES as VOTE_CHOICES
from core.rollout.commands.people import WITHDRAW_VOTE as WITHDRAW_VOTE
from core.rollout.commands.people import (
    Abandon,
    AcknowledgeNotice,
    Advance,
    AnswerConcerns,
    Approve,
    CastVote,
    ConfirmReverted,
    Decide,
    EndHoldout,
    ExplainRollback,
    ExtendStage,
    FeelsOff,
    ForceForward,
    MoveBack,
    Pause,
    PlanBundle,
    PlanRollout,
    RaiseConcern,
    RecordEval,
    Reject,
    ReportComplaint,
    RequestApproval,
    RequestReminder,
    Resume,
    RollBack,
    Start,
    SubmitReview,
)
from core.rollout.commands.workspace import (
    ApplyPolicy,
    ApplySurface,
    ChangeNotifications,
    FreezeChanges,
    ReportOtherModel,
    Subscribe,
    TellRetirement,
    UnfreezeChanges,
    Unsubscribe,
)

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
