"""All listeners of the Slack app: each acknowledges, parses, carries out and answers."""

import html
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

import structlog
from slack_bolt import Ack, App, BoltResponse, Respond
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.commands import run_verb
from bot.commands.parsing.parsed_command import ParsedCommand, ParseResult
from bot.process.block_support import BlockSupport
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.signed_page_links import PageLinks
from bot.slack import clicks, slack_responder, views
from bot.slack.directory import SlackDirectory
from bot.slack.forms.complaining import ComplaintListeners
from bot.slack.forms.planning import PlanningListeners
from bot.slack.forms.reviewing import ReviewListeners
from bot.slack.home import HomeListeners, HomeTabs
from bot.slack.reading import ReadingListeners
from bot.slack.slack_requests import (
    Body,
    SlackOrigin,
    SlackRequests,
    parse_command_origin,
    parse_origin,
    post_response,
)
from bot.slack.slack_responder import SlackResponder
from core.service.service import RolloutService

log = structlog.get_logger()

_SLACK_HOOK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
_ANYTHING = re.compile(r".*", re.DOTALL)
_FIRST_MENTION = re.compile(r"^[^\w<]*<@[UW][A-Z0-9]+(?:\|[^>]*)?>[\s:,;.!-]*")
LISTENER_THREADS = 40  # each listener occupies one until it has answered; Bolt's default of 5 times out under a burst


class SlackListeners:
    """The listener methods, and what they share."""

    def __init__(
        self, client: WebClient, requests: SlackRequests, planning: PlanningListeners, reading: ReadingListeners
    ) -> None:
        self._client = client
        self._requests = requests
        self._planning = planning
        self._reading = reading

    def handle_command(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Run a slash command; the answer comes with the acknowledgement."""
        parsed = self._requests.parse_line(html.unescape(body.get("text") or ""))
        public = isinstance(parsed, ParsedCommand) and "public" in parsed.flags

        def acknowledge(message: Message | None) -> None:
            if message is None or slack_responder.needs_fallback(message):
                ack()
                if message is not None:
                    post_later(message)
            else:
                ack(**slack_responder.build_payload(message, is_public=public))

        def post_later(message: Message) -> None:
            post_response(respond, message, self._requests.block_support, is_public=public)

        with SlackResponder(body["trigger_id"], acknowledge, post_later) as responder:
            origin, trigger = parse_command_origin(body), body["trigger_id"]
            if isinstance(parsed, ParsedCommand) and parsed.verb == "create":
                self._planning.open_form(origin, parsed.rollout, trigger)
                responder.respond(None)
            else:
                responder.respond(self._run_typed(parsed, origin, trigger))

    def handle_suggestion(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Run a suggested command whose button was pressed, as if it had been typed."""
        parsed = self._requests.parse_line(body["actions"][0]["value"])
        public = isinstance(parsed, ParsedCommand) and "public" in parsed.flags
        with self._requests.build_click_responder(ack, body, respond, is_public=public) as responder:
            responder.respond(
                self._run_typed(parsed, parse_origin(body), body["trigger_id"], thread_ts=_find_thread_ts(body))
            )

    def handle_click(self, ack: Ack, body: Body, respond: Respond) -> None:
        """A button; only the person who pressed it sees the answer."""
        action, pressed = body["actions"][0]["action_id"], body["actions"][0].get("value", "")
        with self._requests.build_click_responder(ack, body, respond) as responder:
            asked = self._requests.build_request(parse_origin(body), clicks.VERBS_BY_ACTION[action], body["trigger_id"])
            if clicks.needs_reason(action, pressed, asked):
                clicks.check_allowed(action, pressed, asked)
                view = views.build_reason_modal(
                    action, pressed, buttons.decode_value(pressed)[0], parse_origin(body).channel_id
                )
                self._client.views_open(trigger_id=body["trigger_id"], view=view)
                responder.respond(None)
            else:
                rollout, command = clicks.parse_click(action, pressed)
                responder.respond(run_verb.submit_command(command, rollout, asked))

    def handle_submission(self, ack: Ack, body: Body) -> None:
        """A submitted modal with a reason; it stays open to show the result."""
        view = body["view"]
        action = view["callback_id"]
        rollout, command = clicks.parse_click(action, views.read_button_value(view), views.read_reason(view))

        def acknowledge(message: Message | None) -> None:
            ack(response_action="update", view=views.build_result_modal(action, message)) if message else ack()

        def post_later(message: Message) -> None:
            self._client.views_update(view_id=view["id"], view=views.build_result_modal(action, message))

        key = f"{view['id']}.{view['hash']}"
        with SlackResponder(key, acknowledge, post_later) as responder:
            origin = parse_origin({**body, "channel": {"id": views.read_channel_id(view)}})
            asked = self._requests.build_request(origin, clicks.VERBS_BY_ACTION[action], key)
            responder.respond(run_verb.submit_command(command, rollout, asked))

    def handle_mention(self, body: Body, event: Body) -> None:
        """`@rampart status`, also in a rollout's thread. The command id is the event's, since Slack retries events.

        Mentions by bots and workflows are ignored: no person is behind them.
        """
        if event.get("bot_id") or not event.get("user"):
            log.info("a bot mentioned the app, which changes nothing", bot=event.get("bot_id"))
            return
        thread = event.get("thread_ts", "")

        def post_ephemeral(message: Message) -> None:
            where = {"channel": event["channel"], "user": event["user"], **({"thread_ts": thread} if thread else {})}
            slack_responder.post_with_fallback(
                lambda shown: _try_post(
                    lambda: self._client.chat_postEphemeral(text=message.text, blocks=list(shown), **where)
                ),
                message,
                self._requests.block_support,
            )

        def post_answer(message: Message | None) -> None:
            try:
                if message is not None:
                    post_ephemeral(message)
            except SlackApiError as error:  # the command was carried out all the same
                log.warning("a mention could not be answered", why=str(error.response.get("error")))

        with SlackResponder(body["event_id"], post_answer, post_answer) as responder:
            installation = _find_installation(body)
            parsed = self._requests.parse_line(
                _strip_mention(html.unescape(event.get("text", "")), installation.get("user_id") or "")
            )
            origin = SlackOrigin(
                team=installation.get("team_id") or "",
                user=event["user"],
                enterprise=installation.get("enterprise_id") or "",
                channel_id=event["channel"],
            )
            responder.respond(self._run_typed(parsed, origin, body["event_id"], thread_ts=thread))

    def refuse_unknown_command(self, ack: Ack, body: Body) -> None:
        """Answer a slash command that only the manifest of another version declares."""
        ack(
            **slack_responder.build_payload(
                blocks.build_refusal(f"I don't know {body.get('command', 'this')}.", "Type /rollout help.")
            )
        )

    def refuse_unknown_action(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Answer a button of an older or newer version, instead of ignoring it silently."""
        ack()
        if body.get("response_url"):
            gone = blocks.build_refusal("This button no longer works.", "See /rollout status.")
            respond(**slack_responder.build_payload(gone), replace_original=False)

    def acknowledge_only(self, ack: Ack) -> None:
        """Acknowledge what needs no answer."""
        ack()

    def _run_typed(self, parsed: ParseResult, origin: SlackOrigin, key: str, *, thread_ts: str = "") -> Message:
        verb = parsed.verb if isinstance(parsed, ParsedCommand) else "help"
        asked = self._requests.build_request(origin, verb, key, thread_ts=thread_ts)
        if isinstance(parsed, ParsedCommand) and verb == "history" and "csv" in parsed.flags:
            return self._reading.send_history_file(asked, parsed.rollout, "csv", origin.user)
        return run_verb.execute(parsed, asked)


def _try_post(call: Callable[[], object]) -> bool:
    """Make the call; False if Slack rejected its blocks."""
    try:
        call()
    except SlackApiError as error:
        if error.response.get("error") not in {"invalid_blocks", "invalid_blocks_format"}:
            raise
        return False
    return True


def _find_installation(body: Body) -> Body:
    """The installation that an event is for; in a shared channel the event itself may name the partner's workspace."""
    given = body.get("authorizations") or [{}]
    fallback = {"team_id": body.get("team_id"), "enterprise_id": body.get("enterprise_id")}
    return {**fallback, **{name: value for name, value in given[0].items() if value}}


def _strip_mention(text: str, bot_user: str) -> str:
    """The text without the mention of the app, wherever it stands."""
    if (first := _FIRST_MENTION.match(text)) is not None and (not bot_user or bot_user in first.group()):
        return text[first.end() :]
    return re.sub(rf"[\s,:]*<@{re.escape(bot_user)}(?:\|[^>]*)?>[:,]*", " ", text).strip() if bot_user else text


def _require_slack_response_url(client: WebClient) -> Callable[..., BoltResponse]:
    """Middleware that rejects payloads whose `response_url` is neither Slack's nor the configured stand-in's."""
    ours = urlsplit(client.base_url)

    def check_response_url(body: Body, next: Callable[[], BoltResponse]) -> BoltResponse:  # noqa: A002 - Bolt's name
        address = body.get("response_url")
        if address and not _is_slack_address(str(address), ours):
            log.warning("a response_url that is not Slack's", address=str(address)[:200])
            return BoltResponse(status=400, body="The response_url is not Slack's.")
        return next()

    return check_response_url


def _is_slack_address(address: str, api_url: SplitResult) -> bool:
    try:
        to = urlsplit(address)
    except ValueError:
        return False
    if (to.scheme, to.netloc) in {("https", host) for host in _SLACK_HOOK_HOSTS}:
        return True
    return api_url.hostname != "slack.com" and (to.scheme, to.netloc) == (api_url.scheme, api_url.netloc)


def _tells_of_no_unused_token(record: logging.LogRecord) -> bool:
    return "`token` will be unused" not in record.getMessage()


def _find_thread_ts(body: Body) -> str:
    return str((body.get("container") or {}).get("thread_ts") or (body.get("message") or {}).get("thread_ts") or "")


def build_app(
    service: RolloutService,
    client: WebClient,
    signing_secret: str,
    *,
    now: Callable[[], datetime],
    directory: SlackDirectory,
    home_tabs: HomeTabs | None = None,
    block_support: BlockSupport | None = None,
    page_links: PageLinks | None = None,
) -> App:
    """Build the Bolt app with every listener, without calling Slack. `now` is the rollouts' clock; `home_tabs` is given
    by whoever keeps them up to date. Without `page_links`, no answer links to a page."""

    def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=client.token)

    # Without a token: `authorize` provides one per request. Bolt reads SLACK_BOT_TOKEN as one all the same, and warns.
    logging.getLogger("slack_bolt.App").addFilter(_tells_of_no_unused_token)
    app = App(
        client=WebClient(base_url=client.base_url, timeout=client.timeout, proxy=client.proxy, ssl=client.ssl),
        signing_secret=signing_secret,
        authorize=authorize,
        token_verification_enabled=False,
        listener_executor=ThreadPoolExecutor(LISTENER_THREADS, thread_name_prefix="slack"),
    )
    app.use(_require_slack_response_url(client))
    requests = SlackRequests(service, client, directory, now, block_support, page_links)
    planning = PlanningListeners(service, client, directory, requests)
    planning.register(app)
    reading = ReadingListeners(client, requests, directory)
    reading.register(app)
    ReviewListeners(service, client, requests).register(app)
    tabs = home_tabs or HomeTabs(service, client, directory, now)
    HomeListeners(service, client, requests, tabs).register(app)
    ComplaintListeners(service, client, requests).register(app)
    listeners = SlackListeners(client, requests, planning, reading)
    app.command("/rollout")(listeners.handle_command)
    app.command(_ANYTHING)(listeners.refuse_unknown_command)
    app.action(re.compile(rf"^{buttons.RUN}\.\d+$"))(listeners.handle_suggestion)
    app.action(re.compile(rf"^({'|'.join(clicks.VERBS_BY_ACTION)})$"))(listeners.handle_click)
    app.action(buttons.OPEN_PAGE)(listeners.acknowledge_only)
    app.action(_ANYTHING)(listeners.refuse_unknown_action)
    app.view(re.compile(rf"^({'|'.join(views.CALLBACKS)})$"))(listeners.handle_submission)
    app.view(_ANYTHING)(listeners.acknowledge_only)
    app.shortcut(_ANYTHING)(listeners.acknowledge_only)
    app.event("app_mention")(listeners.handle_mention)
    app.event(_ANYTHING)(listeners.acknowledge_only)
    return app
