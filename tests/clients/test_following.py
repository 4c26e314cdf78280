"""The Python client keeps its snapshot fresh, and serves the live version when it cannot."""

import asyncio
import gc
import logging
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.process.client_positions import ClientPositions
from core.flags.bucketing import compute_bucket
from core.rollout import commands as c
from rampart_client import Evaluation, NoSnapshot, RampartClient, UnknownSurface, follower
from rampart_client.connection import Connection

SURFACE = "support-assistant"
NEW, OLD = (
    next(u for u in (f"user-{i}" for i in range(9_999)) if (compute_bucket("expose", "R-1", u) < 50_000) is is_new)
    for is_new in (True, False)
)
Connect = Callable[..., RampartClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Starts clients and closes them."""
    clients: list[RampartClient] = []

    def start(server: httpx.Client | str, token: str = "", **more: Any) -> RampartClient:
        url = str(server.base_url) if isinstance(server, httpx.Client) else server
        more.setdefault("transport", lambda: httpx.HTTPTransport())
        clients.append(RampartClient(url, token, **more))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


class Changes:
    """Counts what a client tells, and waits for it."""

    def __init__(self, client: RampartClient) -> None:
        self.changed, self.stale = threading.Semaphore(0), threading.Semaphore(0)
        client.on_change(self.changed.release)
        client.on_stale(self.stale.release)

    def wait(self, told: threading.Semaphore) -> None:
        assert told.acquire(timeout=30)


class LateTransport(httpx.HTTPTransport):
    """Connects only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_connect = threading.Event(), threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.is_asked.set()
        assert self.may_connect.wait(30)
        return super().handle_request(request)


def version(client: RampartClient, unit: str = NEW, **context: Any) -> str:
    found: Evaluation = client.evaluate(SURFACE, unit, context)
    return found.version


def test_it_evaluates_as_rampart_does_and_hears_of_a_rollback(
    running: Any, serve: Any, canary: Any, connect: Connect
) -> None:
    server = serve(running, tokens=[("snapshot", "s-token")])
    canary(running)
    client = connect(server, "s-token")
    changes = Changes(client)
    assert client.start(30)
    changes.wait(changes.changed)
    found = client.evaluate(SURFACE, NEW)
    assert (found.variant, found.value["prompt"], found.exposure) == ("canary", "new.md", "R-1.1.canary")
    assert (version(client, OLD), client.evaluate(SURFACE, None).reason) == ("v42", "DEFAULT")
    running.do(c.RollBack(reason="wrong"))
    changes.wait(changes.changed)
    assert version(client) == "v42"
    assert client.position == running.service.load_world().position


def test_without_the_stream_a_poll_finds_it(
    running: Any, serve: Any, canary: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.05)
    canary(running)
    client = connect(serve(running), listen=False)
    changes = Changes(client)
    client.start(30)
    changes.wait(changes.changed)
    running.do(c.RollBack(reason="wrong"))
    changes.wait(changes.changed)
    assert version(client) == "v42"


def test_rampart_knows_which_snapshot_it_serves_and_that_it_ended(
    running: Any, serve: Any, canary: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = threading.Event()
    positions = ClientPositions()
    positions.on_all_current(reported.set)
    server = serve(running, clients=positions)
    canary(running)
    client = connect(server)
    client.start(30)
    assert sum(positions.count_clients()) == 1
    running.do(c.RollBack(reason="wrong"))
    assert reported.wait(30)
    assert positions.count_clients() == (1, 0)
    client.close()
    assert positions.count_clients() == (0, 0)
    assert client.evaluate(SURFACE, NEW).reason == "DEFAULT"


class Server:
    """A Rampart of one snapshot that can be made to fail, to fall behind, or to be out of touch itself."""

    def __init__(self, document: bytes) -> None:
        self.document, self.etag, self.age, self.position, self.status = document, "one", 0, 10, 200
        self.asked = threading.Semaphore(0)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.release()
        headers = {"ETag": self.etag, "Age": str(self.age), "Rampart-Position": str(self.position)}
        return httpx.Response(self.status, content=self.document, headers=headers)

    def wait_for_polls(self, count: int) -> None:
        for _ in range(count):
            assert self.asked.acquire(timeout=30)


@pytest.fixture
def document(running: Any, serve: Any, canary: Any) -> bytes:
    canary(running)
    body: bytes = serve(running).get("/api/v1/snapshot").content
    return body


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(follower, "RETRY_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
def test_out_of_touch_it_serves_on_for_fifteen_seconds_and_then_the_live_version(
    document: bytes, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    server = Server(document)
    client = connect("http://any", transport=lambda: httpx.MockTransport(server), listen=False, elapsed=lambda: now[0])
    changes = Changes(client)
    client.start(30)
    changes.wait(changes.changed)
    with caplog.at_level(logging.WARNING, "rampart_client"):
        server.status = 503
        server.wait_for_polls(5)
        now[0] = 115.0
        assert (version(client), client.is_in_touch) == ("v43", True)
        now[0] = 115.1
        assert (version(client), client.is_in_touch) == ("v42", False)
        changes.wait(changes.stale)
        server.wait_for_polls(5)
    assert len(caplog.records) == 2, "each thing is said once"
    server.status = 200
    changes.wait(changes.changed)
    assert version(client) == "v43"


@pytest.mark.usefixtures("quick")
def test_the_age_of_what_a_server_knows_counts(document: bytes, connect: Connect) -> None:
    now = [100.0]
    server = Server(document)
    server.age = 14
    client = connect("http://any", transport=lambda: httpx.MockTransport(server), listen=False, elapsed=lambda: now[0])
    client.start(30)
    assert version(client) == "v43"
    now[0] = 101.1
    server.age = 16
    server.wait_for_polls(3)
    assert version(client) == "v42"


@pytest.mark.usefixtures("quick")
def test_a_server_that_is_behind_is_not_believed_while_another_was_heard(document: bytes, connect: Connect) -> None:
    now = [100.0]
    server = Server(document)
    client = connect("http://any", transport=lambda: httpx.MockTransport(server), listen=False, elapsed=lambda: now[0])
    client.start(30)
    server.etag, server.position = "older", 9
    server.wait_for_polls(3)
    assert client.position == 10
    now[0] = 116.0
    server.wait_for_polls(3)
    assert client.position == 9, "the log has lost its end, and this is what there is"


@pytest.mark.usefixtures("quick")
def test_a_server_that_always_sends_everything_is_not_asked_without_end(document: bytes, connect: Connect) -> None:
    server = Server(document)
    client = connect("http://any", transport=lambda: httpx.MockTransport(server), listen=False)
    changes = Changes(client)
    client.start(30)
    changes.wait(changes.changed)
    server.wait_for_polls(5)
    assert not changes.changed.acquire(blocking=False)


def test_a_poll_that_ends_after_the_client_does_not_bring_it_back(document: bytes) -> None:
    asked, answered = threading.Event(), threading.Event()

    def answer_late(request: httpx.Request) -> httpx.Response:
        asked.set()
        assert answered.wait(30)
        return httpx.Response(200, content=document, headers={"ETag": "one", "Age": "0"})

    client = RampartClient("http://any", transport=lambda: httpx.MockTransport(answer_late), listen=False)
    client.start(timeout=0)
    assert asked.wait(30)
    answered.set()
    client.close()
    for thread in threading.enumerate():
        if thread.name == "rampart-client":
            thread.join(30)
    assert not client.is_in_touch


def test_a_kept_snapshot_gives_live_versions_only(
    running: Any, serve: Any, canary: Any, connect: Connect, tmp_path: Path
) -> None:
    kept = tmp_path / "deep" / "snapshot.json"
    canary(running)
    first = connect(serve(running), snapshot_file=kept)
    first.start(30)
    assert version(first) == "v43"
    first.close()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    later = connect("http://127.0.0.1:1", snapshot_file=kept)
    assert later.start(timeout=0) is False
    assert (version(later), later.evaluate(SURFACE, NEW).variant) == ("v42", "stable")


@pytest.mark.parametrize(
    "ask", [lambda one: list(one.listen()), lambda one: one.fetch_snapshot("")], ids=["listening", "polling"]
)
def test_a_connection_made_while_the_client_closes_is_closed_too(
    running: Any, serve: Any, canary: Any, ask: Callable[[Connection], Any]
) -> None:
    canary(running)
    transport = LateTransport()
    connection = Connection(str(serve(running).base_url), "", "late", transport=transport)
    asking = threading.Thread(target=ask, args=(connection,), daemon=True)
    asking.start()
    assert transport.is_asked.wait(30)
    connection.close()
    transport.may_connect.set()
    asking.join(10)
    assert not asking.is_alive()
    gc.collect()  # a socket that was left open is a ResourceWarning, which fails the test


def test_a_damaged_kept_snapshot_is_not_used(connect: Connect, tmp_path: Path) -> None:
    kept = tmp_path / "snapshot.json"
    kept.write_bytes(b'{"format":1,"surf')
    client = connect("http://127.0.0.1:1", snapshot_file=kept)
    client.start(timeout=0)
    with pytest.raises(NoSnapshot, match="see the log"):
        client.evaluate(SURFACE, NEW)


def test_an_unknown_surface_is_said(running: Any, serve: Any, connect: Connect) -> None:
    client = connect(serve(running))
    client.start(30)
    with pytest.raises(UnknownSurface, match="apply its file"):
        client.evaluate("nothing", NEW)


def test_a_token_of_another_role_is_said_once(
    running: Any, serve: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(serve(running, tokens=[("flags", "f-token")]), "f-token")
    with caplog.at_level(logging.WARNING, "rampart_client"):
        assert client.start(timeout=0.2) is False
    assert "Rampart refuses the snapshot (403): The flags token may not do this. This needs snapshot" in caplog.text
    assert "no answer" not in caplog.text
    with pytest.raises(NoSnapshot, match=r"yet \(see the log\): Rampart refuses the snapshot \(403\): The flags token"):
        client.evaluate(SURFACE, NEW)
    assert "f-token" not in caplog.text


def test_a_stream_that_a_proxy_ends_at_once_is_opened_less_and_less_often() -> None:
    assert [follower.count_failures(before, seconds=0.1) for before in (0, 1, 2)] == [1, 2, 3]
    assert follower.count_failures(3, seconds=follower.STREAM_HOLDS_SECONDS) == 0


def test_it_is_used_from_coroutines(running: Any, serve: Any, canary: Any) -> None:
    url = str(serve(running).base_url)
    canary(running)

    async def evaluate() -> str:
        async with RampartClient(url, transport=lambda: httpx.HTTPTransport()) as client:
            return version(client)

    assert asyncio.run(evaluate()) == "v43"
