"""The payloads that Slack sends to an app: commands, pressed buttons, submitted modals, events."""

from dataclasses import dataclass
from typing import Any, Literal

from bot.sandbox.workspace import people
from bot.sandbox.workspace.people import Channel, Person
from bot.sandbox.workspace.slack_side import Kind

Json = dict[str, Any]
_TOKEN = "sandbox-verification"  # noqa: S105  (Slack's deprecated verification token: sent, never checked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Something to tell the app, the same for both transports; `channel` is where a failure is shown."""

    kind: Kind
    label: str
    person: str
    channel: str
    payload: Json

    @property
    def envelope_type(self) -> Literal["slash_commands", "interactive", "events_api"]:
        """What Socket Mode calls it."""
        match self.kind:
            case "command":
                return "slash_commands"
            case "event":
                return "events_api"
            case _:
                return "interactive"


def command(person: Person, channel: Channel, name: str, text: str, trigger_id: str, response_url: str) -> Json:
    """A slash command; over HTTP these are the fields of a form."""
    return {
        "token": _TOKEN,
        "team_id": people.TEAM_ID,
        "team_domain": people.TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": channel.name,
        "user_id": person.id,
        "user_name": person.handle,
        "command": name,
        "text": text,
        "api_app_id": people.APP_ID,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger_id,
    }


def block_actions(person: Person, trigger_id: str, actions: list[Json], state: Json, place: Json) -> Json:
    """An action in a message or view; `place` holds the container and what else says where it happened."""
    return {
        **_interaction("block_actions", person),
        "trigger_id": trigger_id,
        "state": state,
        **place,
        "actions": actions,
    }


def in_message(channel: Channel, ts: str, thread_ts: str | None, shown: Json | None, response_url: str) -> Json:
    """Where an action happened: a message; of an ephemeral one (`shown` is None) Slack tells only the ts."""
    container = {
        "type": "message",
        "message_ts": ts,
        "channel_id": channel.id,
        "is_ephemeral": shown is None,
        **({"thread_ts": thread_ts} if thread_ts else {}),
    }
    place: Json = {
        "container": container,
        "channel": {"id": channel.id, "name": channel.name},
        "response_url": response_url,
    }
    return place | ({"message": shown} if shown is not None else {})


def in_view(shown: Json) -> Json:
    """Where an action happened: a modal or home tab."""
    return {"container": {"type": "view", "view_id": shown["id"]}, "view": shown}


def view_submission(person: Person, trigger_id: str, shown: Json) -> Json:
    """A submitted modal; what was filled in is in `shown`, under `state`."""
    body = _interaction("view_submission", person)
    return {**body, "trigger_id": trigger_id, "view": shown, "response_urls": []}


def view_closed(person: Person, shown: Json) -> Json:
    """A modal closed without submitting, for views that asked to be told."""
    return {**_interaction("view_closed", person), "view": shown, "is_cleared": False}


def event(inner: Json, event_id: str, at: int) -> Json:
    """An event of the Events API around `inner`; `at` is in seconds."""
    authorization = {
        "enterprise_id": None,
        "team_id": people.TEAM_ID,
        "user_id": people.BOT_USER_ID,
        "is_bot": True,
        "is_enterprise_install": False,
    }
    return {
        "token": _TOKEN,
        "team_id": people.TEAM_ID,
        "api_app_id": people.APP_ID,
        "type": "event_callback",
        "event": inner,
        "event_id": event_id,
        "event_time": at,
        "authorizations": [authorization],
        "is_ext_shared_channel": False,
    }


def _interaction(kind: str, person: Person) -> Json:
    return {
        "type": kind,
        "user": {"id": person.id, "username": person.handle, "name": person.handle, "team_id": people.TEAM_ID},
        "api_app_id": people.APP_ID,
        "token": _TOKEN,
        "team": {"id": people.TEAM_ID, "domain": people.TEAM_DOMAIN},
        "enterprise": None,
        "is_enterprise_install": False,
    }
