"""What every listener needs: who asks, from where, and how the answer gets back to them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from slack_bolt import Ack, Respond
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.commands.parsing import grammar
from bot.commands.parsing.parsed_command import ParseResult
from bot.commands.request import CommandContext
from bot.commands.verbs import VERBS
from bot.process.block_support import BlockSupport
from bot.rendering.blocks.blocks import Message
from bot.signed_page_links import LinkedPerson, PageLinks
from bot.slack import slack_responder, views
from bot.slack.directory import SlackDirectory
from bot.slack.slack_responder import SlackResponder
from core.rollout.context import Actor
from core.service.service import RolloutService

log = structlog.get_logger()

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackOrigin:
    """Who sent a request and from where, as Slack reports it. `channel` may be a pseudo-name such as
    `#directmessage`."""

    team: str
    user: str
    enterprise: str = ""
    channel_id: str = ""
    channel: str = ""


def parse_origin(body: Body) -> SlackOrigin:
    """The origin of a click or modal; in an org-wide installation only the user carries a team."""
    channel = body.get("channel") or {}
    name = channel.get("name", "")
    return SlackOrigin(
        team=(body.get("team") or {}).get("id") or body["user"].get("team_id") or "",
        user=body["user"]["id"],
        enterprise=(body.get("enterprise") or {}).get("id") or "",
        channel_id=channel.get("id") or "",
        channel=f"#{name}" if name else "",
    )


def parse_command_origin(body: Body) -> SlackOrigin:
    """The origin of a slash command."""
    return SlackOrigin(
        team=body["team_id"],
        user=body["user_id"],
        enterprise=body.get("enterprise_id") or "",
        channel_id=body.get("channel_id") or "",
        channel=f"#{body.get('channel_name', '')}",
    )


class SlackRequests:
    """Turns what Slack sends into requests of a known person, and brings the answers back."""

    def __init__(
        self,
        service: RolloutService,
        client: WebClient,
        directory: SlackDirectory,
        now: Callable[[], datetime],
        block_support: BlockSupport | None,
        page_links: PageLinks | None,
    ) -> None:
        self._page_links = page_links
        self._service = service
        self._client = client
        self._directory = directory
        self._now = now
        self.block_support = block_support or BlockSupport()

    def parse_line(self, line: str) -> ParseResult:
        """A typed line, with the names that metrics have in this workspace."""
        return grammar.parse(line, self._service.cached_world().own_metric_names)

    def build_request(self, origin: SlackOrigin, verb: str, key: str, *, thread_ts: str = "") -> CommandContext:
        """The request of the person behind `origin` for `verb`; `key` tells a repeat by Slack from a new request."""
        person = LinkedPerson(team=origin.team, user=origin.user, enterprise=origin.enterprise)
        links = self._page_links
        return CommandContext(
            service=self._service,
            by=self._resolve_actor(origin, verb),
            at=self._now(),
            command_id=f"slack:{key}",
            thread_ts=thread_ts,
            link_page=lambda page: links.build(page, person) if links is not None else "",
        )

    def _resolve_actor(self, origin: SlackOrigin, verb: str) -> Actor:
        asks = VERBS[verb]
        return self._directory.resolve_actor(
            origin.team,
            origin.user,
            enterprise=origin.enterprise,
            channel=origin.channel,
            channel_id=origin.channel_id,
            moves_forward=bool(asks.required_role),
            fresh=asks.needs_fresh_rights,
        )

    def build_click_responder(
        self, ack: Ack, body: Body, respond: Respond, *, is_public: bool = False
    ) -> SlackResponder:
        """A responder to a button: it answers below the message or, from the home tab, in a modal.

        `is_public`: everybody in the channel sees the answer.
        """

        def post_later(message: Message) -> None:
            if body.get("response_url"):
                post_response(respond, message, self.block_support, is_public=is_public)
            else:
                self._open_answer(body, message)

        def acknowledge(message: Message | None) -> None:
            ack()
            if message is not None:
                post_later(message)

        return SlackResponder(body["trigger_id"], acknowledge, post_later)

    def build_form_responder(self, ack: Ack, view: Body, title: str) -> SlackResponder:
        """A responder to a form that was submitted: its answer takes the form's place, or the form only closes."""

        def build_answer(message: Message) -> Body:
            return views.build_answer_modal(message, title, f"{view['callback_id']}.answered")

        def acknowledge(message: Message | None) -> None:
            if message is None:
                ack()
            else:
                ack(response_action="update", view=build_answer(message))

        def post_later(message: Message) -> None:
            self._client.views_update(view_id=view["id"], view=build_answer(message))

        return SlackResponder(build_form_key(view), acknowledge, post_later)

    def _open_answer(self, body: Body, message: Message) -> None:
        """Show the answer in a modal; in a direct message if it comes too late for one."""
        try:
            self._client.views_open(trigger_id=body["trigger_id"], view=views.build_answer_modal(message))
        except SlackApiError as error:
            log.warning("an answer comes too late for a modal", why=str(error.response.get("error")))
            shown = [b for b in message.blocks if b["type"] != "data_visualization"]
            self._client.chat_postMessage(
                channel=body["user"]["id"], text=message.text, blocks=shown, unfurl_links=False, unfurl_media=False
            )


def build_form_key(view: Body) -> str:
    """What tells a repeat of a submitted form by Slack from a new submission."""
    return f"{view['id']}.{view['hash']}"


def post_response(respond: Respond, message: Message, support: BlockSupport, *, is_public: bool) -> None:
    """Post an answer to a response URL, with simpler blocks while Slack rejects them."""

    def post_blocks(shown: tuple[Body, ...]) -> bool:
        said = {**slack_responder.build_payload(message, is_public=is_public), "blocks": list(shown)}
        answer = respond(**said, replace_original=False)
        return answer.status_code == 200 and "invalid_blocks" not in str(answer.body)

    slack_responder.post_with_fallback(post_blocks, message, support)
