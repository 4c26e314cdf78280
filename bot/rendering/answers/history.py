"""The event log of one rollout: one line per event, newest first."""

from collections.abc import Sequence
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines
from core.rollout.events import MessagePosted, RolloutEvent
from core.rollout.model import Rollout

SHOWN = 25
_CHATTER = ("card", "line:", "summary:", "approval:")  # these messages report an event that is listed itself
_PER_SECTION = 9  # keeps a section below Slack's limit even if every line has its maximum length
Line = tuple[datetime, str, RolloutEvent]  # (at, actor, event)


def render(rollout: Rollout, entries: Sequence[Line], zone: str) -> Message:
    """The newest entries; the first line counts all of them."""
    worth = [x for x in entries if not (isinstance(x[2], MessagePosted) and x[2].key.startswith(_CHATTER))]
    rows = [_row(at, actor, event, zone) for at, actor, event in reversed(worth)][:SHOWN]
    parts = [rows[i : i + _PER_SECTION] for i in range(0, len(rows), _PER_SECTION)]
    left = wording.more(len(worth) - SHOWN) if len(worth) > SHOWN else ""
    whole = f"{left} · " if left else ""
    return blocks.message(
        f"History: {wording.subject(rollout)}, {wording.plural(len(entries), 'entry', 'entries')}, newest first.",
        *(blocks.lines(part) for part in parts),
        blocks.context(f"{whole}The whole log, checked: rollout audit verify · times in {wording.escape(zone, 60)}"),
    )


def _row(at: datetime, actor: str, event: RolloutEvent, zone: str) -> str:
    what, said = event_lines.detail(event)
    when, who = wording.day_and_time(at, zone), wording.person(actor)
    return f"`{when}` *{what}* {who} {wording.escape(said, 120)}".rstrip()
