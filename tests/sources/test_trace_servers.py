"""Traces of a real MLflow and a real Arize Phoenix, written by their own clients. `make test-traces` installs them."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from bot.cli.root import app
from bot.jobs.pulling.source_pulls import SourcePuller
from core.judging.model.evidence import CellKey
from core.rollout import commands as c
from core.store.database.connections import Database
from core.store.observations import pulled_sums
from tests.http.conftest import SURFACE, Running, running_on
from tests.real_servers import find_program, start_server, stop_server
from tests.sources.conftest import pushed
from tests.sources.test_traces import LIMITS, LOOPBACK

ROOT = Path(__file__).parents[2]

SOURCES = {
    "mlflow": """
sources:
  - name: traces
    every: 1m
    mlflow:
      url: SOURCE_TRACES_URL
      project: "{project}"
      rows: requests
      unit: user
      exposure: tag.exposure
      segments: {{language: tag.language}}
      metrics:
        latency_ms: latency_ms
        cost_per_request: metadata.cost
        hard_error_rate: error
        eval_pass_rate: score.correct
""",
    "phoenix": """
sources:
  - name: traces
    every: 1m
    phoenix:
      url: SOURCE_TRACES_URL
      project: "{project}"
      rows: requests
      unit: user
      exposure: metadata.exposure
      segments: {{language: metadata.language}}
      metrics: {{latency_ms: latency_ms, cost_per_request: cost, hard_error_rate: error, eval_pass_rate: score.correct}}
""",
}
"""What a file says of each system."""

Request = Mapping[str, Any]
"""A request: its number, user, exposure, language, cost and whether it failed."""


@dataclass(frozen=True, slots=True)
class TraceServer:
    """A system that keeps traces. `write` stores requests and gives the ids by which `score` knows them."""

    system: str
    url: str
    project: str
    write: Callable[[Sequence[Request]], list[str]]
    score: Callable[[Mapping[str, bool]], None]


_WRITE_MLFLOW = """
import json, mlflow, sys
from mlflow.entities import SpanStatusCode
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("assistant")
asked = json.load(sys.stdin)
ids = []
for one in asked.get("requests", ()):
    with mlflow.start_span("answer") as span:
        mlflow.update_current_trace(
            tags={"exposure": one["exposure"], "language": one["language"]},
            metadata={"mlflow.trace.user": one["user"], "cost": str(one["cost"])},
            client_request_id=one["id"],
        )
        span.set_status("ERROR" if one["failed"] else "OK")
    ids.append(span.trace_id)
mlflow.flush_trace_async_logging()
for trace, value in asked.get("scores", {}).items():
    mlflow.log_feedback(trace_id=trace, name="correct", value=value)
print("\\n" + json.dumps(ids))
"""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TraceServer]:
    program = find_program("mlflow", "mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    process, url = start_server(
        folder,
        [
            program, "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        ],
        {},
    )  # fmt: skip

    def score(scores: Mapping[str, bool]) -> None:
        run({"scores": dict(scores)})

    def run(asked: Mapping[str, Any]) -> list[str]:
        python = str(Path(program).with_name("python"))
        made = subprocess.run(
            [python, "-c", _WRITE_MLFLOW, url], input=json.dumps(asked), capture_output=True, text=True, cwd=folder
        )
        assert made.returncode == 0, made.stderr
        found: list[str] = json.loads(made.stdout.strip().splitlines()[-1])
        return found

    try:
        run({})
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            asked = {"experiment_name": "assistant"}
            answer = client.get("/api/2.0/mlflow/experiments/get-by-name", params=asked).json()
        yield TraceServer(
            "mlflow",
            url,
            answer["experiment"]["experiment_id"],
            lambda requests: run({"requests": list(requests)}),
            score,
        )
    finally:
        stop_server(process)


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TraceServer]:
    folder = tmp_path_factory.mktemp("phoenix")
    environ = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": "0",
        "PHOENIX_GRPC_PORT": "0",
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    process, url = start_server(folder, [find_program("phoenix", "phoenix"), "serve"], environ)
    client = httpx.Client(base_url=url, trust_env=False, timeout=60)
    client.post("/v1/projects", json={"name": "assistant"}).raise_for_status()
    written: list[str] = []

    def write(requests: Sequence[Request]) -> list[str]:
        spans, ids = [], []
        for one in requests:
            trace, at = f"{len(written) + 1:032x}", datetime.now(UTC)
            ids.append(trace[16:])
            written.append(trace)
            root = {
                "name": "answer",
                "context": {"trace_id": trace, "span_id": trace[16:]},
                "span_kind": "CHAIN",
                "parent_id": None,
                "start_time": at.isoformat(),
                "end_time": (at + timedelta(milliseconds=900)).isoformat(),
                "status_code": "ERROR" if one["failed"] else "OK",
                "status_message": "",
                "attributes": {
                    "user.id": one["user"],
                    "llm.cost.total": one["cost"],
                    "metadata": {"exposure": one["exposure"], "language": one["language"]},
                },
            }
            within = {"context": {"trace_id": trace, "span_id": f"f{trace[17:]}"}, "parent_id": trace[16:]}
            spans += [root, {**root, **within, "name": "call", "span_kind": "LLM", "attributes": {}}]
        client.post("/v1/projects/assistant/spans", json={"data": spans}).raise_for_status()
        until = time.monotonic() + 60
        while time.monotonic() < until:  # it stores what it has taken a moment later
            asked = {"limit": 1000, "parent_id": "null"}
            if len(client.get("/v1/projects/assistant/spans", params=asked).json()["data"]) == len(written):
                return ids
        raise AssertionError("the spans did not appear")

    def score(scores: Mapping[str, bool]) -> None:
        data = [
            {"span_id": one, "name": "correct", "annotator_kind": "CODE", "result": {"score": float(value)}}
            for one, value in scores.items()
        ]
        client.post("/v1/span_annotations", params={"sync": "true"}, json={"data": data}).raise_for_status()

    try:
        yield TraceServer("phoenix", url, "assistant", write, score)
    finally:
        client.close()
        stop_server(process)


@pytest.fixture(params=["mlflow", "phoenix"])
def server(request: pytest.FixtureRequest) -> TraceServer:
    found: TraceServer = request.getfixturevalue(request.param)
    return found


def count(running: Running, metric: str, arm: str) -> tuple[float, float]:
    cell = pushed(running).cells.get(CellKey(stage=0, arm=arm, segment="", metric=metric))
    return (float(cell.weight.sum()), float(cell.value.sum())) if cell else (0.0, 0.0)


def test_traces_of_the_real_thing_count_once_with_the_scores_that_come_later(
    server: TraceServer, sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = running_on(sqlite_database)
    running.clock[0] = datetime.now(UTC) - timedelta(seconds=5)
    file = SURFACE + SOURCES[server.system].format(project=server.project)
    running.apply(file)
    running.apply(LIMITS)
    running.do(c.Start())
    requests = [
        {
            "id": f"{server.system}-{number}",
            "user": f"user-{number % 40}",
            "exposure": f"R-1.0.{'canary' if number % 3 == 0 else 'control'}",
            "language": "de" if number % 2 else "fr",
            "cost": 0.25,
            "failed": number % 10 == 0,
        }
        for number in range(120)
    ]
    ids = server.write(requests)
    source = SourcePuller(running.service, {"SOURCE_TRACES_URL": server.url}, LOOPBACK)

    def pull() -> None:
        # The rollout's clock goes on by whole minutes, as pulls are made once in each of them.
        running.wait(minutes=max(1, 1 + (datetime.now(UTC) - running.now()) // timedelta(minutes=1)))
        assert source.pull_due(running.now()) == 1
        with running.service.database.reading() as connection:
            assert pulled_sums.load_state(connection, "R-1", "traces").failure == ""

    pull()
    assert count(running, "requests", "canary") == (40, 40)
    assert count(running, "requests", "control") == (80, 80)
    assert count(running, "hard_error_rate", "canary") == (40, 4)
    assert count(running, "cost_per_request", "control") == (80, 20)
    assert count(running, "latency_p95", "control")[0] == 80
    assert count(running, "eval_pass_rate", "canary") == (0, 0)
    server.score({one: number % 3 == 0 for number, one in enumerate(ids) if number < 30})
    pull()
    pull()
    assert count(running, "eval_pass_rate", "canary") == (10, 10)
    assert count(running, "eval_pass_rate", "control") == (20, 0)
    assert count(running, "requests", "control") == (80, 80)

    path = tmp_path / "surface.yaml"
    path.write_text(file, encoding="utf-8")
    monkeypatch.setenv("SOURCE_TRACES_URL", server.url)
    monkeypatch.setenv("ALLOW_PRIVATE_HOSTS", "127.0.0.1")
    said = CliRunner().invoke(app, ["sources", "check", str(path)]).output
    assert f"traces ({server.system}), every 1 min\n  120 traces of the last 24 h; the newest is " in said
    assert "  sides: R-1.0.control 80, R-1.0.canary 40\n  segment language: " in said
    assert "  eval_pass_rate: score.correct, 75% without\n" in said
