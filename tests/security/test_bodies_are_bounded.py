"""Nothing that is sent can be too large, too deep, too slow or too much."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from bot.http.middleware import bodies
from bot.http.middleware.auth import LOCAL_CALLER, AccessDenied
from bot.http.middleware.caller_limits import RateLimiter
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile
from core.rollout.state.model import RolloutState

COMMANDS = "/api/v1/rollouts/R-1/commands"
ROUTES = (COMMANDS, "/api/v1/files", "/api/v1/observations", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/x")
DEEP = 100_000
NESTED = {
    "lists": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "unclosed lists": "[" * DEEP,
    "unclosed objects": '{"a":' * DEEP,
    "a huge integer": '{"observations":[{"metrics":{"a":' + "9" * 10_000 + "}}]}",
    "a huge number": '{"command":"pause","to_percent":1e999}',
    "no number": '{"command":"pause","to_percent":NaN}',
    "a lone surrogate": '{"command":"\\ud800","reason":"\\udfff"}',
    "not UTF-8": b"\xff\xfe\x00",
    "a NUL": '{"command":"pa\\u0000use"}',
}
BOMBS = {
    "nested lists": "version: 1\nrollout: " + "[" * 10_000,
    "nested maps": "{a: " * 10_000,
    "nested dashes": "- " * 10_000 + "a",
    "laughs": "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
    "many values": "rollout: [" + "a, " * 60_000 + "]",
    "larger than 256 KB": "rollout: a # " + "x" * 256 * 1024,
    "a key twice": "version: 1\nversion: 1\nrollout: a\n",
    "a tag": "rollout: !!python/object/apply:os.system [id]\n",
    "a tag of our own": "rollout: !x a\n",
    "a merge": "a: &a {b: 1}\nrollout: {<<: *a}\n",
    "itself": "rollout: &a [*a]\n",
    "a huge integer": "version: " + "9" * 10_000 + "\nrollout: a\n",
    "JSON, nested": "[" * 10_000 + "]" * 10_000,
}


@pytest.mark.parametrize("what", NESTED)
@pytest.mark.parametrize("path", [*ROUTES, "/api/v1/evals", "/v1/traces", "/v1/logs", "/v1/metrics"])
def test_json_bombs_are_refused_and_nothing_falls(running: Any, serve: Any, canary: Any, path: str, what: str) -> None:
    client = serve(running)
    canary(running)
    before = running.service.load_world().position
    answer = client.post(path, content=NESTED[what], headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text[:200]
    assert (
        running.service.load_world().position == before
        or running.service.load_world().rollouts["R-1"].state is RolloutState.PAUSED
    )
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("what", BOMBS)
def test_files_that_unfold_or_lie_are_refused_however_they_come(running: Any, serve: Any, what: str) -> None:
    with pytest.raises(UnreadableFile):
        parse_file(BOMBS[what], "file.yaml")  # as the command line does
    client = serve(running)
    before = running.service.load_world().position
    for sent in ({"content": BOMBS[what]}, {"files": {"file": ("rollout.yaml", BOMBS[what].encode())}}):
        answer = client.post("/api/v1/files", **sent)
        assert (answer.status_code, answer.json()["code"]) == (422, "unreadable")
    assert running.service.load_world().position == before


@pytest.mark.parametrize("path", [*ROUTES, "/metrics", "/nowhere", "/"])
def test_a_large_body_is_refused_on_every_route(running: Any, serve: Any, path: str) -> None:
    assert serve(running).post(path, content=b"x" * 2 * bodies.BODY_LIMIT).status_code in {413, 405, 404}
    assert serve(running).post(path, content=chunks()).status_code in {413, 405, 404}


def chunks() -> Any:
    """No length is told beforehand."""
    for _ in range(32):
        yield b"x" * (bodies.BODY_LIMIT // 16)


def test_a_body_that_takes_too_long_is_not_waited_for() -> None:
    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(bodies.BodyTooSlow):
        asyncio.run(bodies.read_body({"headers": []}, never, seconds=0.01))


def test_a_body_that_comes_in_pieces_and_late_is_read_whole() -> None:
    pieces = iter([b"", b"ab", b"cd"])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        piece = next(pieces)
        return {"type": "http.request", "body": piece, "more_body": piece != b"cd"}

    assert asyncio.run(bodies.read_body({"headers": []}, receive)) == b"abcd"


def test_a_body_that_is_there_at_once_keeps_to_the_limits() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"four", "more_body": False}

    def read(*headers: tuple[bytes, bytes], limit: int = 4, takes_gzip: bool = False) -> bytes:
        return asyncio.run(bodies.read_body({"headers": headers}, receive, limit, takes_gzip=takes_gzip))

    assert read() == b"four"
    assert read((b"content-encoding", b"gzip"), takes_gzip=True) == b"four"
    with pytest.raises(bodies.BodyTooLarge):
        read(limit=3)
    with pytest.raises(bodies.BodyEncoded):
        read((b"content-encoding", b"gzip"))
    with pytest.raises(bodies.BodyEncoded):
        read((b"content-encoding", b"br"), takes_gzip=True)


def test_who_waits_for_a_body_can_be_stopped() -> None:
    stopped = []

    async def receive() -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(True)
            raise
        return {}

    async def stop() -> None:
        reading = asyncio.create_task(bodies.read_body({"headers": []}, receive))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(stop())
    assert stopped == [True]


def test_its_sender_is_told_so() -> None:
    async def inner(*_: object) -> None:
        raise AssertionError("it was called with half a body")

    async def slow(_: object, __: object, limit: int = 0, *, takes_gzip: bool = False) -> bytes:
        raise bodies.BodyTooSlow(30)

    async def asked() -> httpx.Response:
        app = bodies.BodyLimiter(inner, lambda _: None, {})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
            return await client.post("/", content=b"x")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bodies, "read_body", slow)
        answer = asyncio.run(asked())
    assert (answer.status_code, answer.json()["code"]) == (408, "too_slow")


def test_a_token_that_changes_too_much_is_slowed_down_and_others_are_not() -> None:
    clock = [0.0]
    rates = RateLimiter(per_second=2, burst=3, monotonic=lambda: clock[0])
    other = type(LOCAL_CALLER)(roles=LOCAL_CALLER.roles, key="other", actor=LOCAL_CALLER.actor)
    for _ in range(3):
        rates.count_request(LOCAL_CALLER)
    with pytest.raises(AccessDenied) as denied:
        rates.count_request(LOCAL_CALLER)
    assert (denied.value.status, denied.value.retry_after) == (429, 1)
    rates.count_request(other)
    clock[0] = 0.5
    rates.count_request(LOCAL_CALLER)


def test_over_http_it_is_429_and_the_way_back_stays_open(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    body = json.dumps({"command": "feels_off"})
    kind = {"content-type": "application/json"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RateLimiter.__init__, "__defaults__", (0.0, 2.0, lambda: 0.0))
        client = serve(running)
        answers = [client.post(COMMANDS, content=body, headers=kind) for _ in range(3)]
        assert answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json()["code"] == "too_fast"
        assert client.post(COMMANDS, json={"command": "rollback"}).status_code == 200
    assert running.service.load_world().rollouts["R-1"].state is RolloutState.ROLLED_BACK
