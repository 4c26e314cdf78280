"""What requests for approval and their answers change in a rollout."""

from datetime import datetime
from typing import assert_never

from core.rollout.state import events as e
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout, RolloutState


def evolve_approvals(rollout: Rollout, event: e.ApprovalEvent, _: datetime) -> Rollout:
    """The rollout after `event`."""
    match event:
        case e.ApprovalRequested():
            return _open_request(rollout, event)
        case e.Approved():
            return replace(rollout, approvals=(*rollout.approvals, event))
        case e.ApprovalExpired() | e.Rejected():
            return replace(rollout, request=None, approvals=())
        case e.GlassBroken():
            return replace(rollout, broken_glass=event)
        case _:
            assert_never(event)


def _open_request(rollout: Rollout, event: e.ApprovalRequested) -> Rollout:
    keeps = rollout.state in {RolloutState.PLANNED, RolloutState.ON_HOLD, RolloutState.PAUSED}
    return replace(
        rollout,
        request=event,
        approvals=(),
        requests_made=rollout.requests_made + 1,
        state=rollout.state if keeps else RolloutState.WAITING,
        skipped=event.skipped or rollout.skipped,  # a repeated request does not repeat the reason
        skipped_by=event.skipped_by or rollout.skipped_by,
    )
