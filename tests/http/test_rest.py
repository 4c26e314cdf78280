"""Reading and steering rollouts over REST."""

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.rendering.json.evidence import filter_evidence
from core.rollout import commands as c
from core.rollout.plans.plan import content_hash
from core.rollout.state.model import RolloutState
from core.service.rollout_look import evaluate_rollout
from core.store.coordination import outbox

ROLLOUTS = "/api/v1/rollouts"


def test_a_rollout_and_its_list(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    assert client.get(ROLLOUTS).json() == {"rollouts": [], "next": None}
    canary(everywhere)
    one = client.get(f"{ROLLOUTS}/R-1").json()
    expected = {
        "id": "R-1",
        "surface": "support-assistant",
        "state": "running",
        "stage": "canary",
        "percent": 5.0,
        "from": "v42",
        "to": "v43",
        "owner": "@dana",
        "waiting_for": "",
    }
    assert expected.items() <= one.items()
    assert client.get(ROLLOUTS).json() == {"rollouts": [one], "next": None}
    assert client.get(ROLLOUTS, params={"state": "done"}).json() == {"rollouts": [], "next": None}
    assert client.get(ROLLOUTS, params={"state": "odd"}).status_code == 422


def test_its_events_in_order(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    everywhere.do(c.Pause(reason="a look at the logs"))
    events = client.get(f"{ROLLOUTS}/R-1/events").json()["events"]
    assert [e["type"] for e in events] == [
        "rollout.planned",
        "rollout.started",
        "rollout.stage_entered",
        "rollout.stage_entered",
        "rollout.paused",
    ]
    assert set(events[0]) == {"position", "type", "actor", "at", "reason", "data"}
    assert events[-1]["reason"] == "a look at the logs"
    assert events[-1]["actor"] == "cli:ana"
    assert events[0]["data"]["plan"]["surface"] == "support-assistant"
    later = client.get(f"{ROLLOUTS}/R-1/events", params={"after": events[-2]["position"]}).json()["events"]
    assert later == events[-1:]


def test_the_evidence_tells_arms_and_metrics(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    empty = client.get(f"{ROLLOUTS}/R-1/evidence").json()
    assert (empty["verdict"], empty["metrics"]) == (None, [])
    items = [
        {"surface": "support-assistant", "unit": f"u{i}", "variant": variant, "metrics": {"refusal_rate": i % 10 == 0}}
        for i, variant in enumerate(["canary"] * 20 + ["control"] * 380)
    ]
    client.post("/api/v1/observations", json={"observations": items})
    evaluate_rollout(
        everywhere.service,
        "R-1",
        everywhere.now(),
        every=everywhere.now() - everywhere.now().replace(second=50, minute=2),
    )
    seen = client.get(f"{ROLLOUTS}/R-1/evidence").json()
    assert seen["arms"] == {"canary": {"units": 20, "requests": 20}, "control": {"units": 380, "requests": 380}}
    refusals = next(m for m in seen["metrics"] if m["metric"] == "refusal_rate")
    assert refusals["limit"] == "rises by 1 pp"
    assert refusals["canary"] == pytest.approx(0.1)
    assert set(refusals["bound"]) == {"low", "high"}
    assert refusals["verdict"]
    assert set(refusals["power"]) == {"could_notice", "could_still_be", "decided_in_seconds"}
    assert refusals["agreed"]
    assert isinstance(seen["segments"], list)
    assert (empty["segments"], empty["segments_checked"], empty["notes"]) == ([], 0, [])


def test_rows_are_narrowed_to_one_metric_or_segment() -> None:
    rows = [{"metric": m, "segment": s} for m in ("a_rate", "b_rate") for s in ("", "language=de")]
    whole = {"metrics": [r for r in rows if not r["segment"]], "segments": [r for r in rows if r["segment"]]}
    assert filter_evidence(whole, "", "") == whole
    one = filter_evidence(whole, "a_rate", "")
    assert (len(one["metrics"]), len(one["segments"])) == (1, 1)
    german = filter_evidence(whole, "", "Language=DE")
    assert (german["metrics"], len(german["segments"])) == ([], 2)


def test_a_command_and_its_repeat(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    url, key = f"{ROLLOUTS}/R-1/commands", {"Idempotency-Key": "rollback-1"}
    body = {"command": "rollback", "reason": "answers are too short"}
    first = client.post(url, json=body, headers=key)
    assert first.status_code == 200
    assert (first.json()["rollout"], first.json()["state"]) == ("R-1", "rolled_back")
    assert first.json()["events"]
    again = client.post(url, json=body, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    other = client.post(url, json={**body, "reason": "another"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    events = client.get(f"{ROLLOUTS}/R-1/events").json()["events"]
    assert [e["type"] for e in events].count("rollout.rolled_back") == 1
    assert client.post(url, json=body).json()["events"] == []  # already so


def test_a_refused_command_says_why(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    refused: tuple[tuple[Any, int], ...] = (
        ({"command": "rolback"}, 422),
        ({"command": "advance"}, 409),
        ({"command": "resume", "why": "x"}, 422),
        ({"reason": "x"}, 422),
        ({"command": "approve"}, 403),
        ({"command": "abandon"}, 409),
        ([], 422),
    )
    for body, status in refused:
        answer = client.post(f"{ROLLOUTS}/R-1/commands", json=body)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) >= {"code", "message", "hint"}


def test_a_misspelled_command_is_guessed(running: Any, serve: Any, canary: Any) -> None:
    canary(running)
    answer = serve(running).post(f"{ROLLOUTS}/R-1/commands", json={"command": "rolback"})
    assert 'Did you mean "rollback"?' in answer.json()["message"]


def test_an_unknown_rollout_is_not_found(running: Any, serve: Any) -> None:
    client = serve(running)
    for path in ("", "/events", "/evidence"):
        answer = client.get(f"{ROLLOUTS}/R-9{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_malformed_bodies_and_unknown_paths_answer_in_one_shape(running: Any, serve: Any) -> None:
    client = serve(running)
    answers = [
        (
            400,
            client.post(f"{ROLLOUTS}/R-1/commands", content="nonsense", headers={"Content-Type": "application/json"}),
        ),
        (404, client.post(f"{ROLLOUTS}/R-9/commands", json={"command": "pause"})),
        (404, client.get("/api/v1/nothing")),
        (405, client.put(ROLLOUTS)),
        (413, client.post(f"{ROLLOUTS}/R-1/commands", content=b"x" * 10_000_000)),
    ]
    for status, answer in answers:
        assert answer.status_code == status
        assert set(answer.json()) >= {"code", "message", "hint"}


def test_files_are_applied_and_the_same_twice_changes_nothing(
    everywhere: Any, serve: Any, surface_file: str, rollout_file: str
) -> None:
    client = serve(everywhere)
    applied = client.post("/api/v1/files", content=rollout_file, headers={"Content-Type": "application/yaml"})
    assert applied.status_code == 200, applied.text
    assert (applied.json()["kind"], applied.json()["id"], applied.json()["changed"]) == ("rollout", "R-1", True)
    assert applied.json()["state"] == "planned"
    again = client.post("/api/v1/files", content=rollout_file)
    assert (again.json()["id"], again.json()["changed"]) == ("R-1", False)
    surface = client.post(
        "/api/v1/files", files={"file": ("surface.yaml", surface_file.replace("v42", "v7").replace("support-", "new-"))}
    )
    assert (surface.json()["kind"], surface.json()["id"]) == ("surface", "new-assistant")


def test_a_file_as_json(running: Any, serve: Any) -> None:
    policy = {"version": 1, "timezone": "Europe/Berlin", "canary_percent": {"min": 1, "max": 10}}
    answer = serve(running).post("/api/v1/files", json={"kind": "policy", **policy})
    assert answer.status_code == 200, answer.text
    assert answer.json()["kind"] == "policy"
    assert running.service.load_world().policy.timezone == "Europe/Berlin"


def test_an_unreadable_file_is_answered_with_its_lines(running: Any, serve: Any, rollout_file: str) -> None:
    broken = rollout_file.replace("surface:", "surfce:")
    answer = serve(running).post("/api/v1/files", params={"filename": "tone.yaml"}, content=broken)
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable")
    assert "tone.yaml:4:1" in answer.json()["message"]
    assert any(p["line"] == 4 for p in answer.json()["problems"])
    assert serve(running).post("/api/v1/files", content=b"\xff\xfe").status_code == 422


EVAL = "  - eval: {suite: evals/support.yaml, min_pass_rate: 75%, no_new_failures_in: [privacy]}\n"
CSV = "case,category,pass\na,billing,true\nb,billing,true\nc,privacy,{c}\nd,billing,{d}\n"


@pytest.fixture
def at_the_gate(running: Any, rollout_file: str) -> Any:
    running.apply(rollout_file.replace("stages:\n", f"stages:\n{EVAL}"))
    running.do(c.Start())
    return running


def handed_in(client: Any, text: str | bytes) -> Any:
    params = {"rollout": "R-1", "suite": "evals/support.yaml"}
    return client.post("/api/v1/evals", params=params, content=text, headers={"Content-Type": "text/csv"})


def test_results_that_meet_the_terms_open_the_gate(at_the_gate: Any, serve: Any) -> None:
    answer = handed_in(serve(at_the_gate), CSV.format(c="true", d="false"))
    assert answer.status_code == 200, answer.text
    assert {k: answer.json()[k] for k in ("passed", "failed", "errors", "ok")} == {
        "passed": 3,
        "failed": 1,
        "errors": 0,
        "ok": True,
    }
    assert answer.json()["state"] == "running"


@pytest.mark.shows("E9")
def test_a_failure_in_a_named_category_holds_the_rollout(at_the_gate: Any, serve: Any) -> None:
    answer = handed_in(serve(at_the_gate), CSV.format(c="false", d="true"))
    assert (answer.json()["ok"], answer.json()["state"]) == (False, "on_hold")
    assert "privacy" in answer.json()["reasons"][0]


def test_a_file_of_an_eval_tool_is_uploaded_with_its_baseline(at_the_gate: Any, serve: Any) -> None:
    results = (Path(__file__).parents[1] / "evals/samples/deepeval.json").read_bytes()
    files = {"file": results, "baseline": CSV.format(c="true", d="false").encode()}
    answer = serve(at_the_gate).post("/api/v1/evals", params={"rollout": "R-1"}, files=files)
    assert (answer.status_code, answer.json()["passed"], answer.json()["failed"]) == (200, 3, 1), answer.text
    assert "delete-1" in answer.json()["reasons"][0]
    missing = serve(at_the_gate).post("/api/v1/evals", params={"rollout": "R-1"}, files={"results": results})
    assert (missing.status_code, "upload" in missing.json()["message"]) == (422, True)


def test_a_small_archive_may_not_unpack_to_much_over_http(at_the_gate: Any, serve: Any) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 33 * 1024 * 1024)
    answer = serve(at_the_gate).post("/api/v1/evals", params={"rollout": "R-1"}, content=body.getvalue())
    assert answer.status_code == 422
    assert "unpacks to over 32 MiB" in answer.json()["message"]


def test_a_parquet_file_is_not_read_by_the_server(at_the_gate: Any, serve: Any) -> None:
    table = (Path(__file__).parents[1] / "evals/samples/mlflow.parquet").read_bytes()
    answer = serve(at_the_gate).post("/api/v1/evals", params={"rollout": "R-1"}, content=table)
    assert (answer.status_code, "command line" in answer.json()["message"]) == (422, True)


def test_an_error_is_not_a_pass(at_the_gate: Any, serve: Any) -> None:
    body = {
        "rollout": "R-1",
        "suite": "evals/support.yaml",
        "cases": [
            {"case": "a", "category": "billing", "pass": True},
            {"case": "b", "category": "billing", "pass": True, "error": "timeout"},
        ],
    }
    answer = serve(at_the_gate).post("/api/v1/evals", json=body).json()
    assert (answer["passed"], answer["failed"], answer["errors"], answer["ok"]) == (1, 0, 1, False)


def test_a_file_as_excel_saves_it_opens_no_gate(at_the_gate: Any, serve: Any) -> None:
    body = CSV.format(c="false", d="true").replace("privacy", "Qualité").encode("cp1252")
    answer = handed_in(serve(at_the_gate), body)
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable")
    assert "not UTF-8 text" in answer.json()["message"]


def test_a_name_that_stands_twice_in_json_is_refused(at_the_gate: Any, serve: Any) -> None:
    case = '{"case": "a", "category": "billing", "pass": false, "pass": true}'
    body = f'{{"rollout": "R-1", "suite": "evals/support.yaml", "cases": [{case}]}}'
    answer = serve(at_the_gate).post("/api/v1/evals", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable")
    assert 'has "pass" twice' in answer.json()["message"]


def test_a_rollout_is_shown_with_a_hash_of_its_content(everywhere: Any, serve: Any, canary: Any) -> None:
    canary(everywhere)
    shown = serve(everywhere).get(f"{ROLLOUTS}/R-1").json()
    assert shown["content"] == content_hash(everywhere.service.load_world().rollouts["R-1"].to_content)


def test_rows_that_are_no_results_are_refused(at_the_gate: Any, serve: Any) -> None:
    client = serve(at_the_gate)
    head = "case,category,pass\n"
    for text in (
        "",
        "case,pass\na,true\n",
        f"{head}a,b,perhaps\n",
        f"{head}a,b,true\na,b,true\n",
        f"{head}a,b,true,x\n",
    ):
        answer = handed_in(client, text)
        assert (answer.status_code, answer.json()["code"]) == (422, "unreadable")


def test_each_role_does_its_own(running: Any, serve: Any, surface_file: str, rollout_file: str) -> None:
    tokens = [(role, f"{role}-token") for role in ("flags", "ingest", "operator", "admin")]
    client = serve(running, tokens=tokens)

    def statuses(method: str, path: str, **more: Any) -> list[int]:
        roles = ("", "flags", "ingest", "operator", "admin")
        headers = [{"Authorization": f"Bearer {role}-token"} if role else {} for role in roles]
        return [client.request(method, path, headers=h, **more).status_code for h in headers]

    assert statuses("GET", ROLLOUTS) == [401, 403, 403, 200, 200]
    assert statuses("GET", "/metrics") == [401, 403, 403, 200, 200]
    assert statuses("GET", "/") == [401, 403, 403, 200, 200]
    assert statuses("POST", "/api/v1/files", content=surface_file) == [401, 403, 403, 403, 200]
    assert statuses("POST", "/api/v1/files", content=rollout_file) == [401, 403, 403, 200, 200]
    assert statuses("POST", f"{ROLLOUTS}/R-1/commands", json={"command": "abandon"}) == [401, 403, 403, 200, 200]
    assert statuses("POST", "/api/v1/evals", content="{}") == [401, 403, 422, 403, 422]
    assert statuses("GET", "/healthz") == [200] * 5


def test_a_token_may_have_several_roles(running: Any, serve: Any) -> None:
    client = serve(running, tokens=[("operator", "both"), ("ingest", "both")], token="both")
    assert client.get(ROLLOUTS).status_code == 200
    assert client.post("/api/v1/observations", json={"observations": []}).status_code == 200
    assert client.post("/ofrep/v1/evaluate/flags", json={}).status_code == 403


def test_without_tokens_a_foreign_page_or_name_is_refused(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    url, body = f"{ROLLOUTS}/R-1/commands", {"command": "pause"}
    assert client.post(url, json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post(url, json=body, headers={"Host": "evil.example"}).status_code == 403
    assert running.service.load_world().rollouts["R-1"].state is RolloutState.RUNNING
    own = str(client.base_url).rstrip("/")
    assert client.post(url, json=body, headers={"Origin": own}).status_code == 200


def test_the_figures_count_what_was_answered(running: Any, serve: Any) -> None:
    client = serve(running)
    client.post("/ofrep/v1/evaluate/flags/support-assistant", json={})
    seen = {"surface": "support-assistant", "unit": "u", "variant": "stable"}
    client.post("/api/v1/observations", json={"observations": [{}, seen]})
    text = client.get("/metrics").text
    assert 'rampart_evaluations_total{kind="single"} 1.0' in text
    assert 'rampart_observations_total{outcome="rejected"} 1.0' in text
    assert 'rampart_observations_uncounted_total{reason="not_compared"} 1.0' in text
    assert 'rampart_observations_uncounted_total{reason="settling"} 0.0' in text
    assert 'rampart_messages{state="waiting"}' in text
    assert client.get("/readyz").json()["position"] == running.service.load_world().position


def test_the_document_describes_every_door(running: Any, serve: Any) -> None:
    document = serve(running).get("/openapi.json").json()
    assert {
        "/ofrep/v1/evaluate/flags",
        "/ofrep/v1/evaluate/flags/{key}",
        "/api/v1/observations",
        "/api/v1/rollouts",
        "/api/v1/rollouts/{rollout_id}",
        "/api/v1/rollouts/{rollout_id}/events",
        "/api/v1/rollouts/{rollout_id}/evidence",
        "/api/v1/rollouts/{rollout_id}/commands",
        "/api/v1/evals",
        "/api/v1/files",
        "/healthz",
    } <= set(document["paths"])
    assert json.dumps(document)


def test_the_figures_say_how_late_messages_are_and_what_slack_answered(
    everywhere: Any, serve: Any, rollout_file: str
) -> None:
    everywhere.apply(rollout_file)
    database, noon = everywhere.service.database, everywhere.now()
    row = outbox.claim(database, noon, kind="slack", lease=timedelta(seconds=15))
    assert row is not None
    with database.writing_outside_log() as connection:
        outbox.reschedule(connection, row, noon, "invalid_auth", True)
    everywhere.wait(minutes=7)
    text = serve(everywhere).get("/metrics").text
    assert "rampart_messages_late_seconds 420.0" in text
    assert 'rampart_messages_refused{error="invalid_auth"} 1.0' in text
    assert 'rampart_messages{state="dead"} 0.0' in text


def test_a_form_with_a_file_twice_is_refused_as_nobody_can_tell_which_is_meant(
    running: Any, serve: Any, rollout_file: str
) -> None:
    client = serve(running)
    file = ("file", ("rollout.yaml", rollout_file.replace("prompt: new.md", "prompt: {file: new.md}").encode()))
    one, other = ("new.md", ("new.md", b"Answer shortly.")), ("new.md", ("new.md", b"Answer at length."))
    for door in ("/api/v1/plans", "/api/v1/files"):
        refused = client.post(door, files=[file, one, other])
        assert (refused.status_code, refused.json()["message"]) == (422, "The form has new.md twice."), door
        assert client.post(door, files=[file, file, one]).json()["message"] == "The form has file twice."
    assert client.get(ROLLOUTS).json()["rollouts"] == []
    assert client.post("/api/v1/files", files=[file, one]).json()["changed"]


def test_a_command_that_may_be_done_is_told_so_by_its_key(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    with running.service.database.engine.connect() as raw:
        raw.exec_driver_sql("DROP TABLE outbox")
        raw.commit()
    url, body = f"{ROLLOUTS}/R-1/commands", {"command": "rollback", "reason": "odd"}
    without = client.post(url, json=body)
    assert (without.status_code, without.json()["code"]) == (503, "unavailable")
    assert without.json()["hint"].startswith("See first whether it was done: it had no Idempotency-Key")
    named = client.post(url, json=body, headers={"Idempotency-Key": "k"})
    assert named.json()["hint"] == "Send it again with the same Idempotency-Key, so that it counts only once."
