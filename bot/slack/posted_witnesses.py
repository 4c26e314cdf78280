"""Reads witnesses (posted heads of the log) back from the Slack channels that they were posted to."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from bot.rendering.messages.workspace import witness
from core.store.audit.witnesses import Anchor

_PAGE_SIZE = 200
_MAX_RATE_LIMIT_RETRIES = 20  # rate-limited responses in a row


def read_posted_witnesses(slack: WebClient, channels: Iterable[str]) -> tuple[list[Anchor], dict[str, str]]:
    """(every witness in these channels, threads included; channel to error for those that could not be read).

    Channels are given by id, or by name as in `#ai-rollouts`. They are read from their beginning, since a truncated log
    may have lost the rollouts whose threads hold the missing witnesses.
    """
    client = WebClient(
        token=slack.token,
        base_url=slack.base_url,
        timeout=slack.timeout,
        retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=_MAX_RATE_LIMIT_RETRIES)],
    )
    known = {f"#{each['name']}": each["id"] for each in _iterate_items(client, "conversations.list", "channels")}
    found: list[Anchor] = []
    unread: dict[str, str] = {}
    for channel in sorted({known.get(each, each) for each in channels}):
        try:
            found += _read_channel(client, channel)
        except SlackApiError as error:
            unread[channel] = str(error.response.get("error"))
    return found, unread


def _read_channel(client: WebClient, channel: str) -> Iterator[Anchor]:
    for message in _iterate_items(client, "conversations.history", "messages", channel=channel):
        yield from _parse_witness(channel, message)
        if message.get("reply_count") and message.get("metadata"):  # one of our cards, whose thread may hold witnesses
            replies = _iterate_items(client, "conversations.replies", "messages", channel=channel, ts=message["ts"])
            for reply in replies:
                yield from _parse_witness(channel, reply)


def _parse_witness(channel: str, message: dict[str, Any]) -> Iterator[Anchor]:
    found = witness.parse_metadata(message.get("metadata"))
    if found is not None:
        at = datetime.fromtimestamp(float(message["ts"]), UTC)
        yield Anchor(position=found[0], hash=found[1], place=f"slack:{channel}/{message['ts']}", at=at)


def _iterate_items(client: WebClient, method: str, key: str, **arguments: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = {"limit": _PAGE_SIZE, "cursor": cursor, "include_all_metadata": True, **arguments}
        answer = client.api_call(method, http_verb="GET", params=page)
        yield from answer[key]
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
