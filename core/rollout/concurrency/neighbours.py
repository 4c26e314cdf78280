"""What else concerns a rollout: its place in the queue of its AI feature. One value, for all who show it."""

from dataclasses import dataclass
from datetime import datetime

from core.rollout.concurrency import start_queue
from core.rollout.concurrency.start_queue import QueuePlace
from core.rollout.state.model import Rollout
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What other rollouts mean for one."""

    place: QueuePlace | None = None


NO_NEIGHBOURS = Neighbours()


def find_neighbours(world: World, rollout: Rollout, at: datetime) -> Neighbours:
    """What other rollouts mean for this one at `at`."""
    return Neighbours(place=start_queue.find_place(world, rollout, at))
