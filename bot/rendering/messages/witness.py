"""The witness: a posted line with the hash of the log's head, so that a rewritten log can be detected."""

import re
from typing import Any

from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.rollout.announcements import Kind

KINDS = frozenset({Kind.WITNESS, Kind.DAILY_WITNESS})
EVENT_TYPE = "rampart_anchor"
# Matches the line as posted, as `audit verify` and `backup` print it, or bare; 16 hash digits are enough.
_SHOWN = re.compile(r"#?(\d{1,18})\W{1,3}([0-9a-f]{16,64})(?![0-9A-Za-z])")


def render(position: int, newest: bytes) -> Message:
    """The witness line for the event at `position`; `head_hash` is the hash of the log's head."""
    line = (
        f"Log witness: #{position} {newest.hex()}. Nothing to do: should Rampart's log ever be cut or rewritten, "
        "`rollout audit verify --anchors` finds that it no longer fits this line."
    )
    return blocks.message(line, blocks.context(line), lead=False)


def payload(position: int, newest: bytes) -> dict[str, Any]:
    """The position and hash as the payload of the message's metadata."""
    return {"position": position, "hash": newest.hex()}


def read(line: str) -> tuple[int, str] | None:
    """Find (position, hash as hex) in a line of text, whatever surrounds them; None if there are none."""
    found = _SHOWN.search(line)
    return (int(found[1]), found[2]) if found else None


def read_metadata(found: Any) -> tuple[int, str] | None:
    """(position, hash as hex) from a message's metadata; None if it is not a witness."""
    match found:
        case {"event_type": kind, "event_payload": {"position": int(position), "hash": str(shown)}}:
            return (position, shown) if kind == EVENT_TYPE else None
    return None
