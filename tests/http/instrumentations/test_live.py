"""Real instrumentations of calls to models, by the real exporter: one request each. `make test-instrumentations`."""

import os
from collections.abc import Iterator

import pytest

from tests.http.instrumentations.expected import EXPECTED, INSTRUMENTATIONS
from tests.http.instrumentations.recording import describe, read_recording, write_as_json, write_recording
from tests.http.instrumentations.running_application import RunningApplication, run_application
from tests.http.instrumentations.running_rampart import RunningRampart


@pytest.fixture(scope="module", params=INSTRUMENTATIONS)
def application(request: pytest.FixtureRequest, models: str) -> Iterator[RunningApplication]:
    with run_application(request.param, models) as running:
        yield running


@pytest.mark.parametrize("request_name", EXPECTED)
def test_a_request_counts_once_with_what_the_instrumentation_tells(
    application: RunningApplication, rampart: RunningRampart, request_name: str
) -> None:
    name, expected = application.instrumentations, EXPECTED[request_name]
    exported = write_as_json(rampart.ask(application, request_name))
    counted = rampart.read_counted()
    if name in expected.unreported:
        assert counted == {}
        return
    metrics = expected.list_metrics(name)
    assert counted == pytest.approx({key: counted[key] if value is None else value for key, value in metrics.items()})
    assert 0 < counted.get("ttft_ms", 1) <= counted["latency_ms"]
    assert set(rampart.read_counted(f"model={expected.model}")) == (set(metrics) if expected.model else set())
    if os.environ.get("RECORD_EXPORTS"):
        write_recording(name, request_name, exported)
    said = (
        "another version says something else: look at it, then keep it by RECORD_EXPORTS=1 make test-instrumentations"
    )
    assert describe(exported) == describe(read_recording(name)[request_name]), said


def test_calls_that_several_instrumentations_report_count_once(models: str, rampart: RunningRampart) -> None:
    with run_application("genai,openinference,traceloop", models) as application:
        rampart.ask(application, "with_tool")
    assert rampart.read_counted()["llm_calls_per_request"] == 2
    assert rampart.read_counted()["input_tokens"] == EXPECTED["with_tool"].metrics["input_tokens"]
