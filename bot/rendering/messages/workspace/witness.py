"""The witness: a posted line with the hash of the log's head, so that a rewritten log can be detected."""

import re
from typing import Any

from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message

EVENT_TYPE = "rampart_anchor"
SHOWN_DIGITS = 16
"""How much of the hash people see, as nobody compares 64 digits by eye; the message's metadata has all of it."""
# Matches the line as posted, as `audit verify` and `backup` print it, or bare; 16 hash digits are enough.
_SHOWN = re.compile(r"#?(\d{1,18})\W{1,3}([0-9a-f]{16,64})(?![0-9A-Za-z])")


def render(position: int, head_hash: bytes) -> Message:
    """The witness line for the event at `position`, with the beginning of `head_hash`, the hash of the log's head."""
    line = (
        f"For auditors: log witness #{position} {head_hash.hex()[:SHOWN_DIGITS]}. If Rampart's log is ever cut or "
        "rewritten, `rollout audit verify --anchors` finds that it no longer matches this line."
    )
    return blocks.build_message(line, blocks.context(line), show_first_line=False)


def metadata_payload(position: int, head_hash: bytes) -> dict[str, Any]:
    """The position and hash as the payload of the message's metadata."""
    return {"position": position, "hash": head_hash.hex()}


def parse_line(line: str) -> tuple[int, str] | None:
    """Find (position, hash as hex) in a line of text, whatever surrounds them; None if there are none."""
    found = _SHOWN.search(line)
    return (int(found[1]), found[2]) if found else None


def parse_metadata(metadata: Any) -> tuple[int, str] | None:
    """(position, hash as hex) from a message's metadata; None if it is not a witness."""
    match metadata:
        case {"event_type": kind, "event_payload": {"position": int(position), "hash": str(shown)}}:
            return (position, shown) if kind == EVENT_TYPE else None
    return None
