"""The `chat.*` methods: post, post ephemerally, update and delete messages."""

from typing import Any

from bot.sandbox.api import validation
from bot.sandbox.rules import limits
from bot.sandbox.rules.check_payload import Violation
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace import people, slack_json
from bot.sandbox.workspace.people import Channel
from bot.sandbox.workspace.slack_state import SlackState
from bot.sandbox.workspace.workspace import SandboxMessage, UnknownNameError

Json = dict[str, Any]


def post_message(slack: SlackState, args: Json) -> Json:
    """chat.postMessage; a user id as the channel opens the app's direct message with that person."""
    person = slack.workspace.people.get(str(args.get("channel") or ""))
    channel = slack.workspace.open_direct_message(person) if person is not None else require_channel(slack, args)
    text, blocks = validation.parse_content(slack, args)
    posted = slack.workspace.post(
        SandboxMessage(
            channel=channel.id,
            ts=slack.workspace.new_ts(),
            user=people.BOT_USER_ID,
            text=text,
            blocks=blocks,
            thread_ts=_resolve_thread(slack, channel.id, args),
            metadata=validation.parse_metadata(args),
            broadcast=bool(args.get("reply_broadcast")),
        )
    )
    return {"channel": channel.id, "ts": posted.ts, "message": slack_json.message_to_json(slack.workspace, posted)}


def post_ephemeral(slack: SlackState, args: Json) -> Json:
    """chat.postEphemeral: a message that only one member of the channel sees."""
    channel = require_channel(slack, args)
    person = str(args.get("user", ""))
    if person not in channel.members:
        raise MethodError("user_not_in_channel")
    text, blocks = validation.parse_content(slack, args)
    posted = slack.workspace.post(
        SandboxMessage(
            channel=channel.id,
            ts=slack.workspace.new_ts(),
            user=people.BOT_USER_ID,
            text=text,
            blocks=blocks,
            thread_ts=_resolve_thread(slack, channel.id, args),
            ephemeral_to=person,
        )
    )
    return {"message_ts": posted.ts}


def update_message(slack: SlackState, args: Json) -> Json:
    """chat.update: text without blocks removes the blocks; blocks without text keep the text."""
    message = _require_own_message(slack, args, "cant_update_message")
    if not args.get("text") and args.get("blocks"):
        args = {**args, "text": message.text}
    bound = limits.LIMITS["update.text.max_length"]
    if len(str(args.get("text") or "")) > bound.value:
        too_long = Violation(rule=bound.id, where="/text", message="text is too long", source=bound.source)
        raise BrokenRulesError("msg_too_long", [too_long])
    text, blocks = validation.parse_content(slack, args)
    kept = {"metadata": validation.parse_metadata(args)} if "metadata" in args else {}
    edited = slack.workspace.edit(message, text=text, blocks=blocks, **kept)
    shown = slack_json.message_to_json(slack.workspace, edited)
    return {"channel": edited.channel, "ts": edited.ts, "text": edited.text, "message": shown}


def delete_message(slack: SlackState, args: Json) -> Json:
    """chat.delete: removes a message of the app."""
    message = _require_own_message(slack, args, "cant_delete_message")
    slack.workspace.delete(message)
    return {"channel": message.channel, "ts": message.ts}


def require_channel(slack: SlackState, args: Json, *, must_be_member: bool = True) -> Channel:
    """The channel that a call names; MethodError if it does not exist or the bot is not a member."""
    try:
        channel = slack.workspace.find_channel(str(args.get("channel") or ""))
    except UnknownNameError:
        raise MethodError("channel_not_found") from None
    if must_be_member and people.BOT_USER_ID not in channel.members:
        raise MethodError("not_in_channel")
    return channel


def _require_own_message(slack: SlackState, args: Json, error: str) -> SandboxMessage:
    channel = require_channel(slack, args)
    message = slack.workspace.find_message(channel.id, str(args.get("ts", "")))
    if message is None or message.ephemeral_to is not None:
        raise MethodError("message_not_found")
    if message.user != people.BOT_USER_ID:
        raise MethodError(error)
    return message


def _resolve_thread(slack: SlackState, channel: str, args: Json) -> str | None:
    wanted = args.get("thread_ts")
    if not wanted:
        return None
    root = slack.workspace.find_message(channel, str(wanted))
    if root is None:
        raise MethodError("thread_not_found")
    return root.thread_ts if root.in_thread else root.ts
