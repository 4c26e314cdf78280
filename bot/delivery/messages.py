"""Delivers outbox messages to Slack: at least once, in order, and a retry first looks for the earlier attempt."""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from slack_sdk import WebClient

from bot.delivery import message_lookup
from bot.delivery.slack_api import WebApi
from bot.outbound.attempts import Attempts, Later, Never, TakenOver
from bot.rendering import wording
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import fallback
from bot.rendering.messages import announced, card, undelivered, witness
from core import watch
from core.judging.report.series import Point
from core.rollout import commands as c
from core.rollout.announcements import CARD_KEY, Announcement, Kind
from core.rollout.context import ENGINE
from core.rollout.events import RolloutEvent
from core.rollout.model import Rollout
from core.rollout.world import World
from core.service import Request, Service
from core.store.audit import anchors
from core.store.coordination import outbox
from core.store.coordination.outbox import Row
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.event_log import Recorded

log = structlog.get_logger()

KIND = "slack"
EVENT_TYPE = "rampart"
PACE = timedelta(seconds=1)  # Slack takes about one message a second for a channel

_EDITS = frozenset({Kind.NOTICE_EDIT, Kind.APPROVAL_CLOSED, Kind.ALERT_EDIT})
_KEPT_TRUE = frozenset({*_EDITS, Kind.CARD, Kind.ALERT})
_BROADCAST = frozenset({Kind.ALERT, Kind.NOT_CONFIRMED})
_TOP_LEVEL = frozenset({Kind.CARD, Kind.NOTICE, Kind.FOLLOW_UP, Kind.DAILY_WITNESS})
_BLOCKS_REFUSED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_NO_THREAD = frozenset({"thread_not_found", "cannot_reply_to_message", "message_not_found"})
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


def deliver_due(
    database: Database,
    service: Service,
    slack: WebClient,
    now: Callable[[], datetime],
    *,
    chance: Callable[[], float] = random.random,
    mention: Callable[[str], str] = lambda _: "",
    speed: float = 1.0,
    pace: timedelta = PACE,
) -> int:
    """Send messages until none is due; returns how many rows were handled.

    `now` is the rollouts' clock and `speed` how fast it runs; `random_fraction` gives numbers in [0, 1); `mention`
    turns a user group's name into a mention, or an empty string. `channel_pause` is the least real time between two
    messages to a channel.
    """
    attempts = Attempts(database, KIND, now, speed=speed, chance=chance)
    sender = _Sender(database, service, slack, now, attempts, mention, speed, pace)
    handled = 0
    while (row := attempts.claim()) is not None:
        sender.send(row)
        handled += 1
    return handled


class _Sender:
    """Delivers one row at a time, and remembers which fallback blocks this workspace needs."""

    def __init__(
        self,
        database: Database,
        service: Service,
        slack: WebClient,
        now: Callable[[], datetime],
        attempts: Attempts,
        mention: Callable[[str], str],
        speed: float,
        pace: timedelta,
    ) -> None:
        self._database = database
        self._service = service
        self._slack = WebApi(slack)
        self._now = now
        self._attempts = attempts
        self._mention = mention
        self._speed = speed
        self._pace = pace
        self._plainer = 0  # how far blocks must be simplified for this workspace, as known so far

    def send(self, row: Row) -> None:
        """Deliver, skip, reschedule or dead-letter one row."""
        told = _announcement(row.request["announcement"])
        try:
            self._heed_slow_down(told)
            try:
                response = self._deliver(row, told)
            except Never as never:
                self._give_up(row, told, str(never))
            else:
                self._finish(row, told, response)
        except TakenOver:
            log.warning("taken over by another process, so left to it", outbox=row.id, attempt=row.attempt)
        except Later as later:
            self._attempts.put_off(row, later)
        except Exception as error:
            # A message that cannot be rendered must not block the others, nor fail silently.
            log.exception("a message failed", outbox=row.id)
            self._attempts.put_off(row, Later(f"{type(error).__name__}: {error}"))

    def _heed_slow_down(self, told: Announcement) -> None:
        """Raise RetryLater while Slack rate-limits this channel; a limit on one lane holds for all of them."""
        now = self._now()
        with self._database.reading() as connection:
            until = outbox.slowed_until(connection, _place(told), now)
        if until is not None:
            raise Later(outbox.SLOW_DOWN, seconds=(until - now).total_seconds() / self._speed, counts=False)

    def _finish(self, row: Row, told: Announcement, response: Mapping[str, Any]) -> None:
        """Mark the row as done, and let its channel pause after a post."""
        with self._database.plain_writing() as connection:
            outbox.finish(connection, row, response)
            if response.get("posted") and self._pace:
                outbox.pace(connection, _place(told), self._now() + self._pace * self._speed)

    def _deliver(self, row: Row, told: Announcement) -> Mapping[str, Any]:
        """Post or edit the message, or skip it; returns the outcome to store with the row."""
        world = self._service.world()
        rollout = world.rollout(told.rollout)
        posted = rollout.messages.get(told.key)
        if told.kind in _EDITS and posted is None:
            return {"skipped": "there is nothing to edit"}
        if posted is not None and told.kind not in _KEPT_TRUE:
            return {"skipped": "it was posted before", "ts": posted.ts}
        message = self._render(row, told, world)
        if message is None:
            return {"skipped": "it has become pointless"}
        if posted is not None:
            try:
                return self._edit(row, posted.channel, posted.ts, message)
            except Never as never:
                if str(never) not in _GONE:
                    raise
                if told.kind is not Kind.CARD:  # deleted in Slack; only the card is posted again
                    return {"skipped": "it was deleted, so there is nothing to edit"}
        found = self._look_for(row, told, rollout) if row.attempt > 1 else None
        said = found or self._post(row, told, rollout, message)
        return self._record(row, told, rollout, message, said)

    def _render(self, row: Row, told: Announcement, world: World) -> Message | None:
        """The message as of now; None if it has become pointless."""
        if told.kind in witness.KINDS:
            return witness.render(row.position, self._event(row).hash)
        entries = [
            announced.Entry(position=r.position, at=r.at, event=r.event)
            for r in self._service.history(told.rollout)
            if isinstance(r.event, RolloutEvent)
        ]

        def name(group: str) -> str:
            return self._mention(group) or wording.escape(group)

        def trend(metric: str) -> tuple[Point, ...]:
            return watch.trend(self._service, world.rollout(told.rollout), metric)

        def newer() -> card.Newer:
            return watch.newest(self._service, world.rollout(told.rollout))

        return announced.render(told, row.request["position"], world, entries, self._now(), name, trend, newer)

    def _post(self, row: Row, told: Announcement, rollout: Rollout, message: Message) -> Mapping[str, Any]:
        """Post the message, in the card's thread unless it belongs to the top level."""
        where: dict[str, Any] = {}
        posted = rollout.messages.get(CARD_KEY)
        if told.kind not in _TOP_LEVEL and posted is not None:
            where = {"thread_ts": posted.ts, "reply_broadcast": told.kind in _BROADCAST}
        plainly: dict[str, Any] = {
            # By id if known, as a channel may be renamed while a rollout runs.
            "channel": _channel_id(told, rollout) or told.channel,
            "metadata": self._mark(row, told),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        try:
            answer = self._say(row, "chat.postMessage", message, **plainly, **where)
        except Never as never:
            if not where or str(never) not in _NO_THREAD:
                raise
            # The card was deleted together with its thread, so post in the channel.
            answer = self._say(row, "chat.postMessage", message, **plainly)
        return {"channel": answer["channel"], "ts": answer["ts"], "posted": True}

    def _edit(self, row: Row, channel: str, ts: str, message: Message) -> Mapping[str, Any]:
        answer = self._say(row, "chat.update", message, channel=channel, ts=ts)
        return {"channel": answer["channel"], "ts": answer["ts"], "edited": True}

    def _record(
        self, row: Row, told: Announcement, rollout: Rollout, message: Message, said: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Record where the message was posted, as an event or as an anchor of the log."""
        if told.kind in witness.KINDS:  # no event: a witness must not make the log grow
            place = f"slack:{said['channel']}/{said['ts']}"
            with self._database.plain_writing() as connection:
                anchors.add(connection, row.position, self._event(row).hash, place, self._now())
            return said
        command = c.RecordPosted(key=told.key, channel=said["channel"], ts=said["ts"])
        outcome = self._hand_in(command, rollout.id, f"outbox:{row.id}:{said['ts']}")
        if told.kind is Kind.ALERT:
            # The flip may have been confirmed while the alert was being posted, too early for an edit of its own.
            now = self._render(row, told, outcome)
            if now is not None and now != message:
                self._edit(row, said["channel"], said["ts"], now)
        return said

    def _look_for(self, row: Row, told: Announcement, rollout: Rollout) -> Mapping[str, Any] | None:
        """The message of an earlier attempt whose response was lost, found by this row's metadata; None if there is
        none."""

        def ask(method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
            return self._call(row, method, arguments)

        posted = rollout.messages.get(CARD_KEY)
        thread = posted.ts if posted is not None and told.kind not in _TOP_LEVEL else ""
        # An urgent message may have been posted outside the thread before the card was.
        places = (thread, "") if thread and told.urgent else (thread,)
        mark, since = self._mark(row, told), self._event(row).recorded_at
        try:
            channel = _channel_id(told, rollout) or message_lookup.channel_by_name(ask, told.channel)
            ts = message_lookup.find(ask, channel, places, mark, since) if channel else None
        except Never as never:
            # Delivery is at least once: without permission to search, a repeat is better than silence.
            log.warning("cannot look for an earlier try", channel=told.channel, why=str(never))
            return None
        return {"channel": channel, "ts": ts, "found": True} if ts else None

    def _mark(self, row: Row, told: Announcement) -> dict[str, Any]:
        """Metadata to find the message by; the event's time distinguishes rows of different databases."""
        event = self._event(row)
        payload = {"outbox": row.id, "recorded": event.recorded_at.isoformat()}
        if told.kind in witness.KINDS:
            shown = witness.payload(event.position, event.hash)
            return {"event_type": witness.EVENT_TYPE, "event_payload": {**payload, **shown}}
        return {"event_type": EVENT_TYPE, "event_payload": payload}

    def _event(self, row: Row) -> Recorded:
        """The event that this row was written with."""
        with self._database.reading() as connection:
            return event_log.after(connection, row.position - 1, limit=1)[0]

    def _say(self, row: Row, method: str, message: Message, **arguments: Any) -> Mapping[str, Any]:
        """Call Slack with the message's blocks, and with simpler ones while Slack rejects them."""
        while True:
            shown = fallback.plainer(message.blocks, self._plainer)
            try:
                return self._call(row, method, {**arguments, "text": message.text, "blocks": list(shown)})
            except Never as never:
                left = range(self._plainer + 1, fallback.STEPS + 1)
                step = next((n for n in left if fallback.plainer(message.blocks, n) != shown), None)
                if str(never) not in _BLOCKS_REFUSED or step is None:
                    raise
                self._plainer = step

    def _call(self, row: Row, method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """Call Slack once, after renewing the lease of the row."""
        self._attempts.hold(row)
        return self._slack.call(method, arguments)

    def _give_up(self, row: Row, told: Announcement, error: str) -> None:
        """Tell people that the message cannot be delivered, and dead-letter the row."""
        log.error("cannot be delivered", outbox=row.id, channel=told.channel, key=told.key, why=error)
        world = self._service.world()
        rollout = world.rollout(told.rollout)
        # Recording the failure posts to the engineering channel; if that is the broken one, it would never end.
        if told.channel != rollout.plan.engineering_channel:
            command = c.RecordFailed(key=told.key, channel=told.channel, error=error)
            self._hand_in(command, rollout.id, f"outbox:{row.id}:failed")
        else:
            self._tell_owner(row, told, world, error)
        self._attempts.bury(row, error)

    def _tell_owner(self, row: Row, told: Announcement, world: World, error: str) -> None:
        """Tell the owner by direct message: once per channel, but for urgent messages every time."""
        rollout = world.rollout(told.rollout)
        key = undelivered.key(told.channel)
        if key in rollout.messages and not told.urgent:
            return
        message = undelivered.render(rollout, told.channel, error, self._render(row, told, world))
        owner = wording.user_id(rollout.plan.owner) or ""  # an empty id makes Slack answer channel_not_found
        try:
            answer = self._say(row, "chat.postMessage", message, channel=owner)
        except Never as never:
            log.error("nobody could be told", outbox=row.id, owner=rollout.plan.owner, why=str(never))  # noqa: TRY400
            return
        said = c.RecordPosted(key=key, channel=answer["channel"], ts=answer["ts"])
        self._hand_in(said, rollout.id, f"outbox:{row.id}:owner")

    def _hand_in(self, command: c.Command, rollout: str, command_id: str) -> World:
        request = Request(command=command, command_id=command_id, by=ENGINE, at=self._now(), rollout=rollout)
        return self._service.handle(request).world


def _announcement(fields: Mapping[str, Any]) -> Announcement:
    due = fields.get("due_at")
    return Announcement(
        kind=Kind(fields["kind"]),
        rollout=fields["rollout"],
        channel=fields["channel"],
        key=fields["key"],
        audience=fields["audience"],
        due_at=datetime.fromisoformat(due) if due else None,
    )


def _place(told: Announcement) -> str:
    return f"{KIND}:{told.channel}"


def _channel_id(told: Announcement, rollout: Rollout) -> str | None:
    """The id of the announcement's channel, if something was posted there before."""
    if told.channel == rollout.plan.engineering_channel:
        posted = rollout.messages.get(CARD_KEY)
        return posted.channel if posted is not None else None
    return rollout.channels.get(told.channel)
