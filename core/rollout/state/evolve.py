"""What a rollout is after an event. The events of each subject have a function in `evolving`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, get_args

from core.rollout.state import events as e
from core.rollout.state.evolving.approvals import evolve_approvals
from core.rollout.state.evolving.deliveries import evolve_deliveries
from core.rollout.state.evolving.evidence import evolve_evidence
from core.rollout.state.evolving.feedback import evolve_feedback
from core.rollout.state.evolving.planning import begin_rollout, evolve_planning
from core.rollout.state.evolving.rollbacks import evolve_rollbacks
from core.rollout.state.evolving.stages import evolve_stages
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout
from core.rollout.state.next_step import is_next_step

# By class, as replaying a log is mostly this: a `match` over all events tests one class after the other.
EVENT_HANDLERS: Mapping[type[e.RolloutEvent], Callable[[Rollout, Any, datetime], Rollout]] = {
    **dict.fromkeys(get_args(e.ApprovalEvent), evolve_approvals),
    **dict.fromkeys(get_args(e.DeliveryEvent), evolve_deliveries),
    **dict.fromkeys(get_args(e.EvidenceEvent), evolve_evidence),
    **dict.fromkeys(get_args(e.FeedbackEvent), evolve_feedback),
    **dict.fromkeys(get_args(e.PlanningEvent), evolve_planning),
    **dict.fromkeys(get_args(e.RollbackEvent), evolve_rollbacks),
    **dict.fromkeys(get_args(e.StageEvent), evolve_stages),
}


def evolve(rollout: Rollout | None, event: e.RolloutEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`. Without a rollout, `event` must be `Planned`."""
    if rollout is None:
        assert isinstance(event, e.Planned), "a rollout begins by being planned"
        return begin_rollout(None, event, at)
    after = EVENT_HANDLERS[type(event)](rollout, event, at)
    return replace(after, next_step_reminders=()) if rollout.next_step_reminders and is_next_step(event) else after
