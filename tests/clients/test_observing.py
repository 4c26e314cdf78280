"""Observations reach Rampart once, in batches, whatever happens on the way; no call waits for that."""

import json
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from rampart_client import Evaluation, observations
from rampart_client.client import RampartClient

CLIENTS = Path(__file__).parents[2] / "clients" / "python"
SERVED = Evaluation(
    surface="support-assistant",
    version="v43",
    value={},
    variant="canary",
    reason="SPLIT",
    rollout="R-1",
    cohort="",
    stage="canary",
    exposure="R-1.1.canary",
)


class Intake:
    """Takes observations, after as many failures as are asked for."""

    def __init__(self, *failures: int | Exception) -> None:
        self.failures = list(failures)
        self.batches: list[list[dict[str, Any]]] = []
        self.keys: list[str] = []
        self.held = threading.Event()
        self.held.set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert self.held.wait(30)
        if request.url.path != "/api/v1/observations":
            return httpx.Response(204)
        self.keys.append(request.headers["idempotency-key"])
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return httpx.Response(failure, headers={"Retry-After": "0"}, text="no")
        self.batches.append(json.loads(request.content)["observations"])
        return httpx.Response(200, json={"accepted": len(self.batches[-1]), "rejected": []})

    def client(self) -> RampartClient:
        return RampartClient("http://any", transport=lambda: httpx.MockTransport(self), listen=False)


def test_they_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Intake()
    client = intake.client()
    for number in range(3):
        client.observe(SERVED, f"user-{number}", {"latency_ms": 900, "refusal_rate": None}, segments={"language": "de"})
    assert client.flush(30)
    ((first, *others),) = intake.batches
    assert len(others) == 2
    assert isinstance(first.pop("at"), float)
    assert first == {
        "surface": "support-assistant",
        "unit": "user-0",
        "variant": "canary",
        "exposure": "R-1.1.canary",
        "metrics": {"latency_ms": 900, "refusal_rate": None},
        "segments": {"language": "de"},
    }
    assert client.observations.accepted == 3
    client.close()


def test_what_did_not_arrive_is_sent_again_under_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MAX_RETRY_SECONDS", 0.01)
    intake = Intake(503, httpx.ConnectError("down"), 429, httpx.ReadTimeout("late"))
    client = intake.client()
    client.observe(SERVED, "user-1", {"latency_ms": 900})
    assert client.flush(30)
    assert len(intake.keys) == 5
    assert len({*intake.keys}) == 1
    assert [len(batch) for batch in intake.batches] == [1]
    client.observe(SERVED, "user-2", {"latency_ms": 900})
    assert client.flush(30)
    assert len({*intake.keys}) == 2, "another batch has another key"
    client.close()


def test_what_is_refused_is_dropped_and_counted() -> None:
    intake = Intake(403)
    client = intake.client()
    client.observe(SERVED, "user-1", {"latency_ms": 900})
    assert client.flush(30)
    client.observe(SERVED, "user-1", {"latency_ms": float("nan")})
    assert client.flush(30)
    assert (client.observations.dropped, client.observations.accepted) == (2, 0)
    client.close()


def test_what_is_not_json_spoils_no_other_observation() -> None:
    intake = Intake()
    client = intake.client()
    client.observe(SERVED, "user-1", {"latency_ms": 900})
    for odd in (float("nan"), datetime.now(UTC), object()):
        client.observe(SERVED, "user-2", {"latency_ms": odd})  # type: ignore[dict-item]
    client.observe(SERVED, "user-3", {"latency_ms": 900})
    assert client.flush(30)
    assert [[one["unit"] for one in batch] for batch in intake.batches] == [["user-1", "user-3"]]
    assert client.observations.dropped == 3
    client.close()


def test_an_answer_that_is_not_rampart_s_ends_nothing() -> None:
    answers = [httpx.Response(200, text="<html>"), httpx.Response(200, json={"accepted": 1, "rejected": []})]
    client = RampartClient(
        "http://any", transport=lambda: httpx.MockTransport(lambda request: answers.pop(0)), listen=False
    )
    for _ in range(2):
        client.observe(SERVED, "user-1", {"latency_ms": 900})
        assert client.flush(30)
    assert (client.observations.dropped, client.observations.accepted) == (1, 1)
    client.close()


def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MAX_WAITING", 10)
    monkeypatch.setattr(observations, "BATCH_SIZE", 10)
    intake = Intake()
    intake.held.clear()
    client = intake.client()
    for number in range(50):
        client.observe(SERVED, f"user-{number}")
    intake.held.set()
    assert client.flush(30)
    assert client.observations.accepted + client.observations.dropped == 50
    assert 10 <= client.observations.accepted <= 20
    client.close()


def test_closing_gives_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Intake(*[503] * 1_000)
    client = intake.client()
    client.observe(SERVED, "user-1")
    client.close(timeout=0.05)
    assert client.observations.dropped == 1
    client.observe(SERVED, "user-2")
    assert client.observations.dropped == 2


def test_rampart_counts_them(running: Any, serve: Any, canary: Any) -> None:
    running.clock[0] = datetime.now(UTC)
    canary(running)
    client = RampartClient(str(serve(running).base_url), transport=lambda: httpx.HTTPTransport())
    with client:
        for number in range(20):
            unit = f"user-{number}"
            client.observe(client.evaluate("support-assistant", unit), unit, {"latency_ms": 900})
        client.observe(SERVED, "user-1", {"no_such_metric": 1})
    assert (client.observations.accepted, client.observations.rejected) == (20, 1)


def test_a_program_that_ends_sends_what_waits_and_so_does_its_fork(running: Any, serve: Any, canary: Any) -> None:
    running.clock[0] = datetime.now(UTC)
    canary(running)
    server = serve(running)
    program = """
        import os, sys, httpx
        from rampart_client import RampartClient

        client = RampartClient(sys.argv[1], transport=lambda: httpx.HTTPTransport())
        assert client.start(30)
        child = os.fork()
        served = client.evaluate("support-assistant", "user-46")
        assert served.version == "v43", served
        client.observe(served, f"user-{child}", {"latency_ms": 900})
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    environment = {"PYTHONPATH": str(CLIENTS)}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(server.base_url)], check=True, timeout=60, env=environment
    )
    metrics = server.get("/metrics").text
    assert 'rampart_observations_total{outcome="accepted"} 2.0' in metrics
