"""The sandbox's interface for tests and the demo: start, act as people, observe, inject faults, stop."""

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, TypeVar

from bot.sandbox.api.response_urls import ResponseUrls
from bot.sandbox.app_delivery.dispatch import AppDispatcher
from bot.sandbox.app_delivery.socket_mode import SocketConnections
from bot.sandbox.app_delivery.transports import HttpTransport, SocketTransport
from bot.sandbox.page.routes import SandboxPage
from bot.sandbox.page_banner import Narrator
from bot.sandbox.persona import Persona, Reply
from bot.sandbox.rules import limits
from bot.sandbox.rules.check_payload import Violation
from bot.sandbox.rules.slack_rate_limits import RateLimitMode, RateLimits
from bot.sandbox.server import ServerThread, build_slack_routes
from bot.sandbox.workspace import people, plain_text, slack_json, transcript
from bot.sandbox.workspace.changes import ChangeNotifier
from bot.sandbox.workspace.faults import FaultPlan
from bot.sandbox.workspace.slack_state import ApiCall, Delivery, ResponsePost, SlackState
from bot.sandbox.workspace.trigger_ids import TriggerIds
from bot.sandbox.workspace.workspace import Clock, SandboxMessage, SandboxWorkspace, View

T = TypeVar("T")


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _check_shortcuts(shortcuts: Mapping[str, str]) -> None:
    """ValueError if Slack would refuse a manifest with these message shortcuts, by callback id."""
    if len(shortcuts) > limits.value("shortcuts.max_items"):
        raise ValueError(f"an app has at most {limits.value('shortcuts.max_items')} shortcuts")
    for callback, name in shortcuts.items():
        if not 0 < len(name) <= limits.value("shortcut.name.max_length"):
            raise ValueError(f'the shortcut "{name}" needs a name of at most 24 characters')
        if not 0 < len(callback) <= limits.value("shortcut.callback_id.max_length"):
            raise ValueError(f'the shortcut "{name}" needs a callback id of at most 255 characters')


class Sandbox:
    """A running local Slack for one app. `clock` dates messages; signatures, limits and measured times stay real."""

    bot_token = people.BOT_TOKEN
    app_token = people.APP_TOKEN
    signing_secret = people.SIGNING_SECRET

    def __init__(
        self,
        *,
        server: ServerThread,
        transport: Literal["http", "socket"],
        clock: Clock,
        monotonic: Callable[[], float],
        rate_limits: RateLimitMode,
        commands: tuple[str, ...],
        shortcuts: Mapping[str, str],
    ) -> None:
        self._server = server
        self.transport = transport
        self.changes = ChangeNotifier()
        self.narrator = Narrator(self.changes)
        self.workspace = SandboxWorkspace(clock=clock, changes=self.changes)
        self.slack = SlackState(
            workspace=self.workspace,
            faults=FaultPlan(),
            rate_limits=RateLimits(monotonic, rate_limits),
            triggers=TriggerIds(monotonic),
            monotonic=monotonic,
            url=server.url,
        )
        self._connections = SocketConnections(self.changes)
        self._http_transport = HttpTransport(signing_secret=self.signing_secret)
        over_socket = SocketTransport(connections=self._connections, new_id=lambda: self.workspace.new_id("E"))
        self._dispatch = AppDispatcher(
            slack=self.slack, transport=self._http_transport if transport == "http" else over_socket
        )
        self._response_urls = ResponseUrls(slack=self.slack)
        self._commands = commands
        self._shortcuts = shortcuts

    @classmethod
    def start(
        cls,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        transport: Literal["http", "socket"] = "http",
        app_url: str | None = None,
        clock: Clock = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        rate_limits: RateLimitMode = "post",
        commands: tuple[str, ...] = ("/rollout",),
        shortcuts: Mapping[str, str] = MappingProxyType({"report_ai_answer": "Report AI answer"}),
    ) -> "Sandbox":
        """Serve on loopback in a background thread; port 0 picks a free port. ValueError for any other host, and for
        shortcuts that Slack would refuse."""
        _check_shortcuts(shortcuts)
        sandbox = cls(
            server=ServerThread(host, port),
            transport=transport,
            clock=clock,
            monotonic=monotonic,
            rate_limits=rate_limits,
            commands=commands,
            shortcuts=shortcuts,
        )
        token = secrets.token_urlsafe(24)
        page = SandboxPage(
            slack=sandbox.slack,
            narrator=sandbox.narrator,
            persona=sandbox.act_as,
            commands=commands,
            shortcuts=shortcuts,
            token=token,
        )
        slack_routes = build_slack_routes(sandbox.slack, sandbox._connections, sandbox._response_urls)
        sandbox._server.serve([*slack_routes, *page.build_routes()], token)
        if app_url is not None:
            sandbox.connect(app_url)
        return sandbox

    def stop(self) -> None:
        """Close every open stream and connection, then stop the server."""
        self.changes.close()
        self._connections.drop_connections()
        self._server.stop()
        self._http_transport.client.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # addresses

    @property
    def url(self) -> str:
        """The URL of the page for people."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port of the page and of everything else."""
        return self._server.port

    @property
    def api_url(self) -> str:
        """The base URL for a Web API client; ends with `/api/`."""
        return f"{self._server.url}/api/"

    def connect(self, app_url: str) -> None:
        """Set the app's request URL for deliveries over HTTP."""
        self._http_transport.url = app_url

    @property
    def connections(self) -> int:
        """The number of open Socket Mode connections."""
        return self._connections.count

    # acting

    def act_as(self, handle: str) -> Persona:
        """The persona of ana, dana, sam, mia, lee, or the guest gil; UnknownNameError for anyone else."""
        return Persona(
            person=self.workspace.find_person(handle),
            slack=self.slack,
            dispatch=self._dispatch,
            response_urls=self._response_urls,
            commands=self._commands,
            shortcuts=self._shortcuts,
        )

    # observing

    def list_messages(self, channel: str, person: str | None = None) -> list[SandboxMessage]:
        """All messages of a channel in order, with replies and, if `person` is given, those only they can see."""
        viewer = self.workspace.find_person(person).id if person else None
        return self.workspace.visible_messages(self.workspace.find_channel(channel).id, viewer)

    def reload_message(self, message: SandboxMessage) -> SandboxMessage | None:
        """The current version of a message; None if it was deleted."""
        return self.workspace.find_message(message.channel, message.ts)

    def list_replies(self, message: SandboxMessage) -> list[SandboxMessage]:
        """The replies under a message, in order."""
        return slack_json.list_replies(self.workspace, message)

    def list_ephemerals(self, person: str) -> list[SandboxMessage]:
        """The messages that only this person can see, in all channels."""
        wanted = self.workspace.find_person(person).id
        with self.changes.lock:
            return [m for m in self.workspace.messages.values() if m.ephemeral_to == wanted]

    def top_modal(self, person: str) -> View | None:
        """The topmost modal a person has open; None without one."""
        stack = self.workspace.modals.get(self.workspace.find_person(person).id, [])
        return stack[-1] if stack else None

    def home_tab(self, person: str) -> View | None:
        """The home tab that the app published for a person; None without one."""
        return self.workspace.homes.get(self.workspace.find_person(person).id)

    def responses_to(self, reply: Reply) -> list[ResponsePost]:
        """What the app has posted so far to the response URL of a command or click."""
        return [post for post in self.slack.response_posts if post.token == reply.token]

    def render_text(self, message: SandboxMessage) -> str:
        """A message as plain text, with its blocks and buttons."""
        return plain_text.render_message(self.workspace, message)

    def wait_for(self, predicate: Callable[[], T], timeout: float = 30.0) -> T:
        """Wait until the predicate is truthy and return its value; TimeoutError shows the last messages."""
        found = self.changes.wait_for(predicate, timeout)
        if not found:
            last_lines = "\n".join(self.render_transcript().splitlines()[-12:])
            raise TimeoutError(f"it did not happen within {timeout:g} s; last messages:\n{last_lines or '(nothing)'}")
        return found

    def wait_for_message(self, channel: str, contains: str, *, timeout: float = 30.0) -> SandboxMessage:
        """Wait for a message whose plain text contains these words, and return the first; else TimeoutError."""

        def found() -> list[SandboxMessage]:
            return [m for m in self.list_messages(channel) if contains in self.render_text(m)]

        return self.wait_for(found, timeout)[0]

    def render_transcript(self) -> str:
        """All messages so far as plain text lines."""
        return transcript.render_transcript(self.workspace)

    @property
    def api_calls(self) -> list[ApiCall]:
        """Every Web API call, in order."""
        return list(self.slack.api_calls)

    @property
    def deliveries(self) -> list[Delivery]:
        """Every delivery attempt to the app, in order."""
        return list(self.slack.deliveries)

    @property
    def violations(self) -> list[Violation]:
        """Every violation of Slack's rules by the app; tests assert that there are none."""
        return list(self.slack.violations)

    # injecting faults

    def fail_next(self, method: str, kind: str, *, times: int = 1, retry_after: int = 1, channel: str = "") -> None:
        """Make the next `times` calls of a method fail; `Fault` lists the kinds."""
        self.slack.faults.plan(method, kind, times=times, retry_after=retry_after, channel=channel)

    def deliver_again(self) -> Delivery:
        """Deliver the last payload a second time."""
        return self._dispatch.deliver_again()

    def drop_socket(self) -> None:
        """Close every Socket Mode connection without warning."""
        self._connections.drop_connections()

    def refresh_socket(self) -> None:
        """Ask the app to open a new Socket Mode connection."""
        self._connections.request_reconnect()
