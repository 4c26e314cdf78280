"""Which version a unit gets, asked over HTTP as OFREP says."""

import json
from typing import Any

import httpx
import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from core.flags.bucketing import compute_bucket
from core.rollout import commands as c

URL = "/ofrep/v1/evaluate/flags"
ONE = f"{URL}/support-assistant"


def unit_at(low: int, high: int, salt: str = "R-1") -> str:
    """A unit whose place lies in [low, high) parts per million."""
    return next(u for u in (f"user-{i}" for i in range(100_000)) if low <= compute_bucket("expose", salt, u) < high)


def asked(client: httpx.Client, unit: str | None = None, **attributes: Any) -> dict[str, Any]:
    context = attributes if unit is None else {"targetingKey": unit, **attributes}
    answer = client.post(ONE, json={"context": context})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_without_a_rollout_everybody_gets_the_live_version(running: Any, serve: Any) -> None:
    answer = asked(serve(running), "user-1")
    assert answer == {
        "key": "support-assistant",
        "value": {
            "prompt": "old.md",
            "model": {"provider": "acme-ai", "name": "large-3", "snapshot": "2026-03-01"},
        },
        "variant": "stable",
        "reason": "DEFAULT",
        "metadata": {
            "rollout": "",
            "version": "v42",
            "cohort": "",
            "stage": "",
            "conversation": "support-assistant@v42",
        },
    }


def test_a_canary_divides_units_and_a_rollback_takes_it_back(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    inside, beyond = unit_at(0, 50_000), unit_at(50_000, 1_000_000)
    new, old = asked(client, inside), asked(client, beyond)
    assert (new["variant"], new["reason"], new["value"]["prompt"]) == ("canary", "SPLIT", "new.md")
    assert new["metadata"] == {
        "rollout": "R-1",
        "version": "v43",
        "cohort": "",
        "stage": "canary",
        "exposure": "R-1.1.canary",
        "stratum": "R-1",
        "conversation": "support-assistant@v43/R-1.1.canary",
    }
    assert (old["variant"], old["value"]["prompt"]) == ("control", "old.md")
    running.do(c.RollBack(reason="too short"))
    assert asked(client, inside)["value"]["prompt"] == "old.md"
    assert asked(client, inside)["variant"] == "stable"


@pytest.mark.shows("E34")
def test_a_cohort_is_let_in_and_keeps_the_new_version_later(running: Any, serve: Any, rollout_file: str) -> None:
    client = serve(running)
    running.apply(rollout_file)
    running.do(c.Start())
    half = unit_at(200_000, 500_000)
    staff = asked(client, half, email="ana@example.com")
    assert (staff["variant"], staff["reason"]) == ("canary", "TARGETING_MATCH")
    assert (staff["metadata"]["cohort"], staff["metadata"]["stratum"]) == ("internal", "R-1/internal")
    left = asked(client, half, email="ana@elsewhere.com", stratum=staff["metadata"]["stratum"])
    assert left == staff, "who leaves the company keeps what they had"
    assert asked(client, half, email="ana@elsewhere.com")["variant"] == "stable"
    running.wait(minutes=2)
    running.do(c.Advance(reason="on"))
    kept = asked(client, half, email="ana@example.com")
    assert (kept["variant"], kept["metadata"]["version"]) == ("stable", "v43")
    assert asked(client, half, email="ana@elsewhere.com")["variant"] == "control"


def test_without_a_unit_the_live_version_is_answered(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    for body in (b"", b"{}", b'{"context":null}', b'{"context":{}}', b'{"context":{"email":"a@b.c"}}'):
        answer = client.post(ONE, content=body)
        assert answer.status_code == 200
        assert (answer.json()["reason"], answer.json()["metadata"]["version"]) == ("DEFAULT", "v42")


def test_a_body_that_says_nothing_is_refused_in_ofreps_shape(running: Any, serve: Any) -> None:
    client = serve(running)
    for body, code in (
        (b"nonsense", "PARSE_ERROR"),
        (b"\xff\xfe", "PARSE_ERROR"),
        (b"[1]", "PARSE_ERROR"),
        (b'{"context":NaN}', "PARSE_ERROR"),
        (b"[" * 100_000, "PARSE_ERROR"),
        (b'{"context":7}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":7}}', "INVALID_CONTEXT"),
    ):
        answer = client.post(ONE, content=body)
        assert answer.status_code == 400
        assert (answer.json()["key"], answer.json()["errorCode"]) == ("support-assistant", code)
        assert answer.json()["errorDetails"]
        bulk = client.post(URL, content=body)
        assert (bulk.status_code, bulk.json()["errorCode"]) == (400, code)


def test_an_unknown_surface_is_not_found(running: Any, serve: Any) -> None:
    answer = serve(running).post(f"{URL}/nothing", json={"context": {"targetingKey": "u"}})
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


def test_ten_megabytes_of_context_are_refused(running: Any, serve: Any) -> None:
    answer = serve(running).post(ONE, content=b'{"context":{"a":"' + b"x" * 10_000_000 + b'"}}')
    assert answer.status_code == 413
    assert answer.json()["errorCode"]


def test_other_methods_and_paths_answer_in_ofreps_shape(running: Any, serve: Any) -> None:
    client = serve(running)
    assert client.get(ONE).status_code == 405
    assert client.get(ONE).headers["allow"] == "POST, OPTIONS"
    assert client.post("/ofrep/v2/whatever").json()["errorCode"] == "GENERAL"


def test_all_surfaces_are_answered_at_once(running: Any, serve: Any, surface_file: str) -> None:
    running.apply(surface_file.replace("support-assistant", "search-helper"))
    answer = serve(running).post(URL, json={"context": {"targetingKey": "u"}})
    assert sorted(flag["key"] for flag in answer.json()["flags"]) == ["search-helper", "support-assistant"]
    assert all(flag["metadata"]["version"] == "v42" for flag in answer.json()["flags"])


@pytest.mark.parametrize("path", [URL, ONE])
def test_an_etag_saves_the_body_until_something_changes(running: Any, serve: Any, canary: Any, path: str) -> None:
    client = serve(running)
    body = {"context": {"targetingKey": unit_at(0, 50_000)}}
    first = client.post(path, json=body)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.post(path, json=body, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    canary(running)
    changed = client.post(path, json=body, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_a_browser_may_ask_from_another_site_and_read_the_etag(running: Any, serve: Any) -> None:
    client = serve(running)
    preflight = client.options(URL, headers={"Origin": "https://app.example.com"})
    assert preflight.status_code == 204
    assert "if-none-match" in preflight.headers["access-control-allow-headers"]
    answer = client.post(URL, json={}, headers={"Origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "ETag"


def test_the_openfeature_client_understands_every_answer(running: Any, serve: Any, canary: Any) -> None:
    server = serve(running, tokens=[("flags", "flags-token")])
    api.set_provider(
        OFREPProvider(str(server.base_url), headers_factory=lambda: {"Authorization": "Bearer flags-token"})
    )
    client = api.get_client()
    try:
        canary(running)
        inside = EvaluationContext(targeting_key=unit_at(0, 50_000))
        found = client.get_object_details("support-assistant", {}, inside)
        assert (found.variant, found.reason, found.error_code) == ("canary", "SPLIT", None)
        assert isinstance(found.value, dict)
        assert found.value["prompt"] == "new.md"
        assert found.flag_metadata["version"] == "v43"
        nobody = client.get_object_details("support-assistant", {}, EvaluationContext())
        assert (nobody.reason, nobody.flag_metadata["version"]) == ("DEFAULT", "v42")
        unknown = client.get_object_details("nothing", {"mine": 1}, inside)
        assert (unknown.value, unknown.error_code) == ({"mine": 1}, ErrorCode.FLAG_NOT_FOUND)
    finally:
        api.shutdown()
        api.clear_providers()


def test_only_tokens_for_flags_evaluate(running: Any, serve: Any) -> None:
    tokens = [("flags", "flags-token"), ("ingest", "ingest-token"), ("admin", "admin-token")]
    client = serve(running, tokens=tokens)

    def status(**headers: str) -> int:
        code: int = client.post(ONE, json={}, headers=headers).status_code
        return code

    assert status() == 401
    assert status(Authorization="Bearer wrong") == 401
    assert status(Authorization="Bearer ingest-token") == 403
    assert status(Authorization="Bearer flags-token") == 200
    assert status(Authorization="Bearer admin-token") == 200
    assert status(**{"X-API-Key": "flags-token"}) == 200
    assert json.loads(client.post(ONE, json={}).content)["errorDetails"]
