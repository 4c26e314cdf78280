"""Converts the workspace's objects to the JSON of Slack's API and payloads."""

from typing import Any

from bot.sandbox.workspace import people
from bot.sandbox.workspace.people import Channel, Person, UserGroup
from bot.sandbox.workspace.workspace import Message, StoredFile, View, Workspace

Json = dict[str, Any]


def message(workspace: Workspace, shown: Message, *, with_metadata: bool = True) -> Json:
    """A message object; the root of a thread includes its reply count."""
    author = workspace.people[shown.user]
    body: Json = {"type": "message", "user": shown.user, "ts": shown.ts, "text": shown.text, "team": people.TEAM_ID}
    if author.is_bot:
        body |= {"bot_id": people.BOT_ID, "app_id": people.APP_ID}
    if shown.blocks:
        body["blocks"] = list(shown.blocks)
    if shown.edited:
        body["edited"] = {"user": shown.user, "ts": shown.edited}
    if shown.metadata and with_metadata:
        body["metadata"] = shown.metadata
    if shown.files:
        body["files"] = [file(workspace.files[f]) for f in shown.files]
    if shown.in_thread:
        body["thread_ts"] = shown.thread_ts
    elif replies := thread(workspace, shown):
        body |= {
            "thread_ts": shown.ts,
            "reply_count": len(replies),
            "reply_users": sorted({reply.user for reply in replies}),
            "latest_reply": replies[-1].ts,
        }
    return body


def thread(workspace: Workspace, root: Message, person: str | None = None) -> list[Message]:
    """The replies under a message that `person` can see, in order."""
    return [m for m in workspace.visible(root.channel, person) if m.in_thread and m.thread_ts == root.ts]


def channel(shown: Channel) -> Json:
    """A conversation object."""
    return {
        "id": shown.id,
        "name": shown.name,
        "name_normalized": shown.name,
        "is_channel": not shown.is_im,
        "is_group": False,
        "is_im": shown.is_im,
        "is_private": False,
        "is_archived": False,
        "is_general": False,
        "is_member": people.BOT_USER_ID in shown.members,
        "num_members": len(shown.members),
        "topic": {"value": shown.topic, "creator": people.ANA.id, "last_set": 0},
        "purpose": {"value": shown.topic, "creator": people.ANA.id, "last_set": 0},
    }


def person(shown: Person) -> Json:
    """A user object."""
    profile = {
        "real_name": shown.name,
        "display_name": shown.display_name or shown.handle,
        "title": shown.title,
        **({} if shown.is_bot else {"email": f"{shown.handle}@example.com"}),
        **({"bot_id": people.BOT_ID, "api_app_id": people.APP_ID} if shown.is_bot else {}),
    }
    return {
        "id": shown.id,
        "team_id": shown.team,
        "name": shown.handle,
        "real_name": shown.name,
        "deleted": shown.deleted,
        "tz": shown.zone,
        "profile": profile,
        "is_admin": False,
        "is_owner": False,
        "is_bot": shown.is_bot,
        "is_app_user": False,
        "is_restricted": shown.is_restricted,
        "is_ultra_restricted": False,
        "is_stranger": shown.is_stranger,
        "updated": 0,
    }


def group(shown: UserGroup, *, with_users: bool) -> Json:
    """A user group object."""
    body: Json = {
        "id": shown.id,
        "team_id": people.TEAM_ID,
        "is_usergroup": True,
        "name": shown.name,
        "handle": shown.handle,
        "date_delete": 0,
        "user_count": len(shown.members),
    }
    return body | ({"users": list(shown.members)} if with_users else {})


def view(shown: View) -> Json:
    """A view object, as in responses of `views.*` and in interaction payloads."""
    return {
        "private_metadata": "",
        "callback_id": "",
        "title": None,
        "submit": None,
        "close": None,
        "clear_on_close": False,
        "notify_on_close": False,
        **shown.body,
        "id": shown.id,
        "team_id": people.TEAM_ID,
        "app_id": people.APP_ID,
        "bot_id": people.BOT_ID,
        "app_installed_team_id": people.TEAM_ID,
        "hash": shown.hash,
        "root_view_id": shown.root,
        "previous_view_id": None,
        "external_id": shown.external_id,
        "state": {"values": {}},
    }


def file(shown: StoredFile) -> Json:
    """A file object."""
    return {"id": shown.id, "name": shown.name, "title": shown.name, "size": shown.length, "mode": "hosted"}
