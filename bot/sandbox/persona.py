"""What a person can do in Slack: type commands, press buttons, fill in modals, write messages, open the home tab."""

import re
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.api import composing
from bot.sandbox.api.response_urls import ResponseUrls
from bot.sandbox.app_delivery import envelopes, inputs
from bot.sandbox.app_delivery.dispatch import Dispatch
from bot.sandbox.app_delivery.envelopes import Outgoing
from bot.sandbox.rules import limits, rules
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace import people, presenting
from bot.sandbox.workspace.people import Channel, Person
from bot.sandbox.workspace.slack_side import Delivery, Kind, SlackSide
from bot.sandbox.workspace.workspace import Message, View, Workspace

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

    person: Person
    side: SlackSide
    dispatch: Dispatch
    response_urls: ResponseUrls
    commands: tuple[str, ...]

    def command(self, line: str, channel: str = "#ai-rollouts") -> Reply:
        """Type a slash command such as `/rollout status R-1`; names of people, groups and channels become ids."""
        where = self._channel(channel)
        name, _, text = line.strip().partition(" ")
        if name not in self.commands:
            return Reply(
                acked=False, status=0, text=f"{name} is not a command here; there is {', '.join(self.commands)}"
            )
        token = self.response_urls.issue(self.person.id, where.id)
        payload = envelopes.command(
            self.person,
            where,
            name,
            escaped(self.side.workspace, text.strip()),
            self.side.triggers.issue(self.person.id),
            self.response_urls.address(token),
        )
        delivery = self._deliver("command", line.strip(), where.id, payload)
        return self._answered(delivery, where.id, token)

    def click(
        self,
        message: Message | View,
        what: str,
        *,
        confirm: bool = True,
        input: Any = None,  # noqa: A002
        block_id: str = "",
    ) -> Reply:
        """Use an element of a message or view, found by action_id or label in the version that is passed.

        `confirm=False` cancels the element's confirmation dialog; `input` is the value chosen in a menu or picker;
        `block_id` selects among elements of the same name. LookupError if there is no such element.
        """
        blocks = list(message.blocks) if isinstance(message, Message) else list(message.body["blocks"])
        block, element = find_element([b for b in blocks if block_id in ("", b["block_id"])], what)
        if "confirm" in element and not confirm:
            return Reply(acked=False, status=0)
        action = {
            **inputs.chosen(element, input),
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "action_ts": self.side.workspace.new_ts(),
        }
        label = f"[ {element['text']['text']} ]" if element["type"] == "button" else element["action_id"]
        state = {"values": {} if element["type"] == "button" else {block["block_id"]: {element["action_id"]: action}}}
        if isinstance(message, View):
            place = envelopes.in_view(presenting.view(message))
            payload = envelopes.block_actions(self.person, self._trigger(), [action], state, place)
            delivery = self._deliver("block_actions", label, "", payload)
            return Reply(acked=delivery.acked, status=delivery.status, ms=delivery.ms)
        channel = self._channel(message.channel)
        token = self.response_urls.issue(self.person.id, channel.id, message)
        now = self.side.workspace.find(message.channel, message.ts) or message
        shown = None if message.ephemeral_to else presenting.message(self.side.workspace, now)
        place = envelopes.in_message(channel, message.ts, message.thread_ts, shown, self.response_urls.address(token))
        payload = envelopes.block_actions(self.person, self._trigger(), [action], state, place)
        delivery = self._deliver("block_actions", label, channel.id, payload)
        return self._answered(delivery, channel.id, token)

    def submit(self, view: View, values: Json | None = None) -> Reply:
        """Submit a modal with `values` by block_id, action_id or label; missing ones use the initial values."""
        filled, missing = _filled(view, values or {})
        if missing:
            return Reply(acked=False, status=0, errors=missing)
        shown = presenting.view(view) | {"state": {"values": filled}}
        payload = envelopes.view_submission(self.person, self._trigger(), shown)
        label = f"submit {view.body['title']['text']}"
        delivery = self._deliver("view_submission", label, "", payload)
        errors = self._submitted(view, delivery.answer) if delivery.acked else {}
        return Reply(acked=delivery.acked, status=delivery.status, ms=delivery.ms, errors=errors)

    def close(self, view: View) -> None:
        """Close a modal; the app is notified if the view set `notify_on_close`."""
        self.side.workspace.close_views(self.person.id, all_of_them=False)
        if view.body.get("notify_on_close"):
            payload = envelopes.view_closed(self.person, presenting.view(view))
            self._deliver("view_closed", f"close {view.body['title']['text']}", "", payload)

    def say(self, text: str, channel: str = "#ai-rollouts", thread: Message | None = None) -> Message:
        """Write a message; one that mentions the app is delivered to it as an event."""
        where = self._channel(channel)
        workspace = self.side.workspace
        message = Message(
            channel=where.id,
            ts=workspace.new_ts(),
            user=self.person.id,
            text=escaped(workspace, text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")),
            thread_ts=(thread.thread_ts or thread.ts) if thread else None,
        )
        workspace.post(message)
        if f"<@{people.BOT_USER_ID}>" in message.text:
            self._event(f"@rampart {text}", {**presenting.message(workspace, message), "type": "app_mention"}, where.id)
        return message

    def mention(self, text: str, channel: str = "#ai-rollouts", thread: Message | None = None) -> Message:
        """Write `@rampart text`."""
        return self.say(f"@{people.BOT.handle} {text}", channel, thread)

    def open_home(self) -> None:
        """Open the app's home tab."""
        inner = {"type": "app_home_opened", "user": self.person.id, "channel": f"D{self.person.id[1:]}", "tab": "home"}
        self._event("app_home_opened", inner, "")

    def _event(self, label: str, inner: Json, channel: str) -> None:
        workspace = self.side.workspace
        stamped = {**inner, "channel": inner.get("channel", channel), "event_ts": workspace.new_ts()}
        at = int(workspace.clock().timestamp())
        self._deliver("event", label, channel, envelopes.event(stamped, workspace.new_id("Ev"), at))

    def _trigger(self) -> str:
        return self.side.triggers.issue(self.person.id)

    def _channel(self, name: str) -> Channel:
        channel = self.side.workspace.channel(name)
        if self.person.id not in channel.members:
            raise PermissionError(f"@{self.person.handle} is not in #{channel.name}")
        return channel

    def _deliver(self, kind: Kind, label: str, channel: str, payload: Json) -> Delivery:
        outgoing = Outgoing(kind=kind, label=label, person=self.person.id, channel=channel, payload=payload)
        return self.dispatch.deliver(outgoing)

    def _answered(self, delivery: Delivery, channel: str, token: str) -> Reply:
        """Build the reply; the body of a command's acknowledgement is posted, that of a click is ignored."""
        said: Message | None = None
        if delivery.acked and delivery.kind == "command" and delivery.answer:
            body = delivery.answer if isinstance(delivery.answer, dict) else {"text": delivery.answer}
            if body.get("text") or body.get("blocks"):
                said = self._shown(channel, body)
        posts = [p.message for p in self.side.response_posts if p.token == token and p.message is not None]
        shown = said or next(iter(posts), None)
        return Reply(
            acked=delivery.acked,
            status=delivery.status,
            ms=delivery.ms,
            text=shown.text if shown else "",
            blocks=shown.blocks if shown else (),
            token=token,
        )

    def _shown(self, channel: str, body: Json) -> Message | None:
        """Post the message in an acknowledgement; None if Slack would reject it, which is recorded."""
        try:
            return self.response_urls.say(self.person.id, channel, body, None, None)
        except BrokenRulesError as broken:
            self.side.record_violations(broken.violations)
            return None

    def _submitted(self, view: View, answer: Json | str | None) -> dict[str, str]:
        """Apply the app's response to a submitted modal; returns errors by block_id, or Slack's own error."""
        try:
            return self._after_submit(view, answer)
        except MethodError as refused:
            if isinstance(refused, BrokenRulesError):
                self.side.record_violations(refused.violations)
            return {"": f"We had some trouble connecting: {refused.error}"}

    def _after_submit(self, view: View, answer: Json | str | None) -> dict[str, str]:
        workspace = self.side.workspace
        body = answer if isinstance(answer, dict) else {}
        match body.get("response_action"):
            case "errors":
                return {str(block): str(text) for block, text in body.get("errors", {}).items()}
            case "update":
                new = composing.view(self.side, self.person.id, body.get("view"), kinds=("modal",), replacing=view)
                workspace.replace_view(new)
            case "push":
                if len(workspace.modals.get(self.person.id, [])) >= limits.value("views.stack.max_items"):
                    raise MethodError("push_limit_reached")
                workspace.open_view(composing.view(self.side, self.person.id, body.get("view"), kinds=("modal",)))
            case "clear":
                workspace.close_views(self.person.id, all_of_them=True)
            case _:
                workspace.close_views(self.person.id, all_of_them=False)
        return {}


def escaped(workspace: Workspace, text: str) -> str:
    """Replace `@ana`, `@ai-leads` and `#support` by the ids that Slack sends; unknown names stay as they are."""
    people_ = {p.handle: f"<@{p.id}>" if p.is_bot else f"<@{p.id}|{p.handle}>" for p in workspace.people.values()}
    groups = {g.handle: f"<!subteam^{g.id}|@{g.handle}>" for g in workspace.groups.values()}
    channels = {c.name: f"<#{c.id}|{c.name}>" for c in workspace.channels.values()}
    known = {"@": people_ | groups, "#": channels}
    return _AT_OR_HASH.sub(lambda found: known[found.group(1)].get(found.group(2), found.group(0)), text)


def find_element(blocks: list[Json], what: str) -> tuple[Json, Json]:
    """The (block, element) with that action_id or label; LookupError lists the ones that exist."""
    seen: list[str] = []
    for block in blocks:
        for element in rules.elements_of(block):
            if "action_id" in element:
                label = element["text"]["text"] if element["type"] == "button" else ""
                if what in (element["action_id"], label):
                    return block, element
                seen.append(label or element["action_id"])
    raise LookupError(f"there is no button or menu {what!r} here; there are {', '.join(seen) or 'none'}")


def _filled(view: View, values: Json) -> tuple[Json, dict[str, str]]:
    filled: dict[str, Json] = {}
    missing: dict[str, str] = {}
    unused = set(values)
    for block in view.body["blocks"]:
        if block["type"] != "input":
            continue
        element = block["element"]
        names = (block["block_id"], element["action_id"], block["label"]["text"])
        value = next((values[name] for name in names if name in values), inputs.initial(element))
        unused -= set(names)
        if value in (None, "", []) and not block.get("optional"):
            missing[block["block_id"]] = "Please complete this required field."
        filled[block["block_id"]] = {element["action_id"]: inputs.chosen(element, value or None)}
    if unused:
        raise LookupError(f"this modal has no input {', '.join(sorted(unused))}")
    return filled, missing
