"""What happened, reported over HTTP: counted once, in its place, and every bad item named."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from bot.http.observations import spelling_hints
from bot.http.observations.writer import ObservationBatch, ObservationWriter
from core.flags.snapshot import Snapshot
from core.judging.model.evidence import CellKey, EvidenceSums
from core.rollout import commands as c
from core.rollout.serving.exposure import build_snapshot
from core.store.observations import observation_sums

URL = "/api/v1/observations"


def seen(unit: Any = "user-1", variant: str | None = "canary", **more: Any) -> dict[str, Any]:
    usual = {"surface": "support-assistant", "unit": unit, "variant": variant, "metrics": {"refusal_rate": False}}
    return {k: v for k, v in {**usual, **more}.items() if v is not None}


def sent(client: httpx.Client, *items: Any, key: str = "", **headers: str) -> dict[str, Any]:
    named = {"Idempotency-Key": key} if key else {}
    answer = client.post(URL, json={"observations": items}, headers={**named, **headers})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sums(running: Any) -> EvidenceSums:
    with running.service.database.reading() as connection:
        return observation_sums.load_sums(connection, "R-1")


def counted(running: Any, arm: str, metric: str = "requests", segment: str = "", stage: int = 1) -> tuple[float, float]:
    """(weight, value) of a cell, over all buckets."""
    cell = sums(running).cells.get(CellKey(stage=stage, arm=arm, segment=segment, metric=metric))
    return (float(cell.weight.sum()), float(cell.value.sum())) if cell else (0.0, 0.0)


def codes(answer: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [(r["index"], r["code"]) for r in answer["rejected"]]


def test_observations_are_counted_by_arm_metric_and_segment(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    answer = sent(
        client,
        seen(
            "a",
            metrics={"refusal_rate": True, "latency_ms": 4100, "cost_per_request": 0.01},
            segments={"language": "de"},
        ),
        seen("b", metrics={"refusal_rate": 0, "latency_ms": 900}, segments={"language": "en", "mood": "ignored"}),
        seen("c", variant="control", metrics={"refusal_rate": False}),
        seen("d", variant="stable", metrics={"refusal_rate": True}),
        seen("a", error_category="timeout", metrics={"hard_error_rate": True}),
    )
    assert answer == {"accepted": 5, "rejected": []}
    assert counted(everywhere, "canary") == (3, 3)
    assert counted(everywhere, "control") == (1, 1)
    assert counted(everywhere, "canary", "refusal_rate") == (2, 1)
    assert counted(everywhere, "canary", "refusal_rate", "language=de") == (1, 1)
    assert counted(everywhere, "canary", "latency_p95>4000") == (2, 1)
    assert counted(everywhere, "canary", "error_category:timeout")[1] == 1
    assert not any(key.segment.startswith("mood") for key in sums(everywhere).cells)
    assert sums(everywhere).first_exposures == {(1, "canary"): 2, (1, "control"): 1}


def test_a_batch_sent_again_counts_once(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    first = sent(client, seen("a"), seen("b", variant="nonsense"), key="batch-1")
    with ThreadPoolExecutor(4) as pool:
        again = [pool.submit(sent, client, seen("a"), seen("b", variant="nonsense"), key="batch-1") for _ in range(8)]
        assert [a.result() for a in again] == [first] * 8
    assert counted(everywhere, "canary") == (1, 1)


def test_the_same_key_with_another_batch_is_a_conflict(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    sent(client, seen("a"), key="batch-1")
    answer = client.post(URL, json={"observations": [seen("b")]}, headers={"Idempotency-Key": "batch-1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert counted(everywhere, "canary") == (1, 1)


def test_an_items_id_counts_once_on_its_surface(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    first = sent(client, seen("a", id="one"), seen("a", id="one"), seen("a", id="two"))
    assert (first["accepted"], codes(first)) == (2, [(1, "duplicate")])
    second = sent(client, seen("a", id="two"), seen("a", id="three"))
    assert (second["accepted"], codes(second)) == (1, [(0, "duplicate")])
    assert counted(everywhere, "canary") == (3, 3)


BAD = (
    (seen(surface="nothing"), "unknown_surface"),
    (seen(surface=None), "missing_field"),
    (seen(unit=None), "missing_field"),
    (seen(unit=""), "bad_value"),
    (seen(unit=7), "bad_value"),
    (seen(unit="x" * 1000), "bad_value"),
    (seen(variant="treatment"), "unknown_variant"),
    (seen(variant=None), "missing_side"),
    (seen(variant=None, version="v99"), "unknown_version"),
    (seen(version="v42"), "wrong_version"),
    (seen(metrics={"refusal_rat": True}), "unknown_metric"),
    (seen(metrics={"refusal_rate": 0.5}), "bad_value"),
    (seen(metrics={"latency_ms": -1}), "bad_value"),
    (seen(metrics={"latency_ms": "fast"}), "bad_value"),
    (seen(metrics={"latency_ms": True}), "bad_value"),
    (seen(metrics=[1]), "bad_metrics"),
    (seen(segments="de"), "bad_segments"),
    (seen(metrcs={}), "unknown_field"),
    (seen(metrics=None, measured={"refusal_rate": True}), "unknown_field"),
    (seen(at="yesterday"), "bad_time"),
    (seen(at="2026-11-24T12:00:00"), "bad_time"),
    (seen(at="2026-11-24T10:59:00Z"), "too_old"),
    (seen(at="2026-11-24T12:10:00Z"), "in_future"),
    (seen(at=1e300), "bad_time"),
    ("text", "malformed"),
    (None, "malformed"),
)


def complaint(unit: str, at: Any, count: Any = True, **more: Any) -> dict[str, Any]:
    return seen(unit, at=at.isoformat(), metrics={"complaint_rate": count, **more})


def test_a_persons_complaint_counts_once_an_hour_and_as_one(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    everywhere.wait(hours=1, minutes=59 - everywhere.now().minute)
    hour = everywhere.now()  # of their arrival: dating a report back or ahead makes it no other one
    earlier = hour - timedelta(minutes=59)
    first = sent(client, complaint("a", hour), complaint("a", hour), complaint("b", hour, 500), complaint("c", hour, 0))
    assert first == {"accepted": 4, "rejected": []}
    sent(client, complaint("a", earlier))
    assert counted(everywhere, "canary", "complaint_rate")[1] == 2.0
    # What was said besides is not lost, and a repeated complaint alone is no request.
    sent(client, complaint("a", hour, refusal_rate=True), complaint("b", hour))
    assert counted(everywhere, "canary", "complaint_rate")[1] == 2.0
    assert counted(everywhere, "canary", "refusal_rate") == (1.0, 1.0)
    assert counted(everywhere, "canary") == (1.0, 1.0)
    everywhere.wait(minutes=2)
    sent(client, complaint("a", everywhere.now()), complaint("a", hour))
    assert counted(everywhere, "canary", "complaint_rate")[1] == 3.0


def test_a_complaint_counts_once_whatever_time_its_sender_says(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    everywhere.wait(hours=1, minutes=58 - everywhere.now().minute)
    now = everywhere.now()
    times = (now - timedelta(minutes=59), now, now + timedelta(minutes=4))
    assert len({at.hour for at in times}) == 3
    sent(client, *(complaint("a", at) for at in times))
    assert counted(everywhere, "canary", "complaint_rate")[1] == 1.0


def test_bad_items_are_named_and_the_good_ones_are_kept(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    answer = sent(client, seen("a"), *(item for item, _ in BAD), seen("b"))
    assert codes(answer) == [(index, code) for index, (_, code) in enumerate(BAD, 1)]
    assert all(rejected["message"] for rejected in answer["rejected"])
    assert answer["accepted"] == 3, "a segment that cannot be used takes nothing from the rest of its item"
    assert counted(running, "canary") == (3, 3)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words for which the nearest known name was looked for, which takes a millisecond each."""
    words: list[str] = []
    closest = spelling_hints.get_close_matches

    def find(word: str, *rest: Any, **more: Any) -> list[str]:
        words.append(word)
        return closest(word, *rest, **more)

    monkeypatch.setattr(spelling_hints, "get_close_matches", find)
    return words


def test_a_misspelt_name_gets_a_hint_and_thousands_of_them_hold_nobody_up(
    running: Any, serve: Any, canary: Any, compared: list[str]
) -> None:
    client = serve(running)
    canary(running)
    batch = [seen(surface="support-asistant"), seen(metrics={"refusal_rat": True})]
    batch += [seen(surface=f"support-assistant-{number}") for number in range(3_000)]
    batch += [seen(metrics={f"refusal_rate_{number}": True}) for number in range(3_000)]
    told = sent(client, *batch)["rejected"]
    assert len(told) == len(batch)
    assert told[0]["message"] == 'unknown surface "support-asistant". Did you mean "support-assistant"?'
    assert told[1]["message"] == 'unknown metric "refusal_rat". Did you mean "refusal_rate"?'
    assert len(compared) == spelling_hints.MAX_HINTS


def test_null_is_not_measured_and_the_rest_counts(everywhere: Any, serve: Any, canary: Any) -> None:
    """As SDKs write it: a request that failed has no cost, and nobody knows its language."""
    client = serve(everywhere)
    canary(everywhere)
    failed = {"hard_error_rate": True, "cost_per_request": None, "latency_ms": None}
    assert sent(client, seen("a", metrics=failed, segments={"language": None})) == {"accepted": 1, "rejected": []}
    assert counted(everywhere, "canary", "hard_error_rate") == (1.0, 1.0)
    assert counted(everywhere, "canary", "cost_per_request") == (0.0, 0.0)
    assert counted(everywhere, "canary", "refused_items") == (0.0, 0.0)


def test_a_bad_part_is_refused_by_name_and_the_rest_counts(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    metrics = {"refusal_rate": True, "cost_per_request": -0.01}
    answer = sent(client, seen("a", metrics=metrics, error_category="x" * 600, segments={"language": ["de"]}))
    assert answer["accepted"] == 1
    assert codes(answer) == [(0, "bad_segments"), (0, "bad_value"), (0, "bad_value")]
    assert "cost_per_request" in str(answer["rejected"])
    assert counted(everywhere, "canary", "refusal_rate") == (1.0, 1.0)


def test_a_field_that_nobody_knows_is_named_and_the_rest_counts(everywhere: Any, serve: Any, canary: Any) -> None:
    """Unless it looks like a misspelt one, which may have changed what the others mean."""
    client = serve(everywhere)
    canary(everywhere)
    answer = sent(client, seen("a", attributes={"plan": "free"}, trace_id="4bf9"), seen("b", requst=False))
    assert answer["accepted"] == 1
    assert [(one["index"], one["message"]) for one in answer["rejected"]] == [
        (0, 'unknown field "attributes": it is ignored.'),
        (0, 'unknown field "trace_id": it is ignored.'),
        (1, 'unknown field "requst". Did you mean "request"?'),
    ]
    assert counted(everywhere, "canary") == (1.0, 1.0)
    assert counted(everywhere, "canary", "refused_items")[1] == 2.0


def test_thousands_of_fields_that_nobody_knows_hold_nobody_up(
    running: Any, serve: Any, canary: Any, compared: list[str]
) -> None:
    """Beyond a few words nobody looks which known field they may mean, and their items are refused whole."""
    client = serve(running)
    canary(running)
    answer = sent(client, *(seen(f"u{number}", **{f"x{number}y": 1}) for number in range(3_000)))
    assert len(compared) == answer["accepted"] == spelling_hints.MAX_HINTS
    assert len(answer["rejected"]) == 3_000


def test_a_version_that_tells_no_arm_is_held_against_neither_and_shown(running: Any, serve: Any, canary: Any) -> None:
    """Who was in the cohort, or beside it, has either version: by version the arms could only differ."""
    client = serve(running)
    canary(running)
    sent(client, seen("a", None, version="v43"), seen("b", None, version="v42"))
    assert [counted(running, arm, "unplaced_items")[1] for arm in ("canary", "control")] == [0, 0]
    assert 'rampart_observations_uncounted_total{reason="unknown_cohort"} 2.0' in client.get("/metrics").text


def test_how_reports_arrive_is_counted_by_arm(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    old = (everywhere.now() - timedelta(hours=2)).isoformat()
    sent(client, seen("a", "control", id="i1"), seen("a", "control", id="i1"))
    sent(client, seen("b", metrics={"latency_ms": "fast"}), seen("c", at=old), seen("d", version="v42"))
    flaws = ("refused_items", "late_items", "unplaced_items", "duplicate_items")
    sent(client, seen("e", variant="v43"))
    assert [counted(everywhere, "canary", flaw)[1] for flaw in flaws] == [1, 1, 2, 0]
    assert [counted(everywhere, "control", flaw)[1] for flaw in flaws] == [0, 0, 0, 1]
    assert counted(everywhere, "canary") == (0.0, 0.0), "none of them is a request"
    assert counted(everywhere, "control") == (1.0, 1.0)


def test_a_text_that_no_database_takes_spoils_only_its_part(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    for text in ("\ud800", "a\0", "x" * 600):
        for bad in ({"segments": {"language": text}}, {"segments": {text: "de"}}, {"error_category": text}):
            body = json.dumps({"observations": [seen("a"), seen("b", **bad)]})
            answer = client.post(URL, content=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["accepted"] == 2
            assert [one["index"] for one in answer.json()["rejected"]] == [1]


@pytest.mark.parametrize("bad", [{"metrics": {"\ud800": 1}}, {"\ud800": 1}], ids=["a metric", "a field"])
def test_a_name_that_is_no_text_is_refused_and_the_other_items_count(running: Any, serve: Any, bad: Any) -> None:
    answer = serve(running).post(URL, content=json.dumps({"observations": [seen("a"), seen("b", **bad)]}))
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 1
    assert [one["index"] for one in answer.json()["rejected"]] == [1]


def test_error_texts_with_ids_are_one_kind_of_error(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    sent(client, *(seen(f"u{i}", error_category=f"order {i + 5000} failed") for i in range(300)))
    assert counted(running, "canary", "error_category:order <n> failed")[1] == 300


def test_an_exposure_alone_tells_where_an_observation_belongs(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    assert sent(client, seen("a", None, exposure="R-1.1.canary")) == {"accepted": 1, "rejected": []}
    assert counted(everywhere, "canary") == (1.0, 1.0)
    assert codes(sent(client, seen("a", None, exposure="R-1.1"))) == [(0, "unknown_exposure")]


def test_an_intake_that_cannot_see_the_world_answers_and_goes_on(running: Any, serve: Any, canary: Any) -> None:
    canary(running)
    seen_once: list[int] = []

    def broken_once() -> Snapshot:
        if not seen_once:
            seen_once.append(1)
            raise RuntimeError("no world")
        return build_snapshot(running.service.load_world())

    intake = ObservationWriter(running.service.database, broken_once, running.now)
    batches = [
        ObservationBatch(body=json.dumps([seen()]).encode(), content_type="", token="t", key="") for _ in range(2)
    ]
    with pytest.raises(RuntimeError):
        intake.submit(batches[0]).result(30)
    assert json.loads(intake.submit(batches[1]).result(30))["accepted"] == 1
    intake.close()


def test_nan_spoils_its_item_and_not_its_batch(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    body = json.dumps({"observations": [seen("a"), seen("b", metrics={"latency_ms": float("nan")})]})
    assert "NaN" in body
    answer = client.post(URL, content=body).json()
    assert (answer["accepted"], codes(answer)) == (1, [(1, "bad_value")])


def test_lines_are_items_and_a_broken_line_is_one_bad_item(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    body = "\n".join([json.dumps(seen("a")), "{broken", "", json.dumps(seen("b"))])
    for headers in ({"Content-Type": "application/x-ndjson"}, {}):
        answer = client.post(URL, content=body, headers=headers).json()
        assert (answer["accepted"], codes(answer)) == (2, [(1, "malformed")])


def test_a_body_without_observations_is_refused(running: Any, serve: Any) -> None:
    client = serve(running)
    for body in (b"", b"nonsense", b"7", b'{"observations":7}', b"[" * 100_000, b"\xff\xff", b"{}"):
        answer = client.post(URL, content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), body[:20]
        assert answer.json()["hint"]


def test_ten_megabytes_are_refused_with_a_hint(running: Any, serve: Any) -> None:
    client = serve(running)
    answer = client.post(URL, content=b" " * 10_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "smaller" in answer.json()["hint"]
    assert client.get("/healthz").status_code == 200


@pytest.mark.shows("E30")
def test_an_observation_belongs_to_the_stage_that_ran_at_its_time(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    before = running.now().isoformat()
    running.wait(minutes=5)
    running.do(c.Advance(reason="fine"))
    running.wait(minutes=5)
    sent(client, seen("a", at=before), seen("b"))
    assert counted(running, "canary", stage=1) == (1, 1)
    assert counted(running, "canary", stage=2) == (1, 1)
    long_before = (running.now() - timedelta(minutes=50)).isoformat()  # no rollout ran then
    assert sent(client, seen("c", variant="stable", at=long_before)) == {"accepted": 1, "rejected": []}


def test_the_version_alone_tells_the_side(running: Any, serve: Any, rollout_file: str) -> None:
    client = serve(running)
    running.apply(
        rollout_file.replace(
            "  - cohort: {name: internal, where: {email_domain: example.com}, hold: 1m, percent: 50}\n", ""
        )
    )
    running.do(c.Start())
    running.wait(minutes=1)
    sent(client, seen("a", variant=None, version="v43"), seen("b", variant=None, version="v42"))
    assert counted(running, "canary", stage=0) == (1, 1)
    assert counted(running, "control", stage=0) == (1, 1)


def test_after_the_rollback_nothing_more_is_counted(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    running.do(c.RollBack(reason="bad"))
    running.wait(seconds=10)
    assert sent(client, seen("a"))["accepted"] == 1
    assert counted(running, "canary") == (0, 0)


def test_many_senders_at_once_are_all_counted(everywhere: Any, serve: Any, canary: Any) -> None:
    client = serve(everywhere)
    canary(everywhere)
    with ThreadPoolExecutor(8) as pool:
        batches = [pool.submit(sent, client, *[seen(f"u{n}-{i}") for i in range(20)], key=f"k{n}") for n in range(30)]
        assert sum(b.result()["accepted"] for b in batches) == 600
    assert counted(everywhere, "canary") == (600, 600)
    assert sums(everywhere).first_exposures == {(1, "canary"): 600}


def test_only_tokens_for_ingest_report(running: Any, serve: Any) -> None:
    tokens = [("flags", "flags-token"), ("ingest", "ingest-token"), ("operator", "operator-token")]
    client = serve(running, tokens=tokens)

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        code: int = client.post(URL, json={"observations": []}, headers=headers).status_code
        return code

    assert [status(t) for t in ("", "flags-token", "operator-token", "ingest-token")] == [401, 403, 403, 200]


def test_the_same_key_of_two_tokens_is_two_keys(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running, tokens=[("ingest", "first-token"), ("ingest", "second-token")])
    canary(running)
    for token in ("first-token", "second-token"):
        sent(client, seen("a"), key="same", Authorization=f"Bearer {token}")
    assert counted(running, "canary") == (2, 2)


def test_a_database_that_cannot_be_written_asks_to_come_again(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    database = running.service.database
    with database.engine.connect() as raw:
        raw.exec_driver_sql("DROP TABLE intake_batch")
        raw.commit()
    answer = client.post(URL, json={"observations": [seen("a")]}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"
    assert answer.json()["hint"].startswith("Send it again with the same Idempotency-Key")
    assert counted(running, "canary") == (0, 0)
    with database.engine.connect() as raw:
        raw.exec_driver_sql("DROP TABLE cell")
        raw.commit()
    without = client.post(URL, json={"observations": [seen("a")]})
    assert without.status_code == 503
    assert without.json()["hint"].startswith("See first whether it was done: it had no Idempotency-Key")


def test_a_thumb_in_a_product_counts_for_the_version_that_was_served(serve: Any, running: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    answer = sent(
        client,
        seen("a", metrics={"user_vote": "worse"}, request=False),
        seen("b", metrics={"user_vote": "cant_tell"}, request=False),
        seen("c", variant="control", metrics={"user_vote": "good"}, request=False),
        seen("d", metrics={"user_vote": "lovely"}, request=False),
        seen("e", metrics={"user_vote": 1}, request=False),
    )
    assert codes(answer) == [(3, "bad_value"), (4, "bad_value")]
    assert "good, worse, cant_tell" in answer["rejected"][0]["message"]
    assert counted(running, "canary", "thumbs_down_rate") == (2, 1)
    assert counted(running, "canary", "thumbs_up_rate") == (2, 0)
    assert counted(running, "control", "thumbs_up_rate") == (1, 1)
    assert counted(running, "canary") == (0, 0), "the request was reported before"
