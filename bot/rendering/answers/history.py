"""The history of one rollout for people: a sentence per entry, newest first; delivered messages are folded away."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_words
from core.rollout.state.events import EvidenceRecorded, MessagePosted, RolloutEvent
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout

MAX_ENTRIES = 25
_ENTRIES_PER_SECTION = 6  # keeps a section below Slack's limit even if every line has its maximum length
_LINE_LIMIT = 420
_TOLD = ("notice:", "follow_up:", "direct:", "direct_follow_up:")  # messages to people outside the thread


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One line: when (`until` a later minute, if it stands for several entries), and what, as escaped mrkdwn.

    `position` is that of the first entry; `evidence` is the number of its evidence, if it is about one.
    """

    position: int
    at: datetime
    until: datetime | None
    text: str
    evidence: int | None = None


def list_lines(entries: Sequence[HistoryEntry], zone: str) -> tuple[HistoryLine, ...]:
    """What happened, oldest first, each sentence as of its time.

    Messages in the rollout's own thread are left out, as each of them reports another entry. Neighbouring notices, and
    neighbouring looks with the same outcome, become one line.
    """
    lines: list[HistoryLine] = []
    rollout: Rollout | None = None
    group: list[HistoryEntry] = []
    for entry in entries:
        rollout = evolve(rollout, entry.event, entry.at)
        if _is_left_out(entry.event):
            continue
        if group and not _belong_together(group[-1].event, entry.event):
            group = []
        group.append(entry)
        line = _build_line(rollout, group, zone)
        if len(group) > 1:
            lines[-1] = line
        else:
            lines.append(line)
    return tuple(lines)


def _belong_together(one: RolloutEvent, other: RolloutEvent) -> bool:
    if isinstance(one, MessagePosted) and isinstance(other, MessagePosted):
        return True
    return (
        isinstance(one, EvidenceRecorded)
        and isinstance(other, EvidenceRecorded)
        and (type(one.verdict), one.reason) == (type(other.verdict), other.reason)
        and one.reason == "summary"
    )


def _build_line(rollout: Rollout, group: Sequence[HistoryEntry], zone: str) -> HistoryLine:
    first, last = group[0], group[-1]
    event = last.event
    number = event.number if isinstance(event, EvidenceRecorded) else None
    if isinstance(event, MessagePosted):
        text = f"Told: {_list_told([x.event for x in group if isinstance(x.event, MessagePosted)])}."
    elif len(group) > 1 and isinstance(event, EvidenceRecorded):
        outcome = event_words.format_outcome(event)
        text = f"Checked {len(group)} times: {rollout.id}, {outcome} (evidence #{event.number} is the last)."
    else:
        text = f"{event_words.describe_event(rollout, event, zone)}{_name_actor(last)}"
    return HistoryLine(
        position=first.position,
        at=first.at,
        until=last.at if _in_minutes(last.at) != _in_minutes(first.at) else None,
        text=wording.shorten(text, _LINE_LIMIT),
        evidence=number,
    )


def _in_minutes(at: datetime) -> datetime:
    """A time as precisely as lines show it."""
    return at.replace(second=0, microsecond=0)


def _list_told(posted: Sequence[MessagePosted]) -> str:
    """The channels that were told, and how many people by direct message; each once."""
    readers = dict.fromkeys(event.key.rpartition(":")[2] for event in posted)
    channels = [wording.escape(reader, 60) for reader in readers if reader.startswith("#")]
    people = len(readers) - len(channels)
    following = [wording.pluralize(people, "person who follows it", "people who follow it")] if people else []
    return wording.join_limited([*channels, *following])


def _name_actor(entry: HistoryEntry) -> str:
    """The person behind an entry whose sentence does not name one, as of a step that somebody took early."""
    named = any(hasattr(entry.event, name) for name in ("by", "handle"))
    return "" if named or entry.actor.startswith("system:") else f" By {wording.format_actor(entry.actor)}."


def count_left_out(entries: Sequence[HistoryEntry]) -> int:
    """How many delivered messages `list_lines` leaves out."""
    return sum(_is_left_out(entry.event) for entry in entries)


def _is_left_out(event: RolloutEvent) -> bool:
    return isinstance(event, MessagePosted) and not event.key.startswith(_TOLD)


def render(rollout: Rollout, entries: Sequence[HistoryEntry], zone: str) -> Message:
    """The newest lines, in each reader's own time zone, with ways to post and download all of it."""
    lines = list_lines(entries, zone)
    shown = [_format_line(line, zone) for line in reversed(lines)][:MAX_ENTRIES]
    parts = [shown[i : i + _ENTRIES_PER_SECTION] for i in range(0, len(shown), _ENTRIES_PER_SECTION)]
    older, delivered = len(lines) - MAX_ENTRIES, count_left_out(entries)
    notes = [
        f"{wording.pluralize(older, 'older entry', 'older entries')} in the file" if older > 0 else "",
        f"{wording.pluralize(delivered, 'delivered message')} not listed" if delivered else "",
        "`rollout audit verify` checks the log",
    ]
    return blocks.build_message(
        f"History: {wording.format_subject(rollout)}, newest first.",
        *(blocks.lines_section(part) for part in parts),
        blocks.actions(
            buttons.run_command("Post to channel", f"history {rollout.id} --public"),
            buttons.get_history(rollout, "csv"),
            buttons.get_history(rollout, "json"),
        ),
        blocks.context(" · ".join(note for note in notes if note)),
    )


def _format_line(line: HistoryLine, zone: str) -> str:
    until = f" to {wording.format_local_time(line.until, zone)}" if line.until is not None else ""
    return f"{wording.format_local_time(line.at, zone)}{until}  {line.text}"


def to_plain_line(line: HistoryLine) -> HistoryLine:
    """The line with plain text instead of mrkdwn, for pages and files."""
    return replace(line, text=wording.to_plain_text(line.text))
