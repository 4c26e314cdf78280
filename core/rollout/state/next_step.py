"""Which events are the next step of a rollout for somebody who asked to be told of it."""

from core.rollout.state import events as e
from core.rollout.state import holds


def is_next_step(event: e.RolloutEvent) -> bool:
    """Whether the rollout grows with this event, stops until somebody decides, waits for an approval, or ends."""
    match event:
        case e.Held():
            return not holds.clears_itself(event.key)
        case e.StageEntered() | e.ApprovalRequested() | e.RolledBack() | e.Completed():
            return True
        case _:
            return False
