"""Converts the workspace's objects to the JSON of Slack's API and payloads."""

from typing import Any

from bot.sandbox.workspace import people
from bot.sandbox.workspace.people import Channel, SandboxPerson, UserGroup
from bot.sandbox.workspace.workspace import SandboxMessage, SandboxWorkspace, StoredFile, View

Json = dict[str, Any]


def message_to_json(workspace: SandboxWorkspace, message: SandboxMessage, *, with_metadata: bool = True) -> Json:
    """A message object; the root of a thread includes its reply count."""
    author = workspace.people[message.user]
    body: Json = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": people.TEAM_ID,
    }
    if author.is_bot:
        body |= {"bot_id": people.BOT_ID, "app_id": people.APP_ID}
    if message.blocks:
        body["blocks"] = list(message.blocks)
    if message.edited:
        body["edited"] = {"user": message.user, "ts": message.edited}
    if message.metadata and with_metadata:
        body["metadata"] = message.metadata
    if message.files:
        body["files"] = [file_to_json(workspace.files[f]) for f in message.files]
    if message.in_thread:
        body["thread_ts"] = message.thread_ts
    elif replies := list_replies(workspace, message):
        body |= {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users": sorted({reply.user for reply in replies}),
            "latest_reply": replies[-1].ts,
        }
    return body


def list_replies(workspace: SandboxWorkspace, root: SandboxMessage, person: str | None = None) -> list[SandboxMessage]:
    """The replies under a message that `person` can see, in order."""
    return [m for m in workspace.visible_messages(root.channel, person) if m.in_thread and m.thread_ts == root.ts]


def channel_to_json(channel: Channel) -> Json:
    """A conversation object."""
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_im,
        "is_group": False,
        "is_im": channel.is_im,
        "is_private": False,
        "is_archived": False,
        "is_general": False,
        "is_member": people.BOT_USER_ID in channel.members,
        "num_members": len(channel.members),
        "topic": {"value": channel.topic, "creator": people.ANA.id, "last_set": 0},
        "purpose": {"value": channel.topic, "creator": people.ANA.id, "last_set": 0},
    }


def person_to_json(person: SandboxPerson) -> Json:
    """A user object."""
    profile = {
        "real_name": person.name,
        "display_name": person.display_name or person.handle,
        "title": person.title,
        **({} if person.is_bot else {"email": f"{person.handle}@example.com"}),
        **({"bot_id": people.BOT_ID, "api_app_id": people.APP_ID} if person.is_bot else {}),
    }
    return {
        "id": person.id,
        "team_id": person.team,
        "name": person.handle,
        "real_name": person.name,
        "deleted": person.deleted,
        "tz": person.zone,
        "profile": profile,
        "is_admin": False,
        "is_owner": False,
        "is_bot": person.is_bot,
        "is_app_user": False,
        "is_restricted": person.is_restricted,
        "is_ultra_restricted": False,
        "is_stranger": person.is_stranger,
        "updated": 0,
    }


def group_to_json(group: UserGroup, *, with_users: bool) -> Json:
    """A user group object."""
    body: Json = {
        "id": group.id,
        "team_id": people.TEAM_ID,
        "is_usergroup": True,
        "name": group.name,
        "handle": group.handle,
        "date_delete": 0,
        "user_count": len(group.members),
    }
    return body | ({"users": list(group.members)} if with_users else {})


def view_to_json(view: View) -> Json:
    """A view object, as in responses of `views.*` and in interaction payloads."""
    return {
        "private_metadata": "",
        "callback_id": "",
        "title": None,
        "submit": None,
        "close": None,
        "clear_on_close": False,
        "notify_on_close": False,
        **view.body,
        "id": view.id,
        "team_id": people.TEAM_ID,
        "app_id": people.APP_ID,
        "bot_id": people.BOT_ID,
        "app_installed_team_id": people.TEAM_ID,
        "hash": view.hash,
        "root_view_id": view.root,
        "previous_view_id": None,
        "external_id": view.external_id,
        "state": {"values": {}},
    }


def file_to_json(file: StoredFile) -> Json:
    """A file object."""
    return {"id": file.id, "name": file.name, "title": file.name, "size": file.length, "mode": "hosted"}
