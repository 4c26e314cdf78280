"""What answers to notices, votes, complaints and reviews change in a rollout."""

from datetime import datetime
from typing import assert_never

from core.rollout.state import events as e
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout


def evolve_feedback(rollout: Rollout, event: e.FeedbackEvent, _: datetime) -> Rollout:
    """The rollout after `event`."""
    match event:
        case e.ComplaintReported():
            before = rollout.complaints.get(event.arm, 0)
            return replace(rollout, complaints={**rollout.complaints, event.arm: before + 1})
        case e.VoteCast():
            given = {**rollout.votes.get(event.stage, {}), event.voter: event}
            return replace(rollout, votes={**rollout.votes, event.stage: given})
        case e.VoteWithdrawn():
            left = {voter: vote for voter, vote in rollout.votes.get(event.stage, {}).items() if voter != event.voter}
            return replace(rollout, votes={**rollout.votes, event.stage: left})
        case e.NoticeAcknowledged():
            who = rollout.acknowledged.get(event.notice, ())
            ids = rollout.acknowledged_by.get(event.notice, ())
            return replace(
                rollout,
                acknowledged={**rollout.acknowledged, event.notice: (*who, event.handle)},
                acknowledged_by={**rollout.acknowledged_by, event.notice: (*ids, event.by)},
            )
        case e.ConcernRaised():
            return replace(rollout, open_concerns=(*rollout.open_concerns, event.notice))
        case e.ConcernsAnswered():
            return replace(rollout, open_concerns=())
        case e.ReminderRequested() if event.next_step:
            return replace(rollout, next_step_reminders=(*rollout.next_step_reminders, event.by))
        case e.ReminderRequested():
            return replace(rollout, reminders={**rollout.reminders, event.by: event.notice})
        case e.FeltOff():
            return replace(rollout, felt_off=(*rollout.felt_off, event.by))
        case e.ReviewRequested():
            return replace(rollout, review_due=event.due_at, review=None)
        case e.ReviewSubmitted():
            return replace(rollout, review=event)
        case _:
            assert_never(event)
