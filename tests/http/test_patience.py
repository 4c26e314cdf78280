"""Who announces something and does not send it is hung up on, on real sockets, and keeps nobody waiting."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from bot.http.middleware import bodies
from bot.http.middleware.head_deadline import Impatient
from bot.settings import Settings
from bot.startup import app

MANY = 60  # of which each could have its megabyte
LONGEST = 60  # seconds that a test waits for what takes ten


@pytest.fixture
def address(new_sqlite: Callable[[], str]) -> Iterator[str]:
    program = app.build_program(Settings(database_url=new_sqlite(), port=0), "serve", now=lambda: datetime.now(UTC))
    try:
        yield program.serve_in_thread()
    finally:
        program.stop()


def opened(address: str, *head: str) -> socket.socket:
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=LONGEST)
    said = "".join(f"{line}\r\n" for line in (*head, f"Host: {parts.netloc}"))
    connection.sendall(said.encode() if head else b"")
    return connection


def heard(connection: socket.socket) -> str:
    """All that comes, until the other side hangs up."""
    said = b""
    with connection:
        while data := connection.recv(65536):
            said += data
    return said.decode()


@pytest.mark.slow
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/api/v1/observations", "/ofrep/v1/evaluate/flags/support-assistant"])
def test_a_body_that_is_announced_and_does_not_come(address: str, path: str, length: str) -> None:
    head = (f"POST {path} HTTP/1.1", "Content-Type: application/json", length)
    silent = [opened(address, *head) for _ in range(MANY)]
    for one in silent:
        one.sendall(b"\r\n")
    with httpx.Client(base_url=address, trust_env=False, timeout=5) as client:
        item = {"surface": "nowhere", "unit": "u1"}
        beside = client.post("/api/v1/observations", json={"observations": [item]})
        assert beside.status_code == 200, beside.text
    answers = [heard(one) for one in silent]
    assert {answer.partition("\r\n")[0] for answer in answers} == {"HTTP/1.1 408 Request Timeout"}
    assert all(f"for {bodies.IDLE:g} s" in answer for answer in answers)


@pytest.fixture
def guarded(new_sqlite: Callable[[], str]) -> Iterator[str]:
    """The address of a process that asks for tokens."""
    settings = Settings(database_url=new_sqlite(), port=0, tokens=(("ingest", "the-ingest-token"),))
    program = app.build_program(settings, "serve", now=lambda: datetime.now(UTC))
    try:
        yield program.serve_in_thread()
    finally:
        program.stop()


@pytest.mark.parametrize("path", ["/api/v1/observations", "/api/v1/evals", "/v1/traces", "/api/v1/files"])
def test_bodies_without_a_token_take_no_room_from_those_with_one(guarded: str, path: str) -> None:
    """They are read and thrown away: together they announce more than all bodies may take at a time."""
    announced = bodies.BODY_LIMIT - 1
    head = (f"POST {path} HTTP/1.1", "Authorization: Bearer wrong", f"Content-Length: {announced}")
    strangers = [opened(guarded, *head) for _ in range(bodies.MAX_BYTES_AT_ONCE // announced + 6)]
    for one in strangers:
        one.sendall(b"\r\n" + b" " * 1000)
    item = {"surface": "nowhere", "unit": "u1"}
    with httpx.Client(base_url=guarded, trust_env=False, timeout=LONGEST) as client:
        headers = {"Authorization": "Bearer the-ingest-token"}
        beside = client.post("/api/v1/observations", json={"observations": [item]}, headers=headers)
        assert beside.status_code == 200, beside.text
    for one in strangers[1:]:
        one.close()
    strangers[0].sendall(b" " * (announced - 1000))
    with strangers[0] as last:
        answer = last.recv(65536).decode().lower()
    assert answer.startswith("http/1.1 401 ")
    assert "www-authenticate: bearer" in answer


@pytest.mark.parametrize("head", [(), ("POST /api/v1/observations HTTP/1.1",)])
def test_a_head_that_does_not_come(address: str, head: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "within", 0.5)
    assert heard(opened(address, *head)) == ""


def test_half_a_head_after_a_whole_request(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "within", 0.5)
    connection = opened(address, "GET /healthz HTTP/1.1")
    connection.sendall(b"\r\nGET /healthz HTTP/1.1\r\n")
    assert heard(connection).count("HTTP/1.1 200 OK") == 1
