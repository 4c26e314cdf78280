"""The event log of one rollout: one line per event, newest first."""

from collections.abc import Sequence
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines
from core.rollout.events import MessagePosted, RolloutEvent
from core.rollout.model import Rollout

MAX_ENTRIES = 25
_REDUNDANT_MESSAGE_KEYS = (
    "card",
    "line:",
    "summary:",
    "approval:",
)  # these messages report an event that is listed itself
_ENTRIES_PER_SECTION = 9  # keeps a section below Slack's limit even if every line has its maximum length
LogEntry = tuple[datetime, str, RolloutEvent]  # (at, actor, event)


def render(rollout: Rollout, entries: Sequence[LogEntry], zone: str) -> Message:
    """The newest entries; the first line counts all of them."""
    worth = [
        x for x in entries if not (isinstance(x[2], MessagePosted) and x[2].key.startswith(_REDUNDANT_MESSAGE_KEYS))
    ]
    rows = [_format_entry(at, actor, event, zone) for at, actor, event in reversed(worth)][:MAX_ENTRIES]
    parts = [rows[i : i + _ENTRIES_PER_SECTION] for i in range(0, len(rows), _ENTRIES_PER_SECTION)]
    left = wording.format_remainder(len(worth) - MAX_ENTRIES) if len(worth) > MAX_ENTRIES else ""
    whole = f"{left} · " if left else ""
    return blocks.build_message(
        f"History: {wording.format_subject(rollout)}, {wording.pluralize(len(entries), 'entry', 'entries')}, "
        "newest first.",
        *(blocks.lines_section(part) for part in parts),
        blocks.context(f"{whole}The whole log, verified: rollout audit verify · times in {wording.escape(zone, 60)}"),
    )


def _format_entry(at: datetime, actor: str, event: RolloutEvent, zone: str) -> str:
    what, description = event_lines.format_log_entry(event)
    when, who = wording.format_log_time(at, zone), wording.format_actor(actor)
    return f"`{when}` *{what}* {who} {wording.escape(description, 120)}".rstrip()
