"""The queue of an AI feature: planned rollouts whose start is due while another one runs, in the order of that time."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where a rollout stands in the queue: 1 is next. `behind` are the ids of what runs, then of those ahead."""

    position: int
    length: int
    behind: tuple[str, ...]


def list_queue(rollouts: Iterable[Rollout], surface: str, at: datetime) -> tuple[Rollout, ...]:
    """The planned rollouts of a surface whose start is due at `at`, in the order of that start."""
    due = [
        rollout
        for rollout in rollouts
        if rollout.state is RolloutState.PLANNED
        and rollout.plan.surface == surface
        and rollout.start is not None
        and rollout.start <= at
    ]
    return tuple(sorted(due, key=lambda one: one.start or at))  # sorting is stable: at one time, as they were planned


def list_ahead(rollouts: Iterable[Rollout], rollout: Rollout, at: datetime) -> tuple[Rollout, ...]:
    """Those that are ahead of this rollout in the queue of its surface; empty if it is not in the queue."""
    if rollout.state is not RolloutState.PLANNED:
        return ()
    queue = list_queue(rollouts, rollout.plan.surface, at)
    ids = [one.id for one in queue]
    return queue[: ids.index(rollout.id)] if rollout.id in ids else ()


def find_place(world: World, rollout: Rollout, at: datetime) -> QueuePlace | None:
    """The place of a rollout in the queue of its surface at `at`; None if it waits for no other rollout."""
    queue = list_queue(world.rollouts.values(), rollout.plan.surface, at)
    ids = [one.id for one in queue]
    if rollout.id not in ids:
        return None
    running, position = world.surfaces[rollout.plan.surface].running, ids.index(rollout.id) + 1
    if not running and position == 1:
        return None
    return QueuePlace(position=position, length=len(queue), behind=(*running, *ids[: position - 1]))
