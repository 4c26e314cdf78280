"""All listeners of the Slack app: each acknowledges, parses, carries out and answers."""

import html
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

import structlog
from slack_bolt import Ack, App, BoltResponse, Respond
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.commands import execution, grammar
from bot.commands.grammar import Parse, Parsed
from bot.commands.request import Asked
from bot.commands.verbs import VERBS
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.slack import answering, clicks, views
from bot.slack.answering import PATIENCE, Answering
from bot.slack.directory import Directory
from core.rollout.context import Actor
from core.service import Service

log = structlog.get_logger()

Body = dict[str, Any]
_HOOKS = ("hooks.slack.com", "hooks.slack-gov.com")
_ANYTHING = re.compile(r".*", re.DOTALL)
_FIRST_MENTION = re.compile(r"^[^\w<]*<@[UW][A-Z0-9]+(?:\|[^>]*)?>[\s:,;.!-]*")
THREADS = 40  # each listener occupies one until it has answered; Bolt's default of 5 times out under a burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Whence:
    """Who sent a request and from where, as Slack reports it. `channel` may be a pseudo-name such as
    `#directmessage`."""

    team: str
    user: str
    enterprise: str = ""
    channel_id: str = ""
    channel: str = ""


class Doors:
    """The listener methods and the services that they share."""

    def __init__(
        self,
        service: Service,
        client: WebClient,
        directory: Directory,
        now: Callable[[], datetime],
        patience: float = PATIENCE,
    ) -> None:
        self._service = service
        self._client = client
        self._directory = directory
        self._now = now
        self._patience = patience

    def command(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Run a slash command; the answer comes with the acknowledgement."""
        parsed = grammar.parse(html.unescape(body.get("text") or ""))
        public = isinstance(parsed, Parsed) and "public" in parsed.flags

        def acknowledge(message: Message | None) -> None:
            if message is None or answering.is_newer(message):
                ack()
                if message is not None:
                    later(message)
            else:
                ack(**answering.payload(message, public=public))

        def later(message: Message) -> None:
            _respond(respond, message, public=public)

        with self._answering(body["trigger_id"], acknowledge, later) as answer:
            whence = Whence(
                team=body["team_id"],
                user=body["user_id"],
                enterprise=body.get("enterprise_id") or "",
                channel_id=body.get("channel_id") or "",
                channel=f"#{body.get('channel_name', '')}",
            )
            answer.say(self._run(parsed, whence, body["trigger_id"]))

    def run(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Run a suggested command whose button was pressed, as if it had been typed."""
        with self._clicked(ack, body, respond) as answer:
            parsed = grammar.parse(body["actions"][0]["value"])
            answer.say(self._run(parsed, _whence(body), body["trigger_id"], thread_ts=_thread(body)))

    def click(self, ack: Ack, body: Body, respond: Respond) -> None:
        """A button; only the person who pressed it sees the answer."""
        action, pressed = body["actions"][0]["action_id"], body["actions"][0].get("value", "")
        with self._clicked(ack, body, respond) as answer:
            asked = self._asked(body, clicks.VERBS[action])
            if clicks.needs_reason(action, pressed, asked):
                clicks.would_be_refused(action, pressed, asked)
                view = views.ask(action, pressed, buttons.opened(pressed)[0], _whence(body).channel_id)
                self._client.views_open(trigger_id=body["trigger_id"], view=view)
                answer.say(None)
            else:
                rollout, command = clicks.command(action, pressed)
                answer.say(execution.hand_in(command, rollout, asked))

    def submitted(self, ack: Ack, body: Body) -> None:
        """A submitted modal with a reason; it stays open to show the result."""
        view = body["view"]
        action = view["callback_id"]
        rollout, command = clicks.command(action, views.pressed(view), views.reason(view))

        def acknowledge(message: Message | None) -> None:
            ack(response_action="update", view=views.answered(action, message)) if message else ack()

        def later(message: Message) -> None:
            self._client.views_update(view_id=view["id"], view=views.answered(action, message))

        with self._answering(f"{view['id']}.{view['hash']}", acknowledge, later) as answer:
            asked = self._asked(
                {
                    **body,
                    "trigger_id": f"{view['id']}.{view['hash']}",
                    "channel": {"id": views.opened_in(view)},
                },
                clicks.VERBS[action],
            )
            answer.say(execution.hand_in(command, rollout, asked))

    def mention(self, body: Body, event: Body) -> None:
        """`@rampart status`, also in a rollout's thread. The command id is the event's, since Slack retries events.

        Mentions by bots and workflows are ignored: no person is behind them.
        """
        if event.get("bot_id") or not event.get("user"):
            log.info("a bot mentioned the app, which changes nothing", bot=event.get("bot_id"))
            return
        thread = event.get("thread_ts", "")

        def post(message: Message) -> None:
            where = {"channel": event["channel"], "user": event["user"], **({"thread_ts": thread} if thread else {})}
            answering.tell(
                lambda shown: _taken(
                    lambda: self._client.chat_postEphemeral(text=message.text, blocks=list(shown), **where)
                ),
                message,
            )

        def tell(message: Message | None) -> None:
            try:
                if message is not None:
                    post(message)
            except SlackApiError as error:  # the command was carried out all the same
                log.warning("a mention could not be answered", why=str(error.response.get("error")))

        with self._answering(body["event_id"], tell, tell) as answer:
            home = _installation(body)
            parsed = grammar.parse(_without_us(html.unescape(event.get("text", "")), home.get("user_id") or ""))
            whence = Whence(
                team=home.get("team_id") or "",
                user=event["user"],
                enterprise=home.get("enterprise_id") or "",
                channel_id=event["channel"],
            )
            answer.say(self._run(parsed, whence, body["event_id"], thread_ts=thread))

    def unknown_command(self, ack: Ack, body: Body) -> None:
        """Answer a slash command that only the manifest of another version declares."""
        ack(**answering.payload(blocks.refusal(f"I don't know {body.get('command', 'this')}.", "Type /rollout help.")))

    def unknown_action(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Answer a button of an older or newer version, instead of ignoring it silently."""
        ack()
        if body.get("response_url"):
            gone = blocks.refusal("This button is not known any more.", "See /rollout status.")
            respond(**answering.payload(gone), replace_original=False)

    def nothing(self, ack: Ack) -> None:
        """Acknowledge what needs no answer."""
        ack()

    def _run(self, parsed: Parse, whence: Whence, trigger: str, *, thread_ts: str = "") -> Message:
        actor = self._actor(whence, parsed.verb if isinstance(parsed, Parsed) else "help")
        asked = Asked(
            service=self._service, by=actor, at=self._now(), command_id=f"slack:{trigger}", thread_ts=thread_ts
        )
        return execution.answer(parsed, asked)

    def _asked(self, body: Body, verb: str) -> Asked:
        actor = self._actor(_whence(body), verb)
        return Asked(service=self._service, by=actor, at=self._now(), command_id=f"slack:{body['trigger_id']}")

    def _actor(self, whence: Whence, verb: str) -> Actor:
        asks = VERBS[verb]
        return self._directory.actor(
            whence.team,
            whence.user,
            enterprise=whence.enterprise,
            channel=whence.channel,
            channel_id=whence.channel_id,
            forward=bool(asks.role),
            fresh=asks.fresh_rights,
        )

    def _answering(self, key: str, acknowledge: answering.Acknowledge, later: answering.Later) -> Answering:
        return Answering(key, acknowledge, later, self._patience)

    def _clicked(self, ack: Ack, body: Body, respond: Respond) -> Answering:
        def later(message: Message) -> None:
            _respond(respond, message)

        def acknowledge(message: Message | None) -> None:
            ack()
            if message is not None:
                later(message)

        return self._answering(body["trigger_id"], acknowledge, later)


def _respond(respond: Respond, message: Message, *, public: bool = False) -> None:
    def post(shown: tuple[Body, ...]) -> bool:
        said = {**answering.payload(message, public=public), "blocks": list(shown)}
        answer = respond(**said, replace_original=False)
        return answer.status_code == 200 and "invalid_blocks" not in str(answer.body)

    answering.tell(post, message)


def _taken(call: Callable[[], object]) -> bool:
    """Make the call; False if Slack rejected its blocks."""
    try:
        call()
    except SlackApiError as error:
        if error.response.get("error") not in {"invalid_blocks", "invalid_blocks_format"}:
            raise
        return False
    return True


def _whence(body: Body) -> Whence:
    """The origin of a click or modal; in an org-wide installation only the user carries a team."""
    channel = body.get("channel") or {}
    name = channel.get("name", "")
    return Whence(
        team=(body.get("team") or {}).get("id") or body["user"].get("team_id") or "",
        user=body["user"]["id"],
        enterprise=(body.get("enterprise") or {}).get("id") or "",
        channel_id=channel.get("id") or "",
        channel=f"#{name}" if name else "",
    )


def _installation(body: Body) -> Body:
    """The installation that an event is for; in a shared channel the event itself may name the partner's workspace."""
    given = body.get("authorizations") or [{}]
    fallback = {"team_id": body.get("team_id"), "enterprise_id": body.get("enterprise_id")}
    return {**fallback, **{name: value for name, value in given[0].items() if value}}


def _without_us(text: str, ours: str) -> str:
    """The text without the mention of the app, wherever it stands."""
    if (first := _FIRST_MENTION.match(text)) is not None and (not ours or ours in first.group()):
        return text[first.end() :]
    return re.sub(rf"[\s,:]*<@{re.escape(ours)}(?:\|[^>]*)?>[:,]*", " ", text).strip() if ours else text


def _answers_go_to_slack(client: WebClient) -> Callable[..., BoltResponse]:
    """Middleware that rejects payloads whose `response_url` is neither Slack's nor the configured stand-in's."""
    ours = urlsplit(client.base_url)

    def check(body: Body, next: Callable[[], BoltResponse]) -> BoltResponse:  # noqa: A002 - Bolt's name
        address = body.get("response_url")
        if address and not _is_slacks(str(address), ours):
            log.warning("a response_url that is not Slack's", address=str(address)[:200])
            return BoltResponse(status=400, body="The response_url is not Slack's.")
        return next()

    return check


def _is_slacks(address: str, ours: SplitResult) -> bool:
    try:
        to = urlsplit(address)
    except ValueError:
        return False
    if (to.scheme, to.netloc) in {("https", host) for host in _HOOKS}:
        return True
    return ours.hostname != "slack.com" and (to.scheme, to.netloc) == (ours.scheme, ours.netloc)


def _thread(body: Body) -> str:
    return str((body.get("container") or {}).get("thread_ts") or (body.get("message") or {}).get("thread_ts") or "")


def build_app(
    service: Service,
    client: WebClient,
    signing_secret: str,
    *,
    now: Callable[[], datetime],
    directory: Directory,
    patience: float = PATIENCE,
) -> App:
    """Build the Bolt app with every listener, without calling Slack. `now` is the rollouts' clock."""

    def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=client.token)

    app = App(
        # Without a token: `authorize` provides one per request, and Bolt would warn about a second.
        client=WebClient(base_url=client.base_url, timeout=client.timeout, proxy=client.proxy, ssl=client.ssl),
        signing_secret=signing_secret,
        authorize=authorize,
        token_verification_enabled=False,
        listener_executor=ThreadPoolExecutor(THREADS, thread_name_prefix="slack"),
    )
    app.use(_answers_go_to_slack(client))
    doors = Doors(service, client, directory, now, patience)
    app.command("/rollout")(doors.command)
    app.command(_ANYTHING)(doors.unknown_command)
    app.action(re.compile(rf"^{buttons.RUN}\.\d+$"))(doors.run)
    app.action(re.compile(rf"^({'|'.join(clicks.VERBS)})$"))(doors.click)
    app.action(_ANYTHING)(doors.unknown_action)
    app.view(re.compile(rf"^({'|'.join(views.CALLBACKS)})$"))(doors.submitted)
    app.view(_ANYTHING)(doors.nothing)
    app.shortcut(_ANYTHING)(doors.nothing)
    app.event("app_mention")(doors.mention)
    app.event(_ANYTHING)(doors.nothing)
    return app
