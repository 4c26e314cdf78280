"""The line that shows the head of the log to people: whoever rewrites the log cannot rewrite what they have read."""

import re
from typing import Any

from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.rollout.announcements import Kind

KINDS = frozenset({Kind.WITNESS, Kind.DAILY_WITNESS})
EVENT_TYPE = "rampart_anchor"
# As posted, as `audit verify` and `backup` print it, or bare; sixteen digits of a hash are proof enough.
_SHOWN = re.compile(r"#?(\d{1,18})\W{1,3}([0-9a-f]{16,64})(?![0-9A-Za-z])")


def render(position: int, newest: bytes) -> Message:
    """One quiet line; nobody has to do anything about it."""
    line = (
        f"Log witness: #{position} {newest.hex()}. Nothing to do: should Rampart's log ever be cut or rewritten, "
        "`rollout audit verify --anchors` finds that it no longer fits this line."
    )
    return blocks.message(line, blocks.context(line), lead=False)


def payload(position: int, newest: bytes) -> dict[str, Any]:
    """The same for machines, in the message's metadata."""
    return {"position": position, "hash": newest.hex()}


def read(line: str) -> tuple[int, str] | None:
    """Position and hash in a line of text, however much stands around them; None where there are none."""
    found = _SHOWN.search(line)
    return (int(found[1]), found[2]) if found else None


def read_metadata(found: Any) -> tuple[int, str] | None:
    """Position and hash in a message's metadata; None where it is not a witness."""
    match found:
        case {"event_type": kind, "event_payload": {"position": int(position), "hash": str(shown)}}:
            return (position, shown) if kind == EVENT_TYPE else None
    return None
