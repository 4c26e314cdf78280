"""Real instrumentations of calls to models, by the real exporter: one request each. `make test-instrumentations`."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.judging.model.evidence import CATEGORY_PREFIX
from tests.http.instrumentations.expected import EXPECTED, INSTRUMENTATIONS
from tests.http.instrumentations.model_server import serve_models
from tests.http.instrumentations.recording import describe, read_recording, write_as_json, write_recording
from tests.http.instrumentations.running_application import RunningApplication, run_application
from tests.http.test_otlp import settle, sums

READINGS = {"latency_p95": "latency_ms", "ttft_p95": "ttft_ms"}
"""What an observation calls a cell."""
ALSO = frozenset({"requests", "latency_p50", "latency_p95>4000"})
"""Cells that follow from others."""


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    with serve_models() as url:
        yield url


@pytest.fixture(scope="module", params=INSTRUMENTATIONS)
def application(request: pytest.FixtureRequest, models: str) -> Iterator[RunningApplication]:
    with run_application(request.param, models) as running:
        yield running


@pytest.fixture
def rampart(running: Any, serve: Any, canary: Any, rollout_file: str) -> Any:
    """A running Rampart in the canary stage of a rollout that compares by model, at the present time."""
    running.clock[0] = datetime.now(UTC) - timedelta(minutes=4)
    client = serve(running)
    canary(running, rollout_file.replace("segments: [language]", "segments: [model]"))
    running.clock[0] = datetime.now(UTC)
    return running, client


def ask(rampart: Any, application: RunningApplication, request: str) -> bytes:
    """Send a request to the application, and let Rampart count what is reported of it."""
    running, client = rampart
    exported = application.request(request, "user-1", str(client.base_url).rstrip("/"))
    running.clock[0] = datetime.now(UTC)
    settle(running, client)
    return exported


def read_counted(rampart: Any, segment: str = "") -> dict[str, float]:
    """The readings of the new version's only request, by the names of observations."""
    cells = sums(rampart[0]).cells
    found = {key.metric: cell for key, cell in cells.items() if (key.arm, key.segment) == ("canary", segment)}
    assert all(cell.weight.sum() == 1 for cell in found.values())
    return {
        READINGS.get(name, name): float(cell.value.sum())
        for name, cell in found.items()
        if name not in ALSO and not name.startswith(CATEGORY_PREFIX)
    }


@pytest.mark.parametrize("request_name", EXPECTED)
def test_a_request_counts_once_with_what_the_instrumentation_tells(
    application: RunningApplication, rampart: Any, request_name: str
) -> None:
    name, expected = application.instrumentations, EXPECTED[request_name]
    exported = write_as_json(ask(rampart, application, request_name))
    counted = read_counted(rampart)
    if name in expected.unreported:
        assert counted == {}
        return
    metrics = expected.list_metrics(name)
    assert counted == pytest.approx({key: counted[key] if value is None else value for key, value in metrics.items()})
    assert 0 < counted.get("ttft_ms", 1) <= counted["latency_ms"]
    assert set(read_counted(rampart, f"model={expected.model}")) == (set(metrics) if expected.model else set())
    if os.environ.get("RECORD_EXPORTS"):
        write_recording(name, request_name, exported)
    said = (
        "another version says something else: look at it, then keep it by RECORD_EXPORTS=1 make test-instrumentations"
    )
    assert describe(exported) == describe(read_recording(name)[request_name]), said


def test_calls_that_several_instrumentations_report_count_once(models: str, rampart: Any) -> None:
    with run_application("genai,openinference,traceloop", models) as application:
        ask(rampart, application, "with_tool")
    assert read_counted(rampart)["llm_calls_per_request"] == 2
    assert read_counted(rampart)["input_tokens"] == EXPECTED["with_tool"].metrics["input_tokens"]
