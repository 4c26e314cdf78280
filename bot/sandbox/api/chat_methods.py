"""The `chat.*` methods: post, post ephemerally, update and delete messages."""

from typing import Any

from bot.sandbox.api import composing
from bot.sandbox.rules import limits
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.rules.rules import Violation
from bot.sandbox.workspace import people, presenting
from bot.sandbox.workspace.people import Channel
from bot.sandbox.workspace.slack_side import SlackSide
from bot.sandbox.workspace.workspace import Message, UnknownNameError

Json = dict[str, Any]


def post_message(side: SlackSide, args: Json) -> Json:
    """chat.postMessage; a user id as the channel opens the app's direct message with that person."""
    person = side.workspace.people.get(str(args.get("channel") or ""))
    channel = side.workspace.direct(person) if person is not None else channel_of(side, args)
    text, blocks = composing.content(side, args)
    posted = side.workspace.post(
        Message(
            channel=channel.id,
            ts=side.workspace.new_ts(),
            user=people.BOT_USER_ID,
            text=text,
            blocks=blocks,
            thread_ts=_thread_of(side, channel.id, args),
            metadata=composing.metadata(args),
            broadcast=bool(args.get("reply_broadcast")),
        )
    )
    return {"channel": channel.id, "ts": posted.ts, "message": presenting.message(side.workspace, posted)}


def post_ephemeral(side: SlackSide, args: Json) -> Json:
    """chat.postEphemeral: a message that only one member of the channel sees."""
    channel = channel_of(side, args)
    person = str(args.get("user", ""))
    if person not in channel.members:
        raise MethodError("user_not_in_channel")
    text, blocks = composing.content(side, args)
    posted = side.workspace.post(
        Message(
            channel=channel.id,
            ts=side.workspace.new_ts(),
            user=people.BOT_USER_ID,
            text=text,
            blocks=blocks,
            thread_ts=_thread_of(side, channel.id, args),
            ephemeral_to=person,
        )
    )
    return {"message_ts": posted.ts}


def update(side: SlackSide, args: Json) -> Json:
    """chat.update: text without blocks removes the blocks; blocks without text keep the text."""
    message = _own(side, args, "cant_update_message")
    if not args.get("text") and args.get("blocks"):
        args = {**args, "text": message.text}
    bound = limits.LIMITS["update.text.max_length"]
    if len(str(args.get("text") or "")) > bound.value:
        too_long = Violation(rule=bound.id, where="/text", message="text is too long", source=bound.source)
        raise BrokenRulesError("msg_too_long", [too_long])
    text, blocks = composing.content(side, args)
    kept = {"metadata": composing.metadata(args)} if "metadata" in args else {}
    edited = side.workspace.edit(message, text=text, blocks=blocks, **kept)
    shown = presenting.message(side.workspace, edited)
    return {"channel": edited.channel, "ts": edited.ts, "text": edited.text, "message": shown}


def delete(side: SlackSide, args: Json) -> Json:
    """chat.delete: removes a message of the app."""
    message = _own(side, args, "cant_delete_message")
    side.workspace.delete(message)
    return {"channel": message.channel, "ts": message.ts}


def channel_of(side: SlackSide, args: Json, *, must_be_member: bool = True) -> Channel:
    """The channel that a call names; MethodError if it does not exist or the bot is not a member."""
    try:
        channel = side.workspace.channel(str(args.get("channel") or ""))
    except UnknownNameError:
        raise MethodError("channel_not_found") from None
    if must_be_member and people.BOT_USER_ID not in channel.members:
        raise MethodError("not_in_channel")
    return channel


def _own(side: SlackSide, args: Json, not_mine: str) -> Message:
    channel = channel_of(side, args)
    message = side.workspace.find(channel.id, str(args.get("ts", "")))
    if message is None or message.ephemeral_to is not None:
        raise MethodError("message_not_found")
    if message.user != people.BOT_USER_ID:
        raise MethodError(not_mine)
    return message


def _thread_of(side: SlackSide, channel: str, args: Json) -> str | None:
    wanted = args.get("thread_ts")
    if not wanted:
        return None
    root = side.workspace.find(channel, str(wanted))
    if root is None:
        raise MethodError("thread_not_found")
    return root.thread_ts if root.in_thread else root.ts
