"""Finds a message that an earlier attempt posted although its response was lost, by the message's metadata."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

log = structlog.get_logger()

SlackCall = Callable[[str, dict[str, Any]], Mapping[str, Any]]

_PAGE_SIZE = 200  # messages
_MAX_PAGES = 20  # beyond these the message counts as not posted; posting twice is better than never
_MAX_CLOCK_SKEW = timedelta(minutes=5)  # between Slack and this machine


def find_message(
    call: SlackCall, channel: str, threads: tuple[str, ...], metadata: Mapping[str, Any], since: datetime
) -> str | None:
    """The ts of the message with this metadata posted after `since`, or None; thread "" is the channel itself."""
    for thread in threads:
        for message in _iterate_messages(call, channel, thread, since - _MAX_CLOCK_SKEW):
            if message.get("metadata") == metadata:
                return str(message["ts"])
    return None


def find_channel_id(call: SlackCall, name: str) -> str | None:
    """The id of the public channel `#name`, or None."""
    for page in _iterate_pages(call, "conversations.list", {"exclude_archived": True, "types": "public_channel"}):
        for channel in page["channels"]:
            if f"#{channel['name']}" == name:
                return str(channel["id"])
    return None


def _iterate_messages(call: SlackCall, channel: str, thread: str, since: datetime) -> Iterator[Mapping[str, Any]]:
    method = "conversations.replies" if thread else "conversations.history"
    asked = {"channel": channel, "include_all_metadata": True, "oldest": f"{since.timestamp():.6f}"}
    if thread:
        asked["ts"] = thread
    for number, page in enumerate(_iterate_pages(call, method, asked), 1):
        yield from page["messages"]
        if number == _MAX_PAGES:
            log.warning("no earlier attempt was found", channel=channel, messages=_MAX_PAGES * _PAGE_SIZE)
            return


def _iterate_pages(call: SlackCall, method: str, arguments: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    cursor = ""
    while True:
        page = call(method, {**arguments, "limit": _PAGE_SIZE, **({"cursor": cursor} if cursor else {})})
        yield page
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
