"""What a person can do in Slack: type commands, press buttons, fill in modals, write messages, open the home tab."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.api import validation
from bot.sandbox.api.response_urls import ResponseUrls
from bot.sandbox.app_delivery import choices, envelopes
from bot.sandbox.app_delivery.dispatch import AppDispatcher
from bot.sandbox.app_delivery.envelopes import OutgoingPayload
from bot.sandbox.rules import check_payload, limits
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace import people, slack_json
from bot.sandbox.workspace.people import Channel, SandboxPerson
from bot.sandbox.workspace.slack_state import Delivery, DeliveryKind, SlackState
from bot.sandbox.workspace.workspace import SandboxMessage, SandboxWorkspace, View

Json = dict[str, Any]
_AT_OR_HASH = re.compile(r"(?<![\w<&])([@#])([a-z][\w-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The app's reply: `ms` until the acknowledgement, and the `text` or `blocks` that came with it.

    `token` identifies the response URL that was sent along (see `Sandbox.responses_to`); `errors` are those of a
    submitted modal, by block_id. A cancelled dialog or an unknown command has status 0 and is not acknowledged.
    """

    acked: bool
    status: int
    ms: float = 0.0
    text: str = ""
    blocks: tuple[Json, ...] = ()
    token: str = ""
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """Acts as one person in the sandbox's Slack."""

    person: SandboxPerson
    slack: SlackState
    dispatch: AppDispatcher
    response_urls: ResponseUrls
    commands: tuple[str, ...]
    shortcuts: Mapping[str, str]  # of messages: callback id -> name in the menu

    def type_command(self, line: str, channel: str = "#ai-rollouts") -> Reply:
        """Type a slash command such as `/rollout status R-1`; names of people, groups and channels become ids."""
        where = self._require_channel(channel)
        name, _, text = line.strip().partition(" ")
        if name not in self.commands:
            return Reply(
                acked=False, status=0, text=f"{name} is not a command here; there is {', '.join(self.commands)}"
            )
        token = self.response_urls.issue(self.person.id, where.id)
        payload = envelopes.slash_command(
            self.person,
            where,
            name,
            resolve_names(self.slack.workspace, text.strip()),
            self.slack.triggers.issue(self.person.id),
            self.response_urls.url_for(token),
        )
        delivery = self._deliver("command", line.strip(), where.id, payload)
        return self._build_reply(delivery, where.id, token)

    def click(
        self,
        message: SandboxMessage | View,
        action_or_label: str,
        *,
        confirm: bool = True,
        input: Any = None,  # noqa: A002
        block_id: str = "",
        values: Json | None = None,
    ) -> Reply:
        """Use an element of a message or view, found by action_id or label in the version that is passed.

        `confirm=False` cancels the element's confirmation dialog; `input` is the value chosen in a menu or picker;
        `block_id` selects among elements of the same name; `values` are what was entered in the view so far, as for
        `submit`. LookupError if there is no such element.
        """
        blocks = list(message.blocks) if isinstance(message, SandboxMessage) else list(message.body["blocks"])
        block, element = find_element([b for b in blocks if block_id in ("", b["block_id"])], action_or_label)
        if "confirm" in element and not confirm:
            return Reply(acked=False, status=0)
        action = {
            **choices.choice_to_json(element, input),
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "action_ts": self.slack.workspace.new_ts(),
        }
        label = f"[ {element['text']['text']} ]" if element["type"] == "button" else element["action_id"]
        state = {"values": {} if element["type"] == "button" else {block["block_id"]: {element["action_id"]: action}}}
        if isinstance(message, View):
            filled, _ = _fill_inputs(message, {**(values or {}), block["block_id"]: input} if input else values or {})
            place = envelopes.view_place(slack_json.view_to_json(message) | {"state": {"values": filled}})
            payload = envelopes.block_actions(self.person, self._issue_trigger(), [action], state, place)
            delivery = self._deliver("block_actions", label, "", payload)
            return Reply(acked=delivery.acked, status=delivery.status, ms=delivery.ms)
        channel = self._require_channel(message.channel)
        token = self.response_urls.issue(self.person.id, channel.id, message)
        now = self.slack.workspace.find_message(message.channel, message.ts) or message
        shown = None if message.ephemeral_to else slack_json.message_to_json(self.slack.workspace, now)
        place = envelopes.message_place(
            channel, message.ts, message.thread_ts, shown, self.response_urls.url_for(token)
        )
        payload = envelopes.block_actions(self.person, self._issue_trigger(), [action], state, place)
        delivery = self._deliver("block_actions", label, channel.id, payload)
        return self._build_reply(delivery, channel.id, token)

    def use_shortcut(self, message: SandboxMessage, name: str) -> Reply:
        """Use a message shortcut, by its name in the menu or its callback id.

        LookupError if the app has none of that name, PermissionError for a message that has no such menu.
        """
        callback = next((id_ for id_, shown in self.shortcuts.items() if name in (id_, shown)), None)
        if callback is None:
            raise LookupError(
                f"this app has no shortcut {name}; there is {', '.join(self.shortcuts.values()) or 'none'}"
            )
        if message.ephemeral_to:
            raise PermissionError("Slack offers no shortcuts on a message that only you see")
        channel = self._require_channel(message.channel)
        now = self.slack.workspace.find_message(message.channel, message.ts)
        if now is None:
            raise LookupError("that message no longer exists")
        token = self.response_urls.issue(self.person.id, channel.id, message)
        payload = envelopes.message_action(
            self.person,
            channel,
            callback,
            slack_json.message_to_json(self.slack.workspace, now),
            self._issue_trigger(),
            self.response_urls.url_for(token),
            self.slack.workspace.new_ts(),
        )
        delivery = self._deliver("message_action", self.shortcuts[callback], channel.id, payload)
        return self._build_reply(delivery, channel.id, token)

    def submit(self, view: View, values: Json | None = None) -> Reply:
        """Submit a modal with `values` by block_id, action_id or label; missing ones use the initial values."""
        filled, missing = _fill_inputs(view, values or {})
        if missing:
            return Reply(acked=False, status=0, errors=missing)
        shown = slack_json.view_to_json(view) | {"state": {"values": filled}}
        payload = envelopes.view_submission(self.person, self._issue_trigger(), shown)
        label = f"submit {view.body['title']['text']}"
        delivery = self._deliver("view_submission", label, "", payload)
        errors = self._apply_submission(view, delivery.answer) if delivery.acked else {}
        return Reply(acked=delivery.acked, status=delivery.status, ms=delivery.ms, errors=errors)

    def close(self, view: View) -> None:
        """Close a modal, and those under it if the view set `clear_on_close`; the app is notified if it set
        `notify_on_close`."""
        self.slack.workspace.close_views(self.person.id, all_of_them=bool(view.body.get("clear_on_close")))
        if view.body.get("notify_on_close"):
            payload = envelopes.view_closed(self.person, slack_json.view_to_json(view))
            self._deliver("view_closed", f"close {view.body['title']['text']}", "", payload)

    def say(self, text: str, channel: str = "#ai-rollouts", thread: SandboxMessage | None = None) -> SandboxMessage:
        """Write a message; one that mentions the app is delivered to it as an event."""
        where = self._require_channel(channel)
        workspace = self.slack.workspace
        message = SandboxMessage(
            channel=where.id,
            ts=workspace.new_ts(),
            user=self.person.id,
            text=resolve_names(workspace, text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")),
            thread_ts=(thread.thread_ts or thread.ts) if thread else None,
        )
        workspace.post(message)
        if f"<@{people.BOT_USER_ID}>" in message.text:
            self._send_event(
                f"@rampart {text}", {**slack_json.message_to_json(workspace, message), "type": "app_mention"}, where.id
            )
        return message

    def open_home(self) -> None:
        """Open the app's home tab."""
        inner: Json = {
            "type": "app_home_opened",
            "user": self.person.id,
            "channel": f"D{self.person.id[1:]}",
            "tab": "home",
        }
        published = self.slack.workspace.homes.get(self.person.id)
        if published is not None:
            inner["view"] = slack_json.view_to_json(published)
        self._send_event("app_home_opened", inner, "")

    def _send_event(self, label: str, inner: Json, channel: str) -> None:
        workspace = self.slack.workspace
        stamped = {**inner, "channel": inner.get("channel", channel), "event_ts": workspace.new_ts()}
        at = int(workspace.clock().timestamp())
        self._deliver("event", label, channel, envelopes.event_callback(stamped, workspace.new_id("Ev"), at))

    def _issue_trigger(self) -> str:
        return self.slack.triggers.issue(self.person.id)

    def _require_channel(self, name: str) -> Channel:
        channel = self.slack.workspace.find_channel(name)
        if self.person.id not in channel.members:
            raise PermissionError(f"@{self.person.handle} is not in #{channel.name}")
        return channel

    def _deliver(self, kind: DeliveryKind, label: str, channel: str, payload: Json) -> Delivery:
        outgoing = OutgoingPayload(kind=kind, label=label, person=self.person.id, channel=channel, payload=payload)
        return self.dispatch.deliver(outgoing)

    def _build_reply(self, delivery: Delivery, channel: str, token: str) -> Reply:
        """Build the reply; the body of a command's acknowledgement is posted, that of a click is ignored."""
        posted: SandboxMessage | None = None
        if delivery.acked and delivery.kind == "command" and delivery.answer:
            body = delivery.answer if isinstance(delivery.answer, dict) else {"text": delivery.answer}
            if body.get("text") or body.get("blocks"):
                posted = self._post_acknowledgement(channel, body)
        posts = [p.message for p in self.slack.response_posts if p.token == token and p.message is not None]
        shown = posted or next(iter(posts), None)
        return Reply(
            acked=delivery.acked,
            status=delivery.status,
            ms=delivery.ms,
            text=shown.text if shown else "",
            blocks=shown.blocks if shown else (),
            token=token,
        )

    def _post_acknowledgement(self, channel: str, body: Json) -> SandboxMessage | None:
        """Post the message in an acknowledgement; None if Slack would reject it, which is recorded."""
        try:
            return self.response_urls.post_answer(self.person.id, channel, body, None, None)
        except BrokenRulesError as broken:
            self.slack.record_violations(broken.violations)
            return None

    def _apply_submission(self, view: View, answer: Json | str | None) -> dict[str, str]:
        """Apply the app's response to a submitted modal; returns errors by block_id, or Slack's own error."""
        try:
            return self._apply_response_action(view, answer)
        except MethodError as refused:
            if isinstance(refused, BrokenRulesError):
                self.slack.record_violations(refused.violations)
            return {"": f"We had some trouble connecting: {refused.error}"}

    def _apply_response_action(self, view: View, answer: Json | str | None) -> dict[str, str]:
        workspace = self.slack.workspace
        body = answer if isinstance(answer, dict) else {}
        match body.get("response_action"):
            case "errors":
                return {str(block): str(text) for block, text in body.get("errors", {}).items()}
            case "update":
                new = validation.build_view(
                    self.slack, self.person.id, body.get("view"), kinds=("modal",), replacing=view
                )
                workspace.replace_view(new)
            case "push":
                if len(workspace.modals.get(self.person.id, [])) >= limits.value("views.stack.max_items"):
                    raise MethodError("push_limit_reached")
                workspace.open_view(
                    validation.build_view(self.slack, self.person.id, body.get("view"), kinds=("modal",))
                )
            case "clear":
                workspace.close_views(self.person.id, all_of_them=True)
            case _:
                workspace.close_views(self.person.id, all_of_them=False)
        return {}


def resolve_names(workspace: SandboxWorkspace, text: str) -> str:
    """Replace `@ana`, `@ai-leads` and `#support` by the ids that Slack sends; unknown names stay as they are."""
    people_ = {p.handle: f"<@{p.id}>" if p.is_bot else f"<@{p.id}|{p.handle}>" for p in workspace.people.values()}
    groups = {g.handle: f"<!subteam^{g.id}|@{g.handle}>" for g in workspace.groups.values()}
    channels = {c.name: f"<#{c.id}|{c.name}>" for c in workspace.channels.values()}
    known = {"@": people_ | groups, "#": channels}
    return _AT_OR_HASH.sub(lambda found: known[found.group(1)].get(found.group(2), found.group(0)), text)


def find_element(blocks: list[Json], action_or_label: str) -> tuple[Json, Json]:
    """The (block, element) with that action_id or label; LookupError lists the ones that exist."""
    available: list[str] = []
    for block in blocks:
        for element in check_payload.elements_of(block):
            if "action_id" in element:
                label = element["text"]["text"] if element["type"] == "button" else ""
                if action_or_label in (element["action_id"], label):
                    return block, element
                available.append(label or element["action_id"])
    raise LookupError(
        f"there is no button or menu {action_or_label!r} here; there are {', '.join(available) or 'none'}"
    )


def _fill_inputs(view: View, values: Json) -> tuple[Json, dict[str, str]]:
    filled: dict[str, Json] = {}
    missing: dict[str, str] = {}
    unused = set(values)
    for block in view.body["blocks"]:
        if block["type"] != "input":
            continue
        element = block["element"]
        names = (block["block_id"], element["action_id"], block["label"]["text"])
        value = next((values[name] for name in names if name in values), choices.initial_choice(element))
        unused -= set(names)
        if value in (None, "", []) and not block.get("optional"):
            missing[block["block_id"]] = "Please complete this required field."
        filled[block["block_id"]] = {element["action_id"]: choices.choice_to_json(element, value or None)}
    if unused:
        raise LookupError(f"this modal has no input {', '.join(sorted(unused))}")
    return filled, missing
