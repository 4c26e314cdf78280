"""Everything that is announced after one event of the log: of its rollout, of its neighbours, and of its surface."""

from collections.abc import Iterator
from datetime import datetime

from core.rollout.concurrency import bundles, start_queue
from core.rollout.notifications import (
    direct_messages,
    feedback_requests,
    rollout_announcements,
    surface_announcements,
)
from core.rollout.notifications.announcement import CARD_KEY, Announcement
from core.rollout.serving.after_done import find_after_done
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.rollout.state.surface import LiveMoved, SurfaceEvent
from core.rollout.state.world import World

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


def announce_event(event: e.Event, name: str, before: World, after: World, now: datetime) -> Iterator[Announcement]:
    """The announcements that follow from `event` of the rollout or surface `name`, in order.

    `before` and `after` are the worlds around it; the position of `after` is that of the event.
    """
    if isinstance(event, SurfaceEvent):
        yield from surface_announcements.announce_for_surface(event, after.position, after.surfaces[name])
    if isinstance(event, LiveMoved):
        yield from _edit_done_before(event, name, before, after, now)
    if not isinstance(event, e.RolloutEvent):
        return
    earlier, changed = before.find_rollout(name), after.rollouts[name]
    followers = after.subscribers.followers_of(changed.plan.surface)
    yield from rollout_announcements.announce(event, after.position, earlier, changed)
    yield from direct_messages.announce_directly(event, after.position, changed, followers, now)
    yield from feedback_requests.ask_testers(event, earlier, after, name, now)
    yield from _edit_neighbours(event, changed, after, now)


def _edit_done_before(
    event: LiveMoved, surface: str, before: World, after: World, now: datetime
) -> Iterator[Announcement]:
    """Edits of the cards of those that were done before and say what is live, or that one can go back."""
    for one in after.rollouts.values():
        if one.plan.surface != surface or one.id == event.rollout or CARD_KEY not in one.messages:
            continue
        if find_after_done(before, one, now) != find_after_done(after, one, now):
            yield rollout_announcements.build_card(one)


def _edit_neighbours(event: e.RolloutEvent, changed: Rollout, world: World, now: datetime) -> Iterator[Announcement]:
    """Edits of the cards of others that show what this event changes: their place in the queue, or their bundle."""
    shown = list[Rollout]()
    if isinstance(event, _QUEUE_EVENTS):
        shown += start_queue.list_queue(world.rollouts.values(), changed.plan.surface, now)
    bundle = bundles.find_bundle_of(world, changed) if isinstance(event, _BUNDLE_EVENTS) else None
    if bundle is not None:
        shown += bundle.list_others(changed)
    for one in {one.id: one for one in shown if one.id != changed.id}.values():
        if CARD_KEY in one.messages:
            yield rollout_announcements.build_card(one)
