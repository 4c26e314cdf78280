"""What a rollout event means for its surface: the surface events appended in the same transaction."""

from datetime import datetime
from typing import assert_never

from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.state import events as e
from core.rollout.state.surface import (
    BaselineRecorded,
    LiveMoved,
    SurfaceEvent,
    SurfaceFreed,
    SurfaceTaken,
    VersionNamed,
)


def build_entries(
    event: e.RolloutEvent, rollout: str, surface: str, at: datetime, measured: SurfaceBaseline | None = None
) -> list[e.NewEvent]:
    """The event for the stream of its rollout, and what follows from it for the stream of its surface."""
    following = surface_events_for(event, rollout, at, measured)
    return [
        e.NewEvent(stream=e.rollout_stream(rollout), event=event),
        *(e.NewEvent(stream=e.surface_stream(surface), event=one) for one in following),
    ]


def surface_events_for(
    event: e.RolloutEvent, rollout: str, at: datetime, measured: SurfaceBaseline | None = None
) -> tuple[SurfaceEvent, ...]:
    """The surface events that follow from `event`, in order. This is the only place where a version becomes live.

    `measured` is the baseline that a review may keep.
    """
    match event:
        case e.Planned():
            return (VersionNamed(version=event.plan.to_version, content=event.to_content, rollout=rollout),)
        case e.Started():
            return (SurfaceTaken(rollout=rollout),)
        case e.Completed():
            return (LiveMoved(version=event.version, rollout=rollout, at=at), SurfaceFreed(rollout=rollout))
        case e.RolledBack() if event.after_done:
            return (LiveMoved(version=event.version, rollout=rollout, at=at),)
        case e.RolledBack():
            return (SurfaceFreed(rollout=rollout),)
        case e.ReviewSubmitted() if event.keeps_baseline and measured is not None:
            return (BaselineRecorded(baseline=measured, by=event.by),)
        case (
            e.ApprovalRequested()
            | e.ApprovalExpired()
            | e.Approved()
            | e.Rejected()
            | e.StartScheduled()
            | e.BaseChanged()
            | e.StageEntered()
            | e.EvalRecorded()
            | e.DrillFinished()
            | e.EvidenceRecorded()
            | e.ComparisonEnded()
            | e.ComparisonDecided()
            | e.BlindSpotsAccepted()
            | e.TailsFrozen()
            | e.Held()
            | e.HoldCleared()
            | e.Paused()
            | e.Resumed()
            | e.StageExtended()
            | e.RollbackExplained()
            | e.FlipConfirmed()
            | e.FlipUnconfirmed()
            | e.Abandoned()
            | e.NoticeAcknowledged()
            | e.ConcernRaised()
            | e.ConcernsAnswered()
            | e.ReminderRequested()
            | e.FeltOff()
            | e.VoteCast()
            | e.VoteWithdrawn()
            | e.UnitMovedBack()
            | e.ComplaintReported()
            | e.ReviewRequested()
            | e.ReviewSubmitted()
            | e.GlassBroken()
            | e.GrowthFrozen()
            | e.GrowthUnfrozen()
            | e.MessagePosted()
            | e.MessageFailed()
            | e.FlagSet()
            | e.FlagNotSet()
            | e.RevertRequested()
            | e.RevertNotRequested()
            | e.CodeReverted()
            | e.ConversationsMoved()
            | e.StratumRolledBack()
            | e.HoldoutEnded()
            | e.HoldoutCompared()
            | e.AnchorsJudged()
            | e.JudgeMoved()
            | e.JudgeSettled()
            | e.JudgingCapReached()
            | e.Bundled()
            | e.Unbundled()
            | e.BundleNotFollowed()
        ):
            return ()
        case _:
            assert_never(event)
