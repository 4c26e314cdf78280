"""Which rows of the outbox follow from an event: messages, the change of a driven flag, code to revert."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from core.rollout.concurrency import bundles, start_queue
from core.rollout.notifications import announcements, direct_messages, feedback_requests
from core.rollout.serving import driving
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import SurfaceEvent
from core.rollout.state.world import World
from core.service.outbox_tasks import FlagTask, MessageTask, RevertTask
from core.store.log.event_log import StoredEvent

_BUNDLE_EVENTS = (
    e.Planned,
    e.ApprovalRequested,
    e.Approved,
    e.Started,
    e.StageEntered,
    e.Held,
    e.HoldCleared,
    e.Paused,
    e.Resumed,
    e.RolledBack,
    e.Completed,
    e.Abandoned,
)
_QUEUE_EVENTS = (e.Started, e.StartScheduled, e.RolledBack, e.Completed, e.Abandoned, e.Planned)


def build_rows(stored: StoredEvent, before: World, after: World, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The rows that follow from an event, in order; `before` and `after` are the worlds around it."""
    name = stored.stream.partition(":")[2]
    if isinstance(stored.event, e.RolloutEvent):
        yield from _build_rollout_rows(stored, stored.event, name, before, after, now)
        yield from _build_neighbour_rows(stored, name, after, now)
    elif isinstance(stored.event, SurfaceEvent):
        for told in announcements.announce_for_surface(stored.event, stored.position, after.surfaces[name]):
            yield MessageTask(announcement=told, position=stored.position).build_row(now)


def _build_neighbour_rows(stored: StoredEvent, rollout: str, world: World, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Edits of the cards of others that show what this event changes: their place in the queue, or their bundle."""
    changed, shown = world.rollouts[rollout], list[Rollout]()
    if isinstance(stored.event, _QUEUE_EVENTS):
        shown += start_queue.list_queue(world.rollouts.values(), changed.plan.surface, now)
    bundle = bundles.find_bundle_of(world, changed) if isinstance(stored.event, _BUNDLE_EVENTS) else None
    if bundle is not None:
        shown += bundle.list_others(changed)
    for one in {one.id: one for one in shown if one.id != rollout}.values():
        if announcements.CARD_KEY in one.messages:
            yield MessageTask(announcement=announcements.build_card(one), position=stored.position).build_row(now)


def _build_rollout_rows(
    stored: StoredEvent, event: e.RolloutEvent, rollout: str, world_before: World, world: World, now: datetime
) -> Iterator[tuple[Any, ...]]:
    """The flag change, if the event changes the driven percentage; code to revert; and messages."""
    before, after = world_before.find_rollout(rollout), world.rollouts[rollout]
    for number in driving.list_to_reconcile(event, before, after):
        task = FlagTask(rollout=after.id, number=number)
        yield task.build_row(now, stored.position, is_urgent=after.state is RolloutState.ROLLED_BACK)
    if isinstance(event, e.RolledBack):  # the flag comes first: these rows wait behind nothing and hold up nothing
        for index, _ in enumerate(after.plan.reverts or ()):
            yield RevertTask(rollout=after.id, index=index).build_row(now, stored.position)
    followers = world.subscribers.followers_of(after.plan.surface)
    for told in (
        *announcements.announce(event, stored.position, before, after),
        *direct_messages.announce_directly(event, stored.position, after, followers, now),
        *feedback_requests.ask_testers(event, before, world, rollout, now),
    ):
        yield MessageTask(announcement=told, position=stored.position).build_row(now)
