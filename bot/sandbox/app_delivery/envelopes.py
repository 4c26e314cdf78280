"""The payloads that Slack sends to an app: slash commands, block actions, submitted modals, events."""

from dataclasses import dataclass
from typing import Any, Literal, assert_never

from bot.sandbox.workspace import people
from bot.sandbox.workspace.people import Channel, SandboxPerson
from bot.sandbox.workspace.slack_state import DeliveryKind

Json = dict[str, Any]
_TOKEN = "sandbox-verification"  # noqa: S105  (Slack's deprecated verification token: sent, never checked)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingPayload:
    """A payload for the app, independent of the transport; `channel` is where a failed delivery is shown."""

    kind: DeliveryKind
    label: str
    person: str
    channel: str
    payload: Json

    @property
    def envelope_type(self) -> Literal["slash_commands", "interactive", "events_api"]:
        """The envelope type that Socket Mode uses for this kind."""
        match self.kind:
            case "command":
                return "slash_commands"
            case "event":
                return "events_api"
            case "message_action" | "block_actions" | "view_submission" | "view_closed":
                return "interactive"
            case _:
                assert_never(self.kind)


def slash_command(
    person: SandboxPerson, channel: Channel, name: str, text: str, trigger_id: str, response_url: str
) -> Json:
    """The payload of a slash command; over HTTP these are form fields."""
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


def block_actions(person: SandboxPerson, trigger_id: str, actions: list[Json], state: Json, place: Json) -> Json:
    """The payload of a used element; `place` is the result of `message_place` or `view_place`."""
    return {
        **_interaction_fields("block_actions", person),
        "trigger_id": trigger_id,
        "state": state,
        **place,
        "actions": actions,
    }


def message_place(channel: Channel, ts: str, thread_ts: str | None, shown: Json | None, response_url: str) -> Json:
    """The fields that locate an action in a message; `shown` is None for an ephemeral one, which Slack omits."""
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


def message_action(
    person: SandboxPerson,
    channel: Channel,
    callback_id: str,
    shown: Json,
    trigger_id: str,
    response_url: str,
    action_ts: str,
) -> Json:
    """The payload of a message shortcut; `shown` is the message that it was used on."""
    return {
        **_interaction_fields("message_action", person),
        "callback_id": callback_id,
        "trigger_id": trigger_id,
        "response_url": response_url,
        "channel": {"id": channel.id, "name": channel.name},
        "message_ts": shown["ts"],
        "message": shown,
        "action_ts": action_ts,
    }


def view_place(shown: Json) -> Json:
    """The fields that locate an action in a modal or home tab."""
    return {"container": {"type": "view", "view_id": shown["id"]}, "view": shown}


def view_submission(person: SandboxPerson, trigger_id: str, shown: Json) -> Json:
    """The payload of a submitted modal; `shown` is the view, with the values under `state`."""
    body = _interaction_fields("view_submission", person)
    return {**body, "trigger_id": trigger_id, "view": shown, "response_urls": []}


def view_closed(person: SandboxPerson, shown: Json) -> Json:
    """The payload of a modal closed without submitting, for views with `notify_on_close`."""
    return {**_interaction_fields("view_closed", person), "view": shown, "is_cleared": False}


def event_callback(inner: Json, event_id: str, at: int) -> Json:
    """The Events API callback around the event `inner`; `at` is in seconds since the epoch."""
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


def _interaction_fields(kind: str, person: SandboxPerson) -> Json:
    return {
        "type": kind,
        "user": {"id": person.id, "username": person.handle, "name": person.handle, "team_id": people.TEAM_ID},
        "api_app_id": people.APP_ID,
        "token": _TOKEN,
        "team": {"id": people.TEAM_ID, "domain": people.TEAM_DOMAIN},
        "enterprise": None,
        "is_enterprise_install": False,
    }
