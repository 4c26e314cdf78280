"""The read-only methods: people, user groups, channels, and message history."""

from typing import Any, TypeVar

from bot.sandbox.api.chat_methods import channel_of
from bot.sandbox.rules.errors import MethodError
from bot.sandbox.workspace import people, presenting
from bot.sandbox.workspace.slack_side import SlackSide
from bot.sandbox.workspace.workspace import Message

Json = dict[str, Any]
T = TypeVar("T")


def auth_test(side: SlackSide, _: Json) -> Json:
    """auth.test: who the bot token belongs to."""
    return {
        "url": side.url + "/",
        "team": people.TEAM_DOMAIN,
        "user": people.BOT.handle,
        "team_id": people.TEAM_ID,
        "user_id": people.BOT_USER_ID,
        "bot_id": people.BOT_ID,
        "is_enterprise_install": False,
    }


def conversations_list(side: SlackSide, args: Json) -> Json:
    """conversations.list: the public channels."""
    public = [c for c in side.workspace.channels.values() if not c.is_im]
    page, cursor = _page(public, args, 100)
    return {"channels": [presenting.channel(c) for c in page], "response_metadata": {"next_cursor": cursor}}


def conversations_info(side: SlackSide, args: Json) -> Json:
    """conversations.info: one channel, whether or not the bot is a member."""
    return {"channel": presenting.channel(channel_of(side, args, must_be_member=False))}


def conversations_history(side: SlackSide, args: Json) -> Json:
    """conversations.history: newest first, without ephemeral messages and replies that were not broadcast."""
    channel = channel_of(side, args)
    said = [m for m in side.workspace.visible(channel.id) if not m.in_thread or m.broadcast]
    page, cursor = _page([m for m in reversed(said) if _within(m, args)], args, 100)
    return {
        "messages": _shown(side, page, args),
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def conversations_replies(side: SlackSide, args: Json) -> Json:
    """conversations.replies: the root message, then its replies in order."""
    channel = channel_of(side, args)
    root = side.workspace.find(channel.id, str(args.get("ts", "")))
    if root is None:
        raise MethodError("thread_not_found")
    said = [root, *(m for m in presenting.thread(side.workspace, root) if _within(m, args))]
    page, cursor = _page(said, args, 1000)
    return {
        "messages": _shown(side, page, args),
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def users_list(side: SlackSide, args: Json) -> Json:
    """users.list: everyone in the workspace, bots included."""
    page, cursor = _page(list(side.workspace.people.values()), args, 1000)
    return {"members": [presenting.person(p) for p in page], "response_metadata": {"next_cursor": cursor}}


def users_info(side: SlackSide, args: Json) -> Json:
    """users.info: one person."""
    person = side.workspace.people.get(str(args.get("user", "")))
    if person is None:
        raise MethodError("user_not_found")
    return {"user": presenting.person(person)}


def usergroups_list(side: SlackSide, args: Json) -> Json:
    """usergroups.list: all user groups, with their members if asked for."""
    with_users = _is_true(args.get("include_users"))
    return {"usergroups": [presenting.group(g, with_users=with_users) for g in side.workspace.groups.values()]}


def usergroups_users_list(side: SlackSide, args: Json) -> Json:
    """usergroups.users.list: the members of one user group."""
    group = side.workspace.groups.get(str(args.get("usergroup", "")))
    if group is None:
        raise MethodError("no_such_subteam")
    return {"users": list(group.members)}


def _shown(side: SlackSide, messages: list[Message], args: Json) -> list[Json]:
    with_metadata = _is_true(args.get("include_all_metadata"))
    return [presenting.message(side.workspace, m, with_metadata=with_metadata) for m in messages]


def _within(message: Message, args: Json) -> bool:
    oldest, latest = str(args.get("oldest") or "0"), str(args.get("latest") or "9" * 10)
    at = float(message.ts)
    if message.ts in (oldest, latest):
        return _is_true(args.get("inclusive"))
    return float(oldest) < at < float(latest)


def _page(items: list[T], args: Json, default: int) -> tuple[list[T], str]:
    """One page of items and the cursor of the next page; MethodError for an invalid cursor or limit."""
    try:
        start, size = int(args.get("cursor") or 0), min(int(args.get("limit") or default), 1000)
    except ValueError:
        raise MethodError("invalid_cursor" if args.get("cursor") else "invalid_limit") from None
    return items[start : start + size], str(start + size) if start + size < len(items) else ""


def _is_true(value: object) -> bool:
    return value in (True, 1, "1", "true", "True")
