"""The whole Slack side for real: a sandbox, the app over either transport, a service on a database, and delivery."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from slack_bolt import App
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_sdk import WebClient
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as WebRequest
from starlette.responses import Response
from starlette.routing import Route

from bot.delivery.messages import deliver_due
from bot.sandbox.control import Sandbox
from bot.sandbox.persona import Persona, Reply
from bot.sandbox.server import ServerThread
from bot.sandbox.workspace.workspace import SandboxMessage
from bot.slack.directory import SlackDirectory
from bot.slack.listeners import build_app
from core.files.command_from_file import FileLookups
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.state.model import Rollout
from core.service import apply_file
from core.service.service import CommandOutcome, CommandRequest, RolloutService
from core.store.database.connections import Database
from tests.socket_mode import hang_up

SURFACE = """\
version: 1
kind: surface
surface: support-assistant
title: Support assistant
owner: "@dana"
live:
  version: v42
  prompt: prompts/system.md@sha256:11aa90c4
  model: {provider: acme-ai, name: large-3, snapshot: "2026-03-01"}
daily_requests: 2880000
notify:
  - {channel: "#ai-rollouts", as: engineering}
"""
ROLLOUT = """\
version: 1
rollout: support-tone
surface: support-assistant
owner: "@dana"
risk: standard
change:
  from: support-assistant@v42
  to: {prompt: prompts/system.md@sha256:9f2c51e0}
  why: Shorter answers.
behaviour_changes:
  - {audience: [support, marketing], text: Answers are about a third shorter and start with the fix.}
stages:
  - canary: {percent: 5, min_hold: 2m, max_hold: 30m, min_samples: 200}
  - ramp: {steps: [50%, 100%], hold: 1m}
  - bake: {hold: 2m}
rollback_when:
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify:
  - {channel: "#ai-rollouts", as: engineering}
  - {channel: "#support", as: support, before: 10m}
  - {channel: "#marketing", as: marketing, before: 10m}
"""
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@dataclass(slots=True)
class Office:
    """People at work in the sandbox; `at` is the rollouts' clock and moves only when told."""

    sandbox: Sandbox
    service: RolloutService
    client: WebClient
    directory: SlackDirectory
    at: datetime = MONDAY
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    surface_file: str = SURFACE
    rollout_file: str = ROLLOUT
    files: dict[str, str] = field(default_factory=lambda: {"surface": SURFACE, "rollout": ROLLOUT})

    def person(self, handle: str) -> Persona:
        return self.sandbox.act_as(handle)

    def typed(self, handle: str, line: str, channel: str = "#ai-rollouts") -> Reply:
        """What `/rollout <line>` answers."""
        return self.person(handle).type_command(f"/rollout {line}".strip(), channel)

    def click(self, handle: str, message: SandboxMessage, what: str) -> str:
        """Press a button; the answer that only this person sees, as plain text."""
        seen = len(self.sandbox.list_ephemerals(handle))
        reply = self.person(handle).click(message, what)
        assert reply.acked
        return self.shown(self.sandbox.wait_for(lambda: self.sandbox.list_ephemerals(handle)[seen:])[0])

    def whispered(self, handle: str) -> SandboxMessage:
        """The newest message that only this person sees."""
        return self.sandbox.list_ephemerals(handle)[-1]

    def apply(self, text: str, resolve: Callable[[str], str] | None = None) -> None:
        dana = self.directory.resolve_actor("T0SANDBOX1", "U0DANA0001", moves_forward=True)
        apply_file.apply_text(
            self.service,
            text,
            "file.yaml",
            by=dana,
            at=self.at,
            command_id=f"apply-{next(self.ids)}",
            lookups=FileLookups(resolve_handle=resolve or self.directory.resolve_handle),
        )

    def apply_as_admin(self, text: str) -> None:
        """A policy, or a surface, from the command line."""
        apply_file.apply_text(
            self.service,
            text,
            "file.yaml",
            by=Actor(id="cli:root", handle="root"),
            at=self.at,
            command_id=f"apply-{next(self.ids)}",
            lookups=FileLookups(resolve_handle=self.directory.resolve_handle),
        )

    def say(self, command: c.Command, *, rollout: str = "R-1", by: Actor = ENGINE) -> CommandOutcome:
        request = CommandRequest(
            command=command, command_id=f"say-{next(self.ids)}", by=by, at=self.at, rollout=rollout
        )
        return self.service.handle(request)

    def deliver(self, *, pace: timedelta = timedelta(0)) -> int:
        """Send what is due, without the pause between two messages unless one is asked for."""
        return deliver_due(
            self.service,
            self.client,
            lambda: self.at,
            mention=self.directory.format_mention,
            members=self.directory.list_members,
            channel_pause=pace,
        )

    def later(self, **span: float) -> "Office":
        self.at += timedelta(**span)
        return self

    def plan(self) -> "Office":
        """The surface is known, the rollout planned, and everything about it is posted."""
        self.apply(SURFACE)
        self.apply(ROLLOUT)
        self.deliver()
        return self

    def start(self) -> "Office":
        """Approved by Lee, the lead time over, started by Ana."""
        self.plan()
        assert self.typed("lee", "approve R-1").acked
        assert self.later(minutes=10).typed("ana", "start R-1").acked
        self.deliver()
        return self

    @property
    def rollout(self) -> Rollout:
        return self.service.load_world().rollouts["R-1"]

    def card(self) -> SandboxMessage:
        return self.sandbox.list_messages("#ai-rollouts")[0]

    def thread(self) -> list[str]:
        return [self.shown(m) for m in self.sandbox.list_replies(self.card())]

    def shown(self, message: SandboxMessage) -> str:
        """What stands in a message, without emphasis."""
        return self.sandbox.render_text(message).replace("*", "")

    def message(self, channel: str, contains: str) -> SandboxMessage:
        return next(m for m in reversed(self.sandbox.list_messages(channel)) if contains in self.shown(m))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def _over_http(app: App, sandbox: Sandbox) -> Callable[[], None]:
    async def events(request: WebRequest) -> Response:
        body = await request.body()
        return to_starlette_response(await run_in_threadpool(app.dispatch, to_bolt_request(request, body)))

    server = ServerThread("127.0.0.1", 0)
    server.serve([Route("/slack/events", events, methods=["POST"])], "")
    sandbox.connect(f"{server.url}/slack/events")
    return server.stop


def _over_socket(app: App, sandbox: Sandbox) -> Callable[[], None]:
    handler = SocketModeHandler(app, sandbox.app_token, ping_interval=2)
    handler.connect()  # type: ignore[no-untyped-call]
    sandbox.wait_for(lambda: sandbox.connections)

    def stop() -> None:
        hang_up(handler, sandbox)
        handler.close()  # type: ignore[no-untyped-call]

    return stop


def _office(transport: str, database: Database) -> Iterator[Office]:
    with Sandbox.start(transport=transport, rate_limits="off") as sandbox:  # type: ignore[arg-type]
        client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, timeout=5)
        directory = SlackDirectory(client, lambda: datetime.now(UTC))
        office = Office(sandbox=sandbox, service=RolloutService(database), client=client, directory=directory)
        app = build_app(office.service, client, sandbox.signing_secret, now=lambda: office.at, directory=directory)
        stop = (_over_http if transport == "http" else _over_socket)(app, sandbox)
        try:
            yield office
            assert sandbox.violations == []
        finally:
            stop()
            app.listener_runner.listener_executor.shutdown(cancel_futures=True)


@pytest.fixture(params=["http", "socket"])
def either(request: pytest.FixtureRequest, sqlite_database: Database) -> Iterator[Office]:
    """An office over each transport."""
    yield from _office(request.param, sqlite_database)


@pytest.fixture
def office(sqlite_database: Database) -> Iterator[Office]:
    """An office over signed HTTP."""
    yield from _office("http", sqlite_database)
