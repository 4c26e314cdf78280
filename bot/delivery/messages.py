"""Delivers outbox messages to Slack: at least once, in order, and a retry first looks for the earlier attempt."""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

import structlog
from slack_sdk import WebClient

from bot.delivery import message_lookup
from bot.delivery.consumer import LeaseTakenOver, OutboxConsumer
from bot.delivery.message_renderer import MessageRenderer, load_row_event
from bot.delivery.picture_upload import upload_pictures
from bot.delivery.slack_api import SlackApi
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.process.block_support import BlockSupport
from bot.process.outage import DATABASE_ERRORS
from bot.rendering import wording
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.charts import fallback
from bot.rendering.messages.alerts import undelivered
from bot.rendering.messages.plan_facts import ListMembers
from bot.rendering.messages.workspace import witness
from core.rollout import commands as c
from core.rollout.notifications.announcement import CARD_KEY, Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind, Edits, Place
from core.rollout.notifications.workspace_messages import WorkspaceMessage, WorkspaceMessageKind
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.service.outbox_tasks import (
    MESSAGES,
    MessageTask,
    WorkspaceMessageTask,
    channel_destination,
    parse_message_task,
)
from core.service.service import RolloutService
from core.store.audit import witnesses
from core.store.coordination import outbox
from core.store.coordination.outbox import OutboxRow

log = structlog.get_logger()

EVENT_TYPE = "rampart"
CHANNEL_PAUSE = timedelta(seconds=1)  # Slack takes about one message a second for a channel

_BLOCK_ERRORS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_THREAD_ERRORS = frozenset({"thread_not_found", "cannot_reply_to_message", "message_not_found"})
_EDIT_ERRORS = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


def deliver_due(
    service: RolloutService,
    slack: WebClient,
    now: Callable[[], datetime],
    *,
    random_fraction: Callable[[], float] = random.random,
    mention: Callable[[str], str] = lambda _: "",
    members: ListMembers = lambda _: {},
    speed: float = 1.0,
    channel_pause: timedelta = CHANNEL_PAUSE,
    support: BlockSupport | None = None,
) -> int:
    """Send messages until none is due; returns how many rows were handled.

    `now` is the rollouts' clock and `speed` how fast it runs; `random_fraction` gives numbers in [0, 1); `mention`
    turns a user group's name into a mention, or an empty string, and `members` lists its members. `channel_pause` is
    the least real time between two messages to a channel. `support` remembers which blocks the workspace refuses.
    """
    attempts = OutboxConsumer(service.database, MESSAGES, now, speed=speed, random_fraction=random_fraction)
    renderer = MessageRenderer(service, now, mention, members)
    sender = _MessageSender(service, slack, attempts, renderer, channel_pause * speed, support or BlockSupport())
    handled = 0
    while (row := attempts.claim()) is not None:
        sender.send(row)
        handled += 1
    return handled


class _MessageSender:
    """Delivers one row at a time. `channel_pause` is in the time of the rollouts' clock."""

    def __init__(
        self,
        service: RolloutService,
        slack: WebClient,
        consumer: OutboxConsumer,
        renderer: MessageRenderer,
        channel_pause: timedelta,
        support: BlockSupport,
    ) -> None:
        self._service = service
        self._database = service.database
        self._slack = SlackApi(slack)
        self._client = slack
        self._consumer = consumer
        self._now = consumer.now
        self._renderer = renderer
        self._channel_pause = channel_pause
        self._support = support

    def send(self, row: OutboxRow) -> None:
        """Deliver, skip, reschedule or dead-letter one row."""
        task = parse_message_task(row.request)
        try:
            self._respect_rate_limit(task.channel)
            try:
                response = self._deliver_task(row, task)
            except PermanentFailure as never:
                self._give_up(row, task, str(never))
            else:
                self._finish_row(row, task.channel, response)
        except LeaseTakenOver:
            log.warning("taken over by another process", outbox=row.id, attempt=row.attempt)
        except RetryLater as later:
            self._consumer.reschedule(row, later)
        except DATABASE_ERRORS as error:
            self._consumer.reschedule_after_outage(row, error)
        except Exception as error:
            # A message that cannot be rendered must not block the others, nor fail silently.
            log.exception("a message failed", outbox=row.id)
            self._consumer.reschedule(row, RetryLater(f"{type(error).__name__}: {error}"))

    def _deliver_task(self, row: OutboxRow, task: MessageTask | WorkspaceMessageTask) -> Mapping[str, Any]:
        """Deliver what a row asks for; returns the outcome to store with it."""
        match task:
            case MessageTask():
                return self._deliver_announcement(row, task.announcement)
            case WorkspaceMessageTask():
                return self._post_to_workspace(row, task.message)
            case _:
                assert_never(task)

    def _post_to_workspace(self, row: OutboxRow, told: WorkspaceMessage) -> Mapping[str, Any]:
        """Post a message that concerns the whole workspace."""
        message = self._renderer.render_for_workspace(row, told)
        metadata = self._build_metadata(row, is_witness=told.kind is WorkspaceMessageKind.DAILY_WITNESS)
        found = self._find_posted(row, told.channel, None, ("",), metadata) if row.attempt > 1 else None
        response = found
        if response is None:
            arguments = {"channel": told.channel, "metadata": metadata, "unfurl_links": False, "unfurl_media": False}
            answer = self._send_with_fallback(row, "chat.postMessage", message, **arguments)
            response = {"channel": answer["channel"], "ts": answer["ts"], "posted": True}
        if told.kind is WorkspaceMessageKind.DAILY_WITNESS:
            self._save_anchor(row, response)
        return response

    def _respect_rate_limit(self, channel: str) -> None:
        """Raise RetryLater while Slack rate-limits this channel; a limit on one lane holds for all of them."""
        with self._database.reading() as connection:
            until = outbox.find_rate_limit_end(connection, channel_destination(channel), self._now())
        if until is not None:
            seconds = self._consumer.count_seconds_until(until)
            raise RetryLater(outbox.RATE_LIMITED, seconds=seconds, counts_as_attempt=False)

    def _finish_row(self, row: OutboxRow, channel: str, response: Mapping[str, Any]) -> None:
        """Mark the row as done, and let its channel pause after a post."""
        with self._database.writing_outside_log() as connection:
            outbox.finish(connection, row, response)
            if response.get("posted") and self._channel_pause:
                outbox.delay_pending(
                    connection,
                    channel_destination(channel),
                    self._now() + self._channel_pause,
                )

    def _deliver_announcement(self, row: OutboxRow, announcement: Announcement) -> Mapping[str, Any]:
        """Post or edit the message, or skip it; returns the outcome to store with the row."""
        world = self._service.load_world()
        if announcement.kind.delivery.place is Place.ENGINEERS:
            return self._post_about_surface(row, announcement, world)
        rollout = world.get_rollout(announcement.rollout)
        posted = rollout.messages.get(announcement.key)
        delivery = announcement.kind.delivery
        if posted is None and delivery.edits is Edits.ONLY:
            return {"skipped": "there is nothing to edit"}
        if posted is not None and delivery.edits is Edits.NEVER:
            return {"skipped": "it was posted before", "ts": posted.ts}
        message = self._renderer.render_announcement(row, announcement, world)
        if message is None:
            return {"skipped": "it is no longer needed"}
        if posted is not None:
            try:
                return self._edit_message(row, posted.channel, posted.ts, message)
            except PermanentFailure as never:
                if str(never) not in _EDIT_ERRORS:
                    raise
                if not delivery.is_reposted:
                    return {"skipped": "it was deleted, so there is nothing to edit"}
        found = self._find_earlier_attempt(row, announcement, rollout) if row.attempt > 1 else None
        response = found or self._post_message(row, announcement, rollout, message)
        return self._record_delivery(row, announcement, rollout, message, response)

    def _post_about_surface(self, row: OutboxRow, announcement: Announcement, world: World) -> Mapping[str, Any]:
        """Post what concerns an AI feature and no rollout. Where an answer of Slack was lost it may come twice."""
        message = self._renderer.render_about_surface(row, announcement, world)
        if message is None:
            return {"skipped": "it is no longer needed"}
        arguments = {"channel": announcement.channel, "unfurl_links": False, "unfurl_media": False}
        answer = self._send_with_fallback(
            row, "chat.postMessage", message, metadata=self._build_metadata(row), **arguments
        )
        return {"channel": answer["channel"], "ts": answer["ts"], "posted": True}

    def _post_message(
        self, row: OutboxRow, announcement: Announcement, rollout: Rollout, message: Message
    ) -> Mapping[str, Any]:
        """Post the message, in the card's thread unless it belongs to the top level."""
        thread_arguments: dict[str, Any] = {}
        parent = announcement.parent_key(rollout)
        posted = rollout.messages.get(parent) if parent is not None else None
        if posted is not None:
            thread_arguments = {"thread_ts": posted.ts, "reply_broadcast": announcement.kind.delivery.is_broadcast}
        arguments: dict[str, Any] = {
            # By id if known, as a channel may be renamed while a rollout runs.
            "channel": _find_channel_id(announcement, rollout) or announcement.channel,
            "metadata": self._build_metadata(row, is_witness=announcement.kind is AnnouncementKind.WITNESS),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        try:
            answer = self._send_with_fallback(row, "chat.postMessage", message, **arguments, **thread_arguments)
        except PermanentFailure as never:
            if not thread_arguments or str(never) not in _THREAD_ERRORS:
                raise
            # The message was deleted together with its thread, so post in the channel.
            answer = self._send_with_fallback(row, "chat.postMessage", message, **arguments)
        return {"channel": answer["channel"], "ts": answer["ts"], "posted": True}

    def _edit_message(self, row: OutboxRow, channel: str, ts: str, message: Message) -> Mapping[str, Any]:
        answer = self._send_with_fallback(row, "chat.update", message, channel=channel, ts=ts)
        return {"channel": answer["channel"], "ts": answer["ts"], "edited": True}

    def _record_delivery(
        self,
        row: OutboxRow,
        announcement: Announcement,
        rollout: Rollout,
        message: Message,
        response: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Record where the message was posted, as an event or as an anchor of the log."""
        if announcement.kind is AnnouncementKind.WITNESS:
            self._save_anchor(row, response)
            return response
        command = c.RecordPosted(key=announcement.key, channel=response["channel"], ts=response["ts"])
        outcome = self._submit_command(command, rollout.id, f"outbox:{row.id}:{response['ts']}")
        if announcement.kind is AnnouncementKind.ALERT:
            # The flip may have been confirmed while the alert was being posted, too early for an edit of its own.
            now = self._renderer.render_announcement(row, announcement, outcome)
            if now is not None and now != message:
                self._edit_message(row, response["channel"], response["ts"], now)
        return response

    def _save_anchor(self, row: OutboxRow, response: Mapping[str, Any]) -> None:
        """Record where a witness was posted, not as an event: a witness must not make the log grow."""
        place = f"slack:{response['channel']}/{response['ts']}"
        with self._database.writing_outside_log() as connection:
            witnesses.save_anchor(
                connection, row.position, load_row_event(self._database, row).hash, place, self._now()
            )

    def _find_earlier_attempt(
        self, row: OutboxRow, announcement: Announcement, rollout: Rollout
    ) -> Mapping[str, Any] | None:
        """The message of an earlier attempt whose response was lost; None if there is none."""
        parent = announcement.parent_key(rollout)
        posted = rollout.messages.get(parent) if parent is not None else None
        thread = posted.ts if posted is not None else ""
        # An urgent message may have been posted outside the thread before the card was.
        places = (thread, "") if thread and announcement.kind.delivery.is_urgent else (thread,)
        mark = self._build_metadata(row, is_witness=announcement.kind is AnnouncementKind.WITNESS)
        return self._find_posted(row, announcement.channel, _find_channel_id(announcement, rollout), places, mark)

    def _find_posted(
        self, row: OutboxRow, name: str, channel_id: str | None, threads: tuple[str, ...], mark: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The message with this metadata in the channel `name`, in one of `threads` ("" is the channel itself)."""

        def call_slack(method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
            return self._call_slack(row, method, arguments)

        since = load_row_event(self._database, row).recorded_at
        try:
            channel = channel_id or message_lookup.find_channel_id(call_slack, name)
            ts = message_lookup.find_message(call_slack, channel, threads, mark, since) if channel else None
        except PermanentFailure as never:
            # Delivery is at least once: without permission to search, a repeat is better than silence.
            log.warning("cannot look for an earlier attempt", channel=name, why=str(never))
            return None
        return {"channel": channel, "ts": ts, "found": True} if ts else None

    def _build_metadata(self, row: OutboxRow, *, is_witness: bool = False) -> dict[str, Any]:
        """Metadata to find the message by; the event's time distinguishes rows of different databases."""
        event = load_row_event(self._database, row)
        payload = {"outbox": row.id, "recorded": event.recorded_at.isoformat()}
        if is_witness:
            shown = witness.metadata_payload(event.position, event.hash)
            return {"event_type": witness.EVENT_TYPE, "event_payload": {**payload, **shown}}
        return {"event_type": EVENT_TYPE, "event_payload": payload}

    def _send_with_fallback(self, row: OutboxRow, method: str, message: Message, **arguments: Any) -> Mapping[str, Any]:
        """Call Slack with the message's blocks, and with simpler ones while Slack rejects them."""
        first = step = self._support.step
        pictures: Mapping[str, tuple[str, str]] | None = None
        while True:
            if step == fallback.PICTURES and pictures is None and message.pictures:
                pictures = upload_pictures(self._client, message)
            shown = fallback.simplify_blocks(message.blocks, step, pictures)
            try:
                answer = self._call_slack(row, method, {**arguments, "text": message.text, "blocks": list(shown)})
            except PermanentFailure as never:
                if str(never) not in _BLOCK_ERRORS:
                    raise
                left = range(step + 1, fallback.MAX_STEPS + 1)
                simpler = next((n for n in left if self._differs(message, n, shown)), None)
                if simpler is None:
                    raise
                step = simpler
            else:
                if step > first:  # a picture may be refused for once, as a new file is not ready at once
                    self._support.record_refusal(step if step == fallback.MAX_STEPS else fallback.PICTURES)
                return answer

    def _differs(self, message: Message, step: int, shown: tuple[Block, ...]) -> bool:
        """Whether another step would send other blocks; the pictures of a message count, though not yet uploaded."""
        if step == fallback.PICTURES and message.pictures:
            return True
        return fallback.simplify_blocks(message.blocks, step) != shown

    def _call_slack(self, row: OutboxRow, method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """Call Slack once, after renewing the lease of the row."""
        self._consumer.renew_lease(row)
        return self._slack.call(method, arguments)

    def _give_up(self, row: OutboxRow, task: MessageTask | WorkspaceMessageTask, error: str) -> None:
        """Tell people that the message cannot be delivered, and dead-letter the row."""
        if isinstance(task, WorkspaceMessageTask):  # nobody in particular is waiting for it; doctor shows it
            log.error("cannot be delivered", outbox=row.id, channel=task.channel, key=task.message.key, why=error)
            self._consumer.dead_letter(row, error)
            return
        announcement = task.announcement
        log.error("cannot be delivered", outbox=row.id, channel=announcement.channel, key=announcement.key, why=error)
        if announcement.kind.delivery.place is Place.ENGINEERS:
            self._consumer.dead_letter(row, error)
            return
        world = self._service.load_world()
        rollout = world.get_rollout(announcement.rollout)
        # Recording the failure posts to the engineering channel; if that is the broken one, it would never end.
        if announcement.is_direct:
            pass  # who follows an AI feature and has left is of no concern to the channel; doctor shows the dead letter
        elif announcement.channel != rollout.plan.engineering_channel:
            command = c.RecordFailed(key=announcement.key, channel=announcement.channel, error=error)
            self._submit_command(command, rollout.id, f"outbox:{row.id}:failed")
        else:
            self._notify_owner(row, announcement, world, error)
        self._consumer.dead_letter(row, error)

    def _notify_owner(self, row: OutboxRow, announcement: Announcement, world: World, error: str) -> None:
        """Tell the owner by direct message: once per channel, but for urgent messages every time."""
        rollout = world.get_rollout(announcement.rollout)
        key = undelivered.notification_key(announcement.channel)
        if key in rollout.messages and not announcement.kind.delivery.is_urgent:
            return
        message = undelivered.render(
            rollout,
            announcement.channel,
            error,
            self._renderer.render_announcement(row, announcement, world),
        )
        owner = wording.slack_user_id(rollout.plan.owner) or ""  # an empty id makes Slack answer channel_not_found
        try:
            answer = self._send_with_fallback(row, "chat.postMessage", message, channel=owner)
        except PermanentFailure as never:
            log.error("the owner could not be notified", outbox=row.id, owner=rollout.plan.owner, why=str(never))  # noqa: TRY400
            return
        command = c.RecordPosted(key=key, channel=answer["channel"], ts=answer["ts"])
        self._submit_command(command, rollout.id, f"outbox:{row.id}:owner")

    def _submit_command(self, command: c.Command, rollout: str, command_id: str) -> World:
        return self._service.handle_as_engine(command, command_id=command_id, at=self._now(), rollout=rollout).world


def _find_channel_id(announcement: Announcement, rollout: Rollout) -> str | None:
    """The id of the announcement's channel, if something was posted there before."""
    if announcement.channel == rollout.plan.engineering_channel:
        posted = rollout.messages.get(CARD_KEY)
        return posted.channel if posted is not None else None
    return rollout.channel_ids.get(announcement.channel)
