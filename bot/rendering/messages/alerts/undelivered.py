"""The direct message to a rollout's owner when its channel rejects messages."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.rollout.state.model import Rollout

_REMEDIES = {
    "is_archived": "Unarchive the channel.",
    "not_in_channel": "Invite the app to the channel.",
    "channel_not_found": "Create the channel, or invite the app to it.",
    "msg_too_long": "Read it on Rampart's page or with rollout history.",
}
_CHANNEL_IS_AWAY = ("is_archived", "channel_not_found")


def notification_key(channel: str) -> str:
    """The message key that records that the owner was notified about this channel."""
    return f"undelivered:{channel}"


def render(rollout: Rollout, channel: str, error: str, undelivered: Message | None) -> Message:
    """Which message could not be posted where, why, what to do, and its text."""
    where, why = wording.escape(channel, 60), wording.escape(error, 100)
    first = f"Not delivered: {wording.format_subject(rollout)}. I can't post to {where} ({why})."
    remedy = _REMEDIES.get(error, "Run rollout doctor to see what Slack needs.")
    if error in _CHANNEL_IS_AWAY and rollout.started_at is None:
        remedy = f"{remedy} Or apply the rollout's file with another channel."
    return blocks.build_message(
        first,
        blocks.section(f"{remedy} Until then, follow it with /rollout status {rollout.id}."),
        blocks.section(f"Original message:\n{undelivered.text}") if undelivered is not None else None,
    )
