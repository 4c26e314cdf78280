"""What a command would record and post, for `--dry-run`."""

from collections.abc import Sequence
from itertools import groupby
from typing import assert_never

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines
from core.rollout.notifications.announcements import Announcement, AnnouncementKind
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
        names = dict.fromkeys(name_message(one.kind) for one in group)
        place = wording.format_actor(channel) if not channel.startswith("#") else wording.escape(channel, 80)
        lines.append(f" • {place}: {', '.join(names)}")
    return lines


def name_message(kind: AnnouncementKind) -> str:
    """A kind of message in words."""
    match kind:
        case AnnouncementKind.CARD:
            return "the card is edited"
        case AnnouncementKind.LINE:
            return "a line in the thread"
        case AnnouncementKind.APPROVAL:
            return "an approval request in the thread"
        case AnnouncementKind.APPROVAL_CLOSED:
            return "the approval request is edited"
        case AnnouncementKind.DECISION:
            return "the result of the comparison, shown in the channel"
        case AnnouncementKind.DECISION_CLOSED:
            return "the result of the comparison is edited"
        case AnnouncementKind.NOTICE:
            return "the notice"
        case AnnouncementKind.NOTICE_EDIT:
            return "the notice is edited"
        case AnnouncementKind.DIRECT_NOTICE:
            return "the notice, as a direct message"
        case AnnouncementKind.DIRECT_FOLLOW_UP:
            return "what became of it, as a direct message"
        case AnnouncementKind.FOLLOW_UP:
            return "what became of it"
        case AnnouncementKind.SUMMARY:
            return "a summary in the thread"
        case AnnouncementKind.ALERT:
            return "the rollback alert, shown in the channel"
        case AnnouncementKind.ALERT_EDIT:
            return "the rollback alert is edited"
        case AnnouncementKind.GLASS_BROKEN:
            return "an alert that the glass was broken, shown in the channel"
        case AnnouncementKind.NOT_CONFIRMED:
            return "an alert that the rollback is not confirmed"
        case AnnouncementKind.WITNESS:
            return "the log witness in the thread"
        case AnnouncementKind.INVESTIGATION:
            return "the checklist for the investigation, in the thread"
        case AnnouncementKind.REVIEW:
            return "the review in the thread"
        case AnnouncementKind.REVIEW_REMINDER:
            return "a reminder of the review"
        case AnnouncementKind.FEEDBACK:
            return "a question to testers"
        case AnnouncementKind.OTHER_MODEL:
            return "an alert that another model answers"
        case AnnouncementKind.HOLDOUT:
            return "what those held back showed, shown in the channel"
        case AnnouncementKind.RETIREMENT:
            return "a warning that a model will be switched off"
        case AnnouncementKind.NOTICE_NOTE:
            return "what changed, in the thread of the notice"
        case AnnouncementKind.START_REMINDER:
            return "a reminder on the day of the start"
        case AnnouncementKind.REMINDER:
            return "a reminder, as a direct message"
        case _:
            assert_never(kind)
