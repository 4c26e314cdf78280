"""Which rows of the outbox follow from an event: messages, the change of a driven flag, code to revert."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from core.rollout.notifications.announce_event import announce_event
from core.rollout.serving import driving
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World
from core.service.outbox_tasks import FlagTask, MessageTask, RevertTask
from core.store.log.event_log import StoredEvent


def build_rows(stored: StoredEvent, before: World, after: World, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The rows that follow from an event, in order; `before` and `after` are the worlds around it."""
    name = stored.stream.partition(":")[2]
    if isinstance(stored.event, e.RolloutEvent):
        yield from _build_change_rows(stored, stored.event, name, before, after, now)
    for told in announce_event(stored.event, name, before, after, now):
        yield MessageTask(announcement=told, position=stored.position).build_row(now)


def _build_change_rows(
    stored: StoredEvent, event: e.RolloutEvent, rollout: str, world_before: World, world: World, now: datetime
) -> Iterator[tuple[Any, ...]]:
    """The flag change, if the event changes the driven percentage, and code to revert."""
    before, after = world_before.find_rollout(rollout), world.rollouts[rollout]
    for number in driving.list_to_reconcile(event, before, after):
        task = FlagTask(rollout=after.id, number=number)
        yield task.build_row(now, stored.position, is_urgent=after.state is RolloutState.ROLLED_BACK)
    if isinstance(event, e.RolledBack):  # the flag comes first: these rows wait behind nothing and hold up nothing
        for index, _ in enumerate(after.plan.reverts or ()):
            yield RevertTask(rollout=after.id, index=index).build_row(now, stored.position)
