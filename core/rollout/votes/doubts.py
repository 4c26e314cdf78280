"""What follows once several people say that the new version feels off (pure)."""

from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

PEOPLE_TO_HOLD = 2
"""So many different people who say that it feels off hold the rollout."""


def find_hold(rollout: Rollout, said_now: int = 0) -> e.Held | None:
    """The hold that follows from all who said so, and from as many as `said_now` who are saying it; None while there
    are too few, while it does not grow anyhow, or once a person has let it go on in spite of them."""
    people = len(rollout.felt_off) + said_now
    is_growing = rollout.state in {RolloutState.RUNNING, RolloutState.WAITING}
    if people < PEOPLE_TO_HOLD or not is_growing or holds.FELT_OFF in rollout.overridden:
        return None
    return e.Held(key=holds.FELT_OFF, text=f"{people} people say the new version feels off")
