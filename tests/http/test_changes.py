"""An event stream says when evaluations may have changed; pages, which send no headers, open it by its address."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bot.http.clients import change_streams
from bot.http.clients.change_streams import ChangeStreams
from bot.http.middleware.stream_tokens import StreamTokens
from core.rollout import commands as c

BULK = "/ofrep/v1/evaluate/flags"
CHANGES = "/api/v1/changes"
TOKENS = [("flags", "flags-token"), ("ingest", "ingest-token")]


def evaluate_all(client: httpx.Client, unit: str = "user-1", **more: Any) -> httpx.Response:
    return client.post(BULK, json={"context": {"targetingKey": unit}}, **more)


def find_address(client: httpx.Client) -> str:
    (stream,) = evaluate_all(client).json()["eventStreams"]
    assert (stream["type"], stream["inactivityDelaySec"]) == ("sse", 120)
    address: str = stream["endpoint"]["requestUri"]
    return address


@contextmanager
def listening(client: httpx.Client, address: str, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
    """The events of a stream, each as its fields; `Authorization` is not sent."""
    bare = httpx.Client(base_url=client.base_url, trust_env=False, timeout=30)
    with bare, bare.stream("GET", address, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["access-control-allow-origin"] == "*"

        def read_events() -> Iterator[dict[str, str]]:
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.strip()
                elif fields:
                    yield fields
                    fields = {}

        yield read_events()


def test_a_page_is_told_of_a_change_and_fetches_it(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running, tokens=TOKENS, token="flags-token")
    canary(running)
    with listening(client, find_address(client)) as events:
        first = next(events)
        assert first.keys() == {"retry", "id"}, "what it knows is current"
        running.do(c.RollBack(reason="wrong"))
        told = next(events)
        data = json.loads(told["data"])
        assert told["event"] == "message"
        assert data["type"] == "refetchEvaluation"
        assert data["etag"] == f'"{told["id"]}"'
        assert told["id"] != first["id"]
        assert isinstance(data["lastModified"], int)
    again = evaluate_all(client, params={"flagConfigEtag": data["etag"], "flagConfigLastModified": 1})
    assert again.json()["flags"][0]["metadata"]["version"] == "v42"


def test_what_happened_before_a_page_listened_is_told_at_once(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    address = find_address(client)
    canary(running)
    with listening(client, address) as events:
        newest = next(events)
        assert "refetchEvaluation" in newest["data"]
    running.do(c.RollBack(reason="wrong"))
    with listening(client, address, **{"Last-Event-ID": newest["id"]}) as events:
        missed = next(events)
        assert "refetchEvaluation" in missed["data"]
    with listening(client, address, **{"Last-Event-ID": missed["id"]}) as events:
        assert "data" not in next(events)


def test_an_event_that_changes_no_answer_is_not_told(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    with listening(client, find_address(client)) as events:
        next(events)
        running.do(c.Pause(reason="let us look"))
        running.do(c.RollBack(reason="wrong"))
        first = next(events)
    with listening(client, CHANGES) as events:
        assert next(events)["id"] == first["id"], "the first event is the rollback's already"


def test_the_address_holds_a_token_of_its_own_that_opens_nothing_else(running: Any, serve: Any) -> None:
    client = serve(running, tokens=TOKENS, token="flags-token")
    address = find_address(client)
    token = parse_qs(urlsplit(address).query)["token"][0]
    assert "flags-token" not in address
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
        assert httpx.post(client.base_url.join(BULK), headers=headers, json={}, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "",
        lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"),
        lambda token: "9" + token,
        lambda token: "é" + token,
        lambda token: "flags-token",
        lambda token: token.partition(".")[0] + ".",
    ],
    ids=["none", "another signature", "another time", "not ascii", "the token itself", "no signature"],
)
def test_without_a_valid_token_there_is_no_stream(running: Any, serve: Any, spoil: Any) -> None:
    client = serve(running, tokens=TOKENS, token="flags-token")
    token = parse_qs(urlsplit(find_address(client)).query)["token"][0]
    answer = httpx.get(client.base_url.join(CHANGES), params={"token": spoil(token)}, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_token_expires_and_ends_with_the_one_that_it_was_made_with() -> None:
    clock = [1_800_000_000.0]
    headers = [(b"authorization", b"Bearer flags-token")]
    token = StreamTokens(TOKENS, lambda: clock[0]).issue(headers)
    assert StreamTokens(TOKENS[1:], lambda: clock[0]).find_expiry(token) is None
    assert StreamTokens([("ingest", "flags-token")], lambda: clock[0]).find_expiry(token) is None
    expires = StreamTokens(TOKENS, lambda: clock[0]).find_expiry(token)
    assert expires is not None
    assert 7_200 <= expires - clock[0] <= 7_500
    clock[0] = expires
    assert StreamTokens(TOKENS, lambda: clock[0]).find_expiry(token) is None


def test_an_address_is_renewed_every_hour_although_no_answer_has_changed(
    running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = [500_000]
    monkeypatch.setattr(StreamTokens, "count_renewals", lambda _: hour[0])
    client = serve(running, tokens=TOKENS, token="flags-token")
    etag = evaluate_all(client).headers["etag"]
    assert evaluate_all(client, headers={"If-None-Match": etag}).status_code == 304
    hour[0] += 1
    assert evaluate_all(client, headers={"If-None-Match": etag}).status_code == 200


def test_the_etag_of_all_flags_follows_the_context(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running, tokens=TOKENS, token="flags-token")
    canary(running)
    new, old = evaluate_all(client, "user-46"), evaluate_all(client, "user-1")
    assert [answer.json()["flags"][0]["variant"] for answer in (new, old)] == ["canary", "control"]
    assert evaluate_all(client, "user-1", headers={"If-None-Match": new.headers["etag"]}).status_code == 200
    assert evaluate_all(client, "user-46", headers={"If-None-Match": new.headers["etag"]}).status_code == 304


def test_a_stream_ends_when_its_token_has_expired(running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_streams, "KEEP_ALIVE_SECONDS", 0.05)
    in_two_centuries = ChangeStreams(lambda: "any", lambda: 9e9)
    client = serve(running, tokens=TOKENS, token="flags-token", streams=in_two_centuries)
    with listening(client, find_address(client)) as events:
        assert len(list(events)) == 1


def test_a_page_of_another_site_may_listen_and_send_its_trace(running: Any, serve: Any) -> None:
    client = serve(running, tokens=TOKENS)
    for path in (CHANGES, BULK):
        preflight = client.options(path, headers={"Origin": "https://app.example.com"})
        assert preflight.status_code == 204
        assert {"traceparent", "tracestate", "baggage", "authorization"} <= set(
            re.split(r",\s*", preflight.headers["access-control-allow-headers"])
        )


def test_more_streams_than_a_process_can_serve_are_refused(
    running: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_streams, "MAX_STREAMS", 1)
    client = serve(running)
    with listening(client, CHANGES) as events:
        next(events)
        answer = client.get(CHANGES)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert client.post(CHANGES).status_code == 405
