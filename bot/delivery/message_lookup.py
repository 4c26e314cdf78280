"""Finds a message that an earlier attempt posted although its response was lost, by the message's metadata."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

log = structlog.get_logger()

Ask = Callable[[str, dict[str, Any]], Mapping[str, Any]]

_PAGE = 200  # messages
_PAGES = 20  # beyond these the message counts as not posted; posting twice is better than never
_CLOCKS_DIFFER = timedelta(minutes=5)  # between Slack and this machine


def find(ask: Ask, channel: str, threads: tuple[str, ...], mark: Mapping[str, Any], since: datetime) -> str | None:
    """The ts of the message with this metadata posted after `since`, or None; thread "" is the channel itself."""
    for thread in threads:
        for message in _said(ask, channel, thread, since - _CLOCKS_DIFFER):
            if message.get("metadata") == mark:
                return str(message["ts"])
    return None


def channel_by_name(ask: Ask, name: str) -> str | None:
    """The id of the public channel `#name`, or None."""
    for page in _pages(ask, "conversations.list", {"exclude_archived": True, "types": "public_channel"}):
        for channel in page["channels"]:
            if f"#{channel['name']}" == name:
                return str(channel["id"])
    return None


def _said(ask: Ask, channel: str, thread: str, since: datetime) -> Iterator[Mapping[str, Any]]:
    method = "conversations.replies" if thread else "conversations.history"
    asked = {"channel": channel, "include_all_metadata": True, "oldest": f"{since.timestamp():.6f}"}
    if thread:
        asked["ts"] = thread
    for number, page in enumerate(_pages(ask, method, asked), 1):
        yield from page["messages"]
        if number == _PAGES:
            log.warning("looked for an earlier try in vain", channel=channel, messages=_PAGES * _PAGE)
            return


def _pages(ask: Ask, method: str, asked: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    cursor = ""
    while True:
        page = ask(method, {**asked, "limit": _PAGE, **({"cursor": cursor} if cursor else {})})
        yield page
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
