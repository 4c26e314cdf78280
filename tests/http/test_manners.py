"""What every HTTP client and probe may expect, whatever it asks for."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from bot.http.middleware import bodies

BATCH = json.dumps({"observations": []}).encode()
WITH_BODY = (
    "/api/v1/observations",
    "/api/v1/evals",
    "/api/v1/files",
    "/api/v1/rollouts/R-1/commands",
    "/ofrep/v1/evaluate/flags",
    "/ofrep/v1/evaluate/flags/support-assistant",
)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/metrics", "/api/v1/rollouts", "/nothing"])
def test_head_is_answered_as_get_without_its_body(running: Any, serve: Any, path: str) -> None:
    client = serve(running)
    asked, whole = client.head(path), client.get(path)
    assert (asked.status_code, asked.content) == (whole.status_code, b"")
    assert asked.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/csv"])
@pytest.mark.parametrize("path", WITH_BODY)
def test_a_compressed_body_is_refused_by_the_name_of_its_header(running: Any, serve: Any, path: str, kind: str) -> None:
    headers = {"content-encoding": "gzip", "content-type": kind}
    answer = serve(running).post(path, content=gzip.compress(BATCH), headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding: gzip" in answer.text


def test_a_body_that_is_said_to_be_as_it_is_is_taken(running: Any, serve: Any) -> None:
    headers = {"content-encoding": "identity", "content-type": "application/json"}
    assert serve(running).post("/api/v1/observations", content=BATCH, headers=headers).status_code == 200


def test_a_browser_may_send_its_trace_along(running: Any, serve: Any) -> None:
    allowed = serve(running).options("/ofrep/v1/evaluate/flags").headers["access-control-allow-headers"]
    assert {"traceparent", "tracestate", "baggage"} <= set(allowed.split(", "))


@pytest.mark.parametrize("path", WITH_BODY)
def test_who_is_not_let_in_is_told_how_to_ask(running: Any, serve: Any, path: str) -> None:
    answer = serve(running, tokens=[("admin", "secret")]).post(path, content=b"{}")
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]


def test_a_slash_too_many_leads_to_the_page_and_never_elsewhere(running: Any, serve: Any) -> None:
    client = serve(running)
    answer = client.get("/r/R-1/?x=1", headers={"host": "localhost"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/r/R-1?x=1")
    elsewhere = client.get(client.base_url.join("/").copy_with(raw_path=b"//example.com/"))
    assert elsewhere.headers["location"] == "/example.com"


def test_a_large_body_without_a_token_is_answered_and_not_kept(running: Any, serve: Any) -> None:
    client = serve(running, tokens=[("ingest", "secret")])
    assert client.post("/api/v1/evals", content=b"x" * 8 * bodies.BODY_LIMIT).status_code == 401


def test_bodies_beyond_what_is_set_aside_for_them_are_refused_until_others_are_done() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        inside = ask_within(app, b"x" * 60)
        assert (await inside).status_code == 503
        await answer_ok(send)

    async def twice() -> list[int]:
        return [(await ask_within(app, b"x" * 60)).status_code for _ in range(2)]

    app = bodies.BodyLimiter(inner, lambda _: None, {}, max_bytes=100)
    assert asyncio.run(twice()) == [200, 200]


async def answer_ok(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def ask_within(app: Any, content: bytes) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        return await client.post("/", content=content)


@pytest.mark.parametrize("path", ["/r/R-9", "/e/R-9.1", "/e/7", "/nothing"])
def test_people_get_a_page_where_there_is_nothing(running: Any, serve: Any, path: str) -> None:
    client = serve(running)
    page = client.get(path, headers={"accept": "text/html,*/*"})
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is no" in page.text
    assert '<a href="/">All rollouts</a>' in page.text
    assert client.get(path).json()["code"] == "not_found"
