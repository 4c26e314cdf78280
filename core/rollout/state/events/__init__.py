"""Everything that can happen, as one closed union: stored events, named in the past tense, never changed once shipped.

`WRITTEN` lists the fields that hold a person's own words or name; they are encrypted where they are stored. `LATER`
lists fields that were added when events were already stored; while they are None they are not written.
"""

from dataclasses import dataclass
from typing import TypeAlias

from core.rollout.state.events.approvals import (
    ApprovalEvent,
    ApprovalExpired,
    ApprovalRequested,
    Approved,
    GlassBroken,
    Rejected,
)
from core.rollout.state.events.deliveries import (
    DeliveryEvent,
    FlagNotSet,
    FlagSet,
    MessageFailed,
    MessagePosted,
)
from core.rollout.state.events.evidence import (
    AnchorsJudged,
    BlindSpotsAccepted,
    ComparisonDecided,
    ComparisonEnded,
    EvalRecorded,
    EvidenceEvent,
    EvidenceRecorded,
    HoldoutCompared,
    HoldoutEnded,
    JudgeMoved,
    JudgeSettled,
    JudgingCapReached,
    TailsFrozen,
)
from core.rollout.state.events.feedback import (
    ComplaintReported,
    ConcernRaised,
    ConcernsAnswered,
    FeedbackEvent,
    FeltOff,
    NoticeAcknowledged,
    ReminderRequested,
    ReviewRequested,
    ReviewSubmitted,
    VoteCast,
    VoteWithdrawn,
)
from core.rollout.state.events.planning import (
    Abandoned,
    BaseChanged,
    Bundled,
    BundleNotFollowed,
    Planned,
    PlanningEvent,
    StartScheduled,
    Unbundled,
)
from core.rollout.state.events.rollbacks import (
    CodeReverted,
    ConversationsMoved,
    FlipConfirmed,
    FlipUnconfirmed,
    RevertNotRequested,
    RevertRequested,
    RollbackEvent,
    RollbackExplained,
    RolledBack,
    StratumRolledBack,
    UnitMovedBack,
)
from core.rollout.state.events.stages import (
    Completed,
    DrillFinished,
    GrowthFrozen,
    GrowthUnfrozen,
    Held,
    HoldCleared,
    Paused,
    Resumed,
    StageEntered,
    StageEvent,
    StageExtended,
    Started,
)
from core.rollout.state.events.workspace import PolicyApplied, WordsErased, WorldCheckpointed
from core.rollout.state.surface import SurfaceEvent
from core.rollout.workspace.freezes import FreezeEvent
from core.rollout.workspace.subscriptions import SubscriptionEvent

RolloutEvent: TypeAlias = (
    ApprovalEvent | DeliveryEvent | EvidenceEvent | FeedbackEvent | PlanningEvent | RollbackEvent | StageEvent
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
