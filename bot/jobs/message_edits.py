"""Edits of what was posted: cards that have news, and notices whose date has passed."""

from datetime import datetime, timedelta

from bot.jobs.due_times import find_due_time
from core.rollout.models import way_back
from core.rollout.notifications import direct_messages
from core.rollout.notifications.announcement import CARD_KEY, Announcement
from core.rollout.notifications.rollout_announcements import build_card, build_notice_edits, build_overdue_edits
from core.rollout.serving.after_done import find_after_done
from core.rollout.state.model import Rollout
from core.service.outbox_tasks import MessageTask
from core.service.service import RolloutService
from core.store.coordination import outbox
from core.store.observations import looks

CARD_EVERY = timedelta(minutes=1)
CARDS_AT_ONCE = 30  # cards that are edited within that time


def refresh_cards(service: RolloutService, now: datetime) -> None:
    """Have the card of whatever is looked at edited once a minute where a look has shown something new; where very many
    are under way they take turns, as Slack takes about fifty edits a minute."""
    looked_at = [r for r in service.cached_world().open_rollouts if r.is_looked_at and CARD_KEY in r.messages]
    every = CARD_EVERY * -(-len(looked_at) // CARDS_AT_ONCE)
    for rollout in looked_at:
        due_at = find_due_time(now, every, rollout.id)
        key = f"refresh:{rollout.id}:{due_at.isoformat()}"
        with service.database.reading() as connection:
            news = looks.newest_news(connection, rollout.id)
        if news is None or news < due_at - every:
            continue
        if rollout.evidence_at is not None and news <= rollout.evidence_at:
            continue  # it was told with that evidence
        _queue_once(service, key, build_card(rollout), now)


def queue_overdue_edits(service: RolloutService, now: datetime) -> None:
    """Queue an edit of the card and of each notice that gives a date which has passed, once for each date; and of
    whatever promises a way back, once there is none any more."""
    world = service.cached_world()
    for rollout in world.open_rollouts:
        key, edits = build_overdue_edits(rollout, now)
        if key:
            shown = [*edits, *direct_messages.build_overdue_edits(rollout), *_build_card_edit(rollout)]
            for edit in shown:
                _queue_once(service, f"{key}:{edit.key}", edit, now)
        last = way_back.find_last_day(rollout.plan, world.surfaces.get(rollout.plan.surface))
        if last is not None and world.policy.to_local_time(now).date() > last.day:
            for edit in [*build_notice_edits(rollout), *direct_messages.build_overdue_edits(rollout)]:
                _queue_once(service, f"{rollout.id}:way_back:{last.day}:{edit.key}", edit, now)
    for rollout in world.rollouts.values():
        after = find_after_done(world, rollout, now)
        if after is not None and after.is_last and after.is_closed:
            for edit in _build_card_edit(rollout):
                _queue_once(service, f"{rollout.id}:way_back:{after.last_day}:{edit.key}", edit, now)


def _build_card_edit(rollout: Rollout) -> list[Announcement]:
    return [build_card(rollout)] if CARD_KEY in rollout.messages else []


def _queue_once(service: RolloutService, key: str, edit: Announcement, now: datetime) -> None:
    """Queue an edit unless one was queued under this key before; of several workers at once, one adds the row."""
    with service.database.reading() as connection:
        if outbox.find_by_key(connection, key) is not None:
            return
    task = MessageTask(announcement=edit, position=service.cached_world().position)
    row = task.build_row(now, idempotency_key=key)
    with service.database.writing_outside_log() as connection:
        outbox.insert_row(connection, row)
