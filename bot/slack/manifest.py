"""The Slack app manifest: the permissions that a workspace must grant, and no more."""

import json
from typing import Any
from urllib.parse import quote

SCOPES = (
    "app_mentions:read",
    "channels:history",  # to check whether an earlier attempt at a message arrived
    "channels:read",
    "chat:write",
    "chat:write.public",
    "commands",
    "files:write",  # rollout files in direct messages
    "usergroups:read",
    "users:read",
)
EVENTS = ("app_home_opened", "app_mention")
SHORTCUT, SHORTCUT_NAME = "report_ai_answer", "Report AI answer"  # in the menu of every message


def build_manifest(public_url: str = "") -> dict[str, Any]:
    """The manifest for signed HTTP at `public_url`, or for Socket Mode if that is empty."""
    socket = not public_url
    where = {} if socket else {"request_url": f"{public_url.rstrip('/')}/slack/events"}
    command = {
        "command": "/rollout",
        "description": "Roll out AI changes safely: see, steer, stop.",
        "usage_hint": "status | list | approve R-1 | rollback R-1 | help",
        "should_escape": True,
        **({} if socket else {"url": where["request_url"]}),
    }
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": "Rampart",
            "description": "Rolls out AI changes without surprising anyone.",
            "background_color": "#1f3a5f",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,  # direct messages to those who follow an AI feature
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "rampart", "always_online": True},
            "slash_commands": [command],
            "shortcuts": [
                {
                    "name": SHORTCUT_NAME,
                    "type": "message",
                    "callback_id": SHORTCUT,
                    "description": "Report that a customer complained about this answer.",
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": list(EVENTS), **where},
            "interactivity": {"is_enabled": True, **where},
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket,
            "token_rotation_enabled": False,
        },
    }


def build_install_link(public_url: str) -> str:
    """A URL that opens Slack's form for a new app, prefilled with this manifest."""
    compact = json.dumps(build_manifest(public_url), separators=(",", ":"))
    return f"https://api.slack.com/apps?new_app=1&manifest_json={quote(compact)}"
