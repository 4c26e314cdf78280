"""Empty the outbox into Slack: at least once, in order, and looked for before it is said a second time."""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.rendering import announced, fallback, witness, wording
from bot.rendering.blocks import Message
from core import watch
from core.judging.series import Point
from core.rollout import commands as c
from core.rollout.announcements import CARD_KEY, Announcement, Kind
from core.rollout.context import ENGINE
from core.rollout.events import RolloutEvent
from core.rollout.model import Rollout
from core.rollout.world import World
from core.service import Request, Service
from core.store import anchors, outbox
from core.store.database import Database
from core.store.outbox import Row

log = structlog.get_logger()

KIND = "slack"
EVENT_TYPE = "rampart"
LEASE = timedelta(seconds=60)
LONGEST_WAIT = 300.0  # seconds between two tries
_LOOK_BACK = 200  # messages

_EDITS = frozenset({Kind.NOTICE_EDIT, Kind.APPROVAL_CLOSED, Kind.ALERT_EDIT})
_BROADCAST = frozenset({Kind.ALERT, Kind.NOT_CONFIRMED})
_TOP_LEVEL = frozenset({Kind.CARD, Kind.NOTICE, Kind.FOLLOW_UP, Kind.DAILY_WITNESS})
_BLOCKS_REFUSED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_PASSING = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited"}
    # Without a working token nothing can be said at all: that is mended by a person, and then everything goes out.
    | {"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
)


class Later(Exception):
    """Not now. `seconds` are real ones; `counts` whether it was a try that failed, as opposed to "slow down"."""

    def __init__(self, why: str, *, seconds: float | None = None, counts: bool = True) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.counts = counts


class Never(Exception):
    """Slack will not take this, however often it is sent."""


def deliver_due(
    database: Database,
    service: Service,
    slack: WebClient,
    now: Callable[[], datetime],
    *,
    chance: Callable[[], float] = random.random,
    mention: Callable[[str], str] = lambda _: "",
    speed: float = 1.0,
) -> int:
    """Send what is due until nothing is; how many rows were dealt with.

    `now` is the rollouts' clock and `speed` how fast it runs; `chance` gives numbers from 0 to 1; `mention` turns a
    user group's name into a mention, or an empty string.
    """
    sender = _Sender(database, service, slack, now, chance, mention, speed)
    handled = 0
    while (row := outbox.claim(database, now(), kind=KIND, lease=LEASE * speed)) is not None:
        sender.send(row)
        handled += 1
    return handled


class _Sender:
    def __init__(
        self,
        database: Database,
        service: Service,
        slack: WebClient,
        now: Callable[[], datetime],
        chance: Callable[[], float],
        mention: Callable[[str], str],
        speed: float,
    ) -> None:
        self._database = database
        self._service = service
        # Without the client's own retries: a cut connection may have carried the message, so look before repeating it.
        self._slack = WebClient(
            token=slack.token,
            base_url=slack.base_url,
            timeout=slack.timeout,
            ssl=slack.ssl,
            proxy=slack.proxy,
            retry_handlers=[],
        )
        self._now = now
        self._chance = chance
        self._mention = mention
        self._speed = speed
        self._plainer = 0  # how much plainer than ours this workspace's blocks have to be, as far as we know

    def send(self, row: Row) -> None:
        """One row: said, skipped, put off, or set aside for a human."""
        told = _announcement(row.request["announcement"])
        try:
            response = self._deliver(row, told)
        except Later as later:
            self._put_off(row, later)
        except Never as never:
            self._give_up(row, told, str(never))
        else:
            with self._database.plain_writing() as connection:
                outbox.finish(connection, row, response)

    def _deliver(self, row: Row, told: Announcement) -> Mapping[str, Any]:
        world = self._service.world()
        rollout = world.rollouts[told.rollout]
        posted = rollout.messages.get(told.key)
        if told.kind in _EDITS and posted is None:
            return {"skipped": "there is nothing to edit"}
        if posted is not None and told.kind not in {*_EDITS, Kind.CARD}:
            return {"skipped": "it was posted before", "ts": posted.ts}
        message = self._render(row, told, world)
        if message is None:
            return {"skipped": "it has become pointless"}
        if posted is not None:
            try:
                return self._edit(posted.channel, posted.ts, message)
            except Never as never:
                if str(never) not in _GONE or told.kind is not Kind.CARD:
                    raise
        found = self._look_for(row, told, world, rollout) if row.attempt > 1 else None
        said = found or self._post(row, told, rollout, message)
        return self._record(row, told, rollout, message, said)

    def _render(self, row: Row, told: Announcement, world: World) -> Message | None:
        if told.kind in witness.KINDS:
            return witness.render(row.position, self._hash_at(row.position))
        entries = [
            announced.Entry(position=r.position, at=r.at, event=r.event)
            for r in self._service.history(told.rollout)
            if isinstance(r.event, RolloutEvent)
        ]

        def name(group: str) -> str:
            return self._mention(group) or wording.escape(group)

        def trend(metric: str) -> tuple[Point, ...]:
            return watch.trend(self._service, world.rollouts[told.rollout], metric)

        return announced.render(told, row.request["position"], world, entries, self._now(), name, trend)

    def _post(self, row: Row, told: Announcement, rollout: Rollout, message: Message) -> Mapping[str, Any]:
        where: dict[str, Any] = {}
        card = rollout.messages.get(CARD_KEY)
        if told.kind not in _TOP_LEVEL and card is not None:
            where = {"thread_ts": card.ts, "reply_broadcast": told.kind in _BROADCAST}
        answer = self._call(
            "chat.postMessage",
            message,
            # By id where it is known: a channel may be renamed while a rollout runs.
            channel=_channel_id(told, rollout) or told.channel,
            metadata=self._mark(row, told, rollout),
            unfurl_links=False,
            unfurl_media=False,
            **where,
        )
        return {"channel": answer["channel"], "ts": answer["ts"]}

    def _mark(self, row: Row, told: Announcement, rollout: Rollout) -> dict[str, Any]:
        """By what a message is found again; the time of planning tells the rows of two databases apart."""
        payload = {"outbox": row.id, "planned": rollout.planned_at.isoformat()}
        if told.kind in witness.KINDS:
            shown = witness.payload(row.position, self._hash_at(row.position))
            return {"event_type": witness.EVENT_TYPE, "event_payload": {**payload, **shown}}
        return {"event_type": EVENT_TYPE, "event_payload": payload}

    def _hash_at(self, position: int) -> bytes:
        with self._database.reading() as connection:
            found = anchors.hash_at(connection, position)
        assert found is not None, "a row of the outbox follows from an event"
        return found

    def _edit(self, channel: str, ts: str, message: Message) -> Mapping[str, Any]:
        answer = self._call("chat.update", message, channel=channel, ts=ts)
        return {"channel": answer["channel"], "ts": answer["ts"], "edited": True}

    def _record(
        self, row: Row, told: Announcement, rollout: Rollout, message: Message, said: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if told.kind in witness.KINDS:  # not an event: the log would grow by telling how far it has grown
            place = f"slack:{said['channel']}/{said['ts']}"
            with self._database.plain_writing() as connection:
                anchors.add(connection, row.position, self._hash_at(row.position), place, self._now())
            return said
        command = c.RecordPosted(key=told.key, channel=said["channel"], ts=said["ts"])
        outcome = self._hand_in(command, rollout.id, f"outbox:{row.id}:{said['ts']}")
        if told.kind is Kind.ALERT:
            # The switch may have been confirmed while the alert was on its way, too early for an edit of its own.
            now = self._render(row, told, outcome)
            if now is not None and now != message:
                self._edit(said["channel"], said["ts"], now)
        return said

    def _look_for(self, row: Row, told: Announcement, world: World, rollout: Rollout) -> Mapping[str, Any] | None:
        """An earlier try may have arrived although its answer did not: the message that carries this row's mark."""
        channel = _channel_id(told, rollout) or self._channel_by_name(told.channel)
        if channel is None:
            return None
        card = rollout.messages.get(CARD_KEY)
        thread = card.ts if card is not None and told.kind not in _TOP_LEVEL else ""
        method = "conversations.replies" if thread else "conversations.history"
        asked: dict[str, Any] = {"channel": channel, "limit": _LOOK_BACK, "include_all_metadata": True}
        try:
            found = self._asked(method, {**asked, "ts": thread} if thread else asked)
        except Never as never:
            # At least once: without the right to look, a repeat is better than silence.
            log.warning("cannot look for an earlier try", channel=told.channel, why=str(never))
            return None
        for message in found["messages"]:
            if message.get("metadata") == self._mark(row, told, rollout):
                return {"channel": channel, "ts": message["ts"], "found": True}
        return None

    def _channel_by_name(self, name: str) -> str | None:
        cursor = ""
        while True:
            page = self._asked(
                "conversations.list",
                {"limit": 200, "cursor": cursor, "exclude_archived": True, "types": "public_channel"},
            )
            found = next((x["id"] for x in page["channels"] if f"#{x['name']}" == name), None)
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if found or not cursor:
                return found

    def _call(self, method: str, message: Message, **arguments: Any) -> Mapping[str, Any]:
        while True:
            shown = fallback.plainer(message.blocks, self._plainer)
            try:
                return self._asked(method, {**arguments, "text": message.text, "blocks": list(shown)})
            except Never as never:
                left = range(self._plainer + 1, fallback.STEPS + 1)
                step = next((n for n in left if fallback.plainer(message.blocks, n) != shown), None)
                if str(never) not in _BLOCKS_REFUSED or step is None:
                    raise
                self._plainer = step

    def _asked(self, method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """One call of the Web API; `Later` or `Never` where it fails."""
        try:
            reads = method.startswith("conversations.")  # methods that read take no JSON
            answered = self._slack.api_call(
                method, http_verb="GET" if reads else "POST", **{"params" if reads else "json": arguments}
            )
        except SlackApiError as error:
            answer = error.response
            if answer.status_code == 429:
                wait = float(answer.headers.get("Retry-After") or answer.headers.get("retry-after") or 1)
                raise Later("rate limited", seconds=wait, counts=False) from error
            why = str(answer.get("error", "")) if isinstance(answer.data, dict) else ""
            if why == "missing_scope" and method.startswith("conversations."):
                raise Never(why) from error  # only looking is forbidden, saying is not
            if answer.status_code >= 500 or why in _PASSING or not why:
                raise Later(why or f"HTTP {answer.status_code}") from error
            raise Never(why) from error
        except (SlackClientError, HTTPException, OSError) as error:
            raise Later(f"{type(error).__name__}: {error}") from error
        assert isinstance(answered.data, dict)
        return answered.data

    def _put_off(self, row: Row, later: Later) -> None:
        backoff = min(LONGEST_WAIT, 2.0 ** min(row.attempt, 10)) * (0.5 + self._chance() / 2)
        seconds = later.seconds if later.seconds is not None else backoff
        log.warning("not delivered yet", outbox=row.id, attempt=row.attempt, why=str(later), again_in=seconds)
        until = self._now() + timedelta(seconds=seconds * self._speed)
        with self._database.plain_writing() as connection:
            outbox.postpone(connection, row, until, str(later), later.counts)

    def _give_up(self, row: Row, told: Announcement, error: str) -> None:
        log.error("cannot be delivered", outbox=row.id, channel=told.channel, key=told.key, why=error)
        rollout = self._service.world().rollouts[told.rollout]
        # Recording it tells the engineering channel; where that is the broken one, telling it would never end.
        if told.channel != rollout.plan.engineering_channel:
            command = c.RecordFailed(key=told.key, channel=told.channel, error=error)
            self._hand_in(command, rollout.id, f"outbox:{row.id}:failed")
        with self._database.plain_writing() as connection:
            outbox.bury(connection, row, error)

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


def _channel_id(told: Announcement, rollout: Rollout) -> str | None:
    if told.channel == rollout.plan.engineering_channel:
        card = rollout.messages.get(CARD_KEY)
        return card.channel if card is not None else None
    return rollout.channels.get(told.channel)
