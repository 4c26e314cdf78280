"""A real service behind real HTTP: a surface, a low-risk rollout, a clock that the test moves."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import uvicorn

from bot.http.app import HttpParts, build_asgi_app
from bot.http.clients.change_streams import ChangeStreams
from core.flags.document import DocumentEncoder
from core.flags.snapshot import Snapshot
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.serving import exposure
from core.service.apply_file import apply_text
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import Database

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ADMIN = Actor(id="cli:ana", handle="ana")

SURFACE = """
version: 1
kind: surface
surface: support-assistant
title: "Support assistant"
owner: "@dana"
live: {version: v42, prompt: old.md, model: {provider: acme-ai, name: large-3, snapshot: "2026-03-01"}}
daily_requests: 1000000
notify: [{channel: "#ai-rollouts", as: engineering}]
"""
ROLLOUT = """
version: 1
rollout: tone
surface: support-assistant
owner: "@dana"
risk: low
template: prompt-low-stakes
change: {from: support-assistant@v42, to: {prompt: new.md}, why: "<script>alert(1)</script> & shorter"}
stages:
  - cohort: {name: internal, where: {email_domain: example.com}, hold: 1m, percent: 50}
  - canary: {percent: 5, min_hold: 1m, max_hold: 30m, min_samples: 10}
  - ramp: {steps: [50%, 100%], hold: 1m}
  - bake: {hold: 1m}
assignment: {unit: user, control: concurrent, segments: [language]}
rollback_when:
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify: [{channel: "#ai-rollouts", as: engineering}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service with its clock, and whatever the tests do to it beside HTTP."""

    service: RolloutService
    clock: list[datetime]

    def now(self) -> datetime:
        return self.clock[0]

    def wait(self, **span: float) -> None:
        self.clock[0] += timedelta(**span)

    def apply(self, text: str) -> str:
        key = f"file:{hash(text)}:{self.clock[0]}"
        return apply_text(self.service, text, "file.yaml", by=ADMIN, at=self.now(), command_id=key).id

    def do(self, command: c.PersonCommand, rollout: str = "R-1") -> None:
        key = f"{rollout}:{command!r}:{self.clock[0]}"
        self.service.handle(CommandRequest(command=command, command_id=key, by=ADMIN, at=self.now(), rollout=rollout))


def running_on(database: Database) -> Running:
    running = Running(service=RolloutService(database), clock=[NOON])
    running.apply(SURFACE)
    return running


def begin_canary(running: Running, rollout: str = ROLLOUT) -> None:
    """Plan R-1, begin it, and walk through the cohort stage into the 5 % canary; a minute later."""
    running.apply(rollout)
    running.do(c.Start())
    running.wait(minutes=2)
    running.do(c.Advance(reason="the cohort is happy"))
    running.wait(minutes=1)


@pytest.fixture
def running(sqlite_database: Database) -> Running:
    """A surface and nothing else, on SQLite."""
    return running_on(sqlite_database)


@pytest.fixture
def everywhere(database: Database) -> Running:
    """The same on both databases."""
    return running_on(database)


@pytest.fixture
def canary() -> Callable[..., None]:
    return begin_canary


@pytest.fixture
def surface_file() -> str:
    return SURFACE


@pytest.fixture
def rollout_file() -> str:
    return ROLLOUT


Serve = Callable[..., httpx.Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts the application on a free port; gives a client for it. `tokens` as (role, token)."""
    stops: list[Callable[[], None]] = []

    def start(
        running: Running, tokens: Sequence[tuple[str, str]] = (), token: str = "", **more: object
    ) -> httpx.Client:
        newest = exposure.build_cached_snapshot(running.service.load_world())

        def snapshot() -> Snapshot:
            nonlocal newest
            newest = exposure.build_cached_snapshot(running.service.load_world(), newest)
            return newest.snapshot

        encoder = DocumentEncoder()
        streams = ChangeStreams(lambda: encoder.encode(snapshot()).etag)
        running.service.world_cache.on_change(lambda _: streams.notify())
        app = build_asgi_app(
            HttpParts(
                service=running.service,
                snapshot=snapshot,
                now=running.now,
                tokens=tokens,
                **{"encoder": encoder, "streams": streams, **more},  # type: ignore[arg-type]
            )
        )
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="on", log_level="warning")
        server = uvicorn.Server(config)
        ready = threading.Event()
        startup = server.startup

        async def told(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            ready.set()

        shutdown = server.shutdown

        async def end_streams(sockets: list[socket.socket] | None = None) -> None:
            streams.close_all()
            await shutdown(sockets)

        server.startup = told  # type: ignore[method-assign]
        server.shutdown = end_streams  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        assert ready.wait(60)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        port = listening.getsockname()[1]
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, headers=headers, timeout=30)

        def stop() -> None:
            client.close()
            server.should_exit = True
            thread.join()
            listening.close()

        stops.append(stop)
        return client

    yield start
    for stop in stops:
        stop()
