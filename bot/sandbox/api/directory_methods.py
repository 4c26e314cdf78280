"""The read-only methods: people, user groups, channels, and message history."""

from typing import Any, TypeVar

from bot.sandbox.api.chat_methods import require_channel
from bot.sandbox.rules.errors import MethodError
from bot.sandbox.workspace import people, slack_json
from bot.sandbox.workspace.slack_state import SlackState
from bot.sandbox.workspace.workspace import SandboxMessage

Json = dict[str, Any]
T = TypeVar("T")


def auth_test(slack: SlackState, _: Json) -> Json:
    """auth.test: who the bot token belongs to."""
    return {
        "url": slack.url + "/",
        "team": people.TEAM_DOMAIN,
        "user": people.BOT.handle,
        "team_id": people.TEAM_ID,
        "user_id": people.BOT_USER_ID,
        "bot_id": people.BOT_ID,
        "is_enterprise_install": False,
    }


def conversations_list(slack: SlackState, args: Json) -> Json:
    """conversations.list: the public channels."""
    public = [c for c in slack.workspace.channels.values() if not c.is_im]
    page, cursor = _paginate(public, args, 100)
    return {"channels": [slack_json.channel_to_json(c) for c in page], "response_metadata": {"next_cursor": cursor}}


def conversations_info(slack: SlackState, args: Json) -> Json:
    """conversations.info: one channel, whether or not the bot is a member."""
    return {"channel": slack_json.channel_to_json(require_channel(slack, args, must_be_member=False))}


def conversations_history(slack: SlackState, args: Json) -> Json:
    """conversations.history: newest first, without ephemeral messages and replies that were not broadcast."""
    channel = require_channel(slack, args)
    messages = [m for m in slack.workspace.visible_messages(channel.id) if not m.in_thread or m.broadcast]
    page, cursor = _paginate([m for m in reversed(messages) if _is_within(m, args)], args, 100)
    return {
        "messages": _present_messages(slack, page, args),
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def conversations_replies(slack: SlackState, args: Json) -> Json:
    """conversations.replies: the root message, then its replies in order."""
    channel = require_channel(slack, args)
    root = slack.workspace.find_message(channel.id, str(args.get("ts", "")))
    if root is None:
        raise MethodError("thread_not_found")
    messages = [root, *(m for m in slack_json.list_replies(slack.workspace, root) if _is_within(m, args))]
    page, cursor = _paginate(messages, args, 1000)
    return {
        "messages": _present_messages(slack, page, args),
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def users_list(slack: SlackState, args: Json) -> Json:
    """users.list: everyone in the workspace, bots included."""
    page, cursor = _paginate(list(slack.workspace.people.values()), args, 1000)
    return {"members": [slack_json.person_to_json(p) for p in page], "response_metadata": {"next_cursor": cursor}}


def users_info(slack: SlackState, args: Json) -> Json:
    """users.info: one person."""
    person = slack.workspace.people.get(str(args.get("user", "")))
    if person is None:
        raise MethodError("user_not_found")
    return {"user": slack_json.person_to_json(person)}


def usergroups_list(slack: SlackState, args: Json) -> Json:
    """usergroups.list: all user groups, with their members if asked for."""
    with_users = _is_true(args.get("include_users"))
    return {"usergroups": [slack_json.group_to_json(g, with_users=with_users) for g in slack.workspace.groups.values()]}


def usergroups_users_list(slack: SlackState, args: Json) -> Json:
    """usergroups.users.list: the members of one user group."""
    group = slack.workspace.groups.get(str(args.get("usergroup", "")))
    if group is None:
        raise MethodError("no_such_subteam")
    return {"users": list(group.members)}


def _present_messages(slack: SlackState, messages: list[SandboxMessage], args: Json) -> list[Json]:
    with_metadata = _is_true(args.get("include_all_metadata"))
    return [slack_json.message_to_json(slack.workspace, m, with_metadata=with_metadata) for m in messages]


def _is_within(message: SandboxMessage, args: Json) -> bool:
    oldest, latest = str(args.get("oldest") or "0"), str(args.get("latest") or "9" * 10)
    at = float(message.ts)
    if message.ts in (oldest, latest):
        return _is_true(args.get("inclusive"))
    return float(oldest) < at < float(latest)


def _paginate(items: list[T], args: Json, default: int) -> tuple[list[T], str]:
    """One page of items and the cursor of the next page; MethodError for an invalid cursor or limit."""
    try:
        start, size = int(args.get("cursor") or 0), min(int(args.get("limit") or default), 1000)
    except ValueError:
        raise MethodError("invalid_cursor" if args.get("cursor") else "invalid_limit") from None
    return items[start : start + size], str(start + size) if start + size < len(items) else ""


def _is_true(value: object) -> bool:
    return value in (True, 1, "1", "true", "True")
