"""Every route of the document against every role and no token at all: who is let in is written here, once."""

from collections.abc import Iterator
from typing import Any

import pytest

from bot.http.middleware.auth import LOCAL_CALLER, TokenAuth, TokenRole

ROLES = ("", "wrong", "flags", "snapshot", "ingest", "operator", "admin")
EVERYBODY = frozenset(ROLES)
ALLOWED = {
    ("get", "/healthz"): EVERYBODY,
    ("get", "/readyz"): EVERYBODY,
    ("get", "/metrics"): {"operator", "admin"},
    ("get", "/api/v1/rollouts"): {"operator", "admin"},
    ("get", "/api/v1/rollouts/{rollout_id}"): {"operator", "admin"},
    ("get", "/api/v1/bundles/{name}"): {"operator", "admin"},
    ("get", "/api/v1/rollouts/{rollout_id}/events"): {"operator", "admin"},
    ("get", "/api/v1/rollouts/{rollout_id}/evidence"): {"operator", "admin"},
    ("get", "/api/v1/rollouts/{rollout_id}/customers"): {"operator", "admin"},
    ("get", "/api/v1/rollouts/{rollout_id}/review"): {"operator", "admin"},
    ("get", "/api/v1/rollouts/{rollout_id}/strata"): {"operator", "admin"},
    ("post", "/api/v1/rollouts/{rollout_id}/commands"): {"operator", "admin"},
    ("post", "/api/v1/files"): {"operator", "admin"},
    ("post", "/api/v1/plans"): {"operator", "admin"},
    ("post", "/api/v1/evals"): {"ingest", "admin"},
    ("post", "/api/v1/observations"): {"ingest", "admin"},
    ("post", "/api/v1/answers"): {"ingest", "admin"},
    ("get", "/api/v1/judging"): {"judge", "admin"},
    ("post", "/api/v1/judging"): {"judge", "admin"},
    ("get", "/api/v1/snapshot"): {"snapshot", "admin"},
    ("delete", "/api/v1/snapshot"): {"snapshot", "admin"},
    ("get", "/api/v1/changes"): {"flags", "snapshot", "admin"},
    ("get", "/api/v1/surfaces/{surface}/baseline"): {"operator", "admin"},
    ("get", "/api/v1/digests/{week}"): {"operator", "admin"},
    ("post", "/v1/traces"): {"ingest", "admin"},
    ("post", "/v1/logs"): {"ingest", "admin"},
    ("post", "/v1/metrics"): {"ingest", "admin"},
    ("post", "/ofrep/v1/evaluate/flags"): {"flags", "admin"},
    ("post", "/ofrep/v1/evaluate/flags/{key}"): {"flags", "admin"},
}
SIGNED = {("post", "/webhooks/{desk}/{surface}")}
"""Verified by signature, whatever token comes with it."""
PAGES = {
    ("get", "/"): {"operator", "admin"},
    ("get", "/r/R-1"): {"operator", "admin"},
    ("get", "/e/R-1.1"): {"operator", "admin"},
    ("get", "/docs"): EVERYBODY,
    ("get", "/openapi.json"): EVERYBODY,
    ("get", "/style.css"): EVERYBODY,
}
TOKENS = [(role, f"the-{role}-token") for role in ("flags", "snapshot", "ingest", "operator", "admin")]


def routes(document: Any) -> Iterator[tuple[str, str]]:
    for path, methods in document["paths"].items():
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            yield method, path


@pytest.fixture
def client(running: Any, serve: Any, canary: Any) -> Any:
    canary(running)
    return serve(running, tokens=TOKENS)


def test_every_route_lets_in_exactly_its_roles(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert set(routes(document)) - SIGNED == ALLOWED.keys(), "a route that is new belongs into the table"
    for role in ROLES:
        headers = {"Authorization": f"Bearer the-{role}-token"}
        assert client.post("/webhooks/standard/support-assistant", json={}, headers=headers).status_code == 401
    for (method, path), allowed in {**ALLOWED, **PAGES}.items():
        for role in ROLES:
            headers = {"Authorization": f"Bearer the-{role}-token"} if role else {}
            asked = path.format(
                rollout_id="R-1", name="both", key="support-assistant", surface="support-assistant", week="2026-W47"
            )
            body = {"json": {"command": "feels_off"}} if method == "post" else {}
            with client.stream(method, asked, headers=headers, **body) as answer:  # an event stream has no end
                status = answer.status_code
            refused = {"": 401, "wrong": 401}.get(role, 403)
            assert (status == refused) is (role not in allowed), (method, path, role, status)


def test_a_file_of_the_whole_installation_needs_an_admin(client: Any, surface_file: str) -> None:
    policy = "version: 1\nkind: policy\ntimezone: Europe/Berlin\n"
    for text in (surface_file.replace("Support assistant", "Another"), policy):
        asked = {"content": text, "headers": {"Authorization": "Bearer the-operator-token"}}
        assert client.post("/api/v1/files", **asked).status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        "Bearer the-operator-toke",
        "Bearer the-operator-token2",
        "Bearer THE-OPERATOR-TOKEN",
        "Bearer operator:the-operator-token",
        "the-operator-token",
        "Basic !!!",
        "Basic Og==",
        "Digest the-operator-token",
        "Bearer " + "x" * 8000,
    ],
)
def test_what_is_nearly_a_token_is_none_and_is_not_told_back(client: Any, header: str) -> None:
    answer = client.get("/api/v1/rollouts", headers={"Authorization": header})
    assert answer.status_code == 401
    assert header.rpartition(" ")[2] not in answer.text
    assert answer.headers["www-authenticate"]


def test_on_loopback_tokens_that_are_set_are_asked_for(client: Any) -> None:
    assert client.base_url.host == "127.0.0.1"
    assert client.get("/api/v1/rollouts").status_code == 401


def test_tokens_are_compared_as_digests_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each known one is compared, whether or not an earlier one matched, and never the token itself."""
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("bot.http.middleware.auth.hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    door = TokenAuth(TOKENS)
    assert door.authorize([(b"authorization", b"Bearer the-flags-token")], TokenRole.FLAGS) is not LOCAL_CALLER
    assert len(compared) == len(TOKENS)
    assert all(len(a) == len(b) == 32 for a, b in compared)
