"""What a command would record and post, for `--dry-run`."""

from collections.abc import Sequence
from itertools import groupby

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines
from core.rollout.notifications.announcement import Announcement
from core.rollout.state import events as e
from core.rollout.state.model import Rollout

_SILENT = (e.MessagePosted, e.EvidenceRecorded)
_MAX_EVENTS = 20


def render(
    what: str, steps: Sequence[tuple[e.Event, Rollout]], announced: Sequence[Announcement], zone: str
) -> Message:
    """What `what` would do: its events, each with the rollout after it, and the messages by channel."""
    if not steps:
        return blocks.build_message(f"Dry run: {what} would change nothing. It is already so.")
    return blocks.build_message(
        f"Dry run: nothing was done. {what} would do this.",
        blocks.lines_section(
            ["*Events*", *(_format_event(event, after, zone) for event, after in steps[:_MAX_EVENTS])]
        ),
        blocks.lines_section(["*Messages*", *_format_messages(announced)] if announced else ["*Messages:* none."]),
    )


def _format_event(event: e.Event, after: Rollout, zone: str) -> str:
    sentence = ""
    if isinstance(event, e.RolloutEvent) and not isinstance(event, _SILENT):
        sentence = f": {event_lines.format_line(after, event, zone)}"
    return f" • `{event.TYPE}`{sentence}"


def _format_messages(announced: Sequence[Announcement]) -> list[str]:
    """One line per channel or person, with its messages in order and none twice."""
    by_place = sorted(announced, key=lambda one: one.channel)
    lines = []
    for channel, group in groupby(by_place, key=lambda one: one.channel):
        names = dict.fromkeys(one.kind.delivery.words for one in group)
        place = wording.format_actor(channel) if not channel.startswith("#") else wording.escape(channel, 80)
        lines.append(f" • {place}: {', '.join(names)}")
    return lines
