"""Edits of what was posted: cards that have news, and notices whose date has passed."""

from datetime import datetime, timedelta

from bot.jobs.look_slots import find_slot_start
from core.rollout.notifications import direct_messages
from core.rollout.notifications.announcement import CARD_KEY, Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.notifications.rollout_announcements import build_overdue_edits
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
        slot = find_slot_start(now, every, rollout.id)
        key = f"refresh:{rollout.id}:{slot.isoformat()}"
        with service.database.reading() as connection:
            news = looks.newest_news(connection, rollout.id)
            if news is None or news < slot - every or outbox.find_by_key(connection, key) is not None:
                continue
        if rollout.evidence_at is not None and news <= rollout.evidence_at:
            continue  # it was told with that evidence
        channel = rollout.plan.engineering_channel
        told = Announcement(kind=AnnouncementKind.CARD, rollout=rollout.id, channel=channel, key=CARD_KEY)
        task = MessageTask(announcement=told, position=service.cached_world().position)
        row = task.build_row(now, idempotency_key=key)  # of several workers that get here at once, one adds the row
        with service.database.writing_outside_log() as connection:
            outbox.insert_row(connection, row)


def queue_overdue_edits(service: RolloutService, now: datetime) -> None:
    """Queue an edit of the card and of each notice that gives a date which has passed, once for each date."""
    world = service.cached_world()
    for rollout in world.open_rollouts:
        key, edits = build_overdue_edits(rollout, now)
        if not key:
            continue
        edits = [*edits, *direct_messages.build_overdue_edits(rollout)]
        if CARD_KEY in rollout.messages:
            channel = rollout.plan.engineering_channel
            edits.append(Announcement(kind=AnnouncementKind.CARD, rollout=rollout.id, channel=channel, key=CARD_KEY))
        for edit in edits:
            row_key = f"{key}:{edit.key}"
            with service.database.reading() as connection:
                if outbox.find_by_key(connection, row_key) is not None:
                    continue
            row = MessageTask(announcement=edit, position=world.position).build_row(now, idempotency_key=row_key)
            with service.database.writing_outside_log() as connection:
                outbox.insert_row(connection, row)
