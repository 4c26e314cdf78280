"""The same from JavaScript, whose exporters send JSON or protobuf. `make test-instrumentations`."""

import pytest

from tests.http.instrumentations.expected import COST
from tests.http.instrumentations.model_server import CACHED, INPUT, OUTPUT
from tests.http.instrumentations.running_application import run_javascript
from tests.http.instrumentations.running_rampart import RunningRampart

ANSWERED = {
    "hard_error_rate": 0,
    "llm_calls_per_request": 1,
    "moderation_flag_rate": 0,
    "truncation_rate": 0,
}
USED = {"input_tokens": INPUT, "output_tokens": OUTPUT}
COST_WITHOUT_CACHE = (INPUT * 2.5 + OUTPUT * 10) / 1e6
EXPECTED = {
    "answer": {
        "traceloop": {**ANSWERED, **USED, "cost_per_request": COST_WITHOUT_CACHE, "refusal_rate": 0},
        "openinference": {**ANSWERED, **USED, "cost_per_request": COST, "cache_hit_rate": CACHED / INPUT},
    },
    "streamed": {"traceloop": {**ANSWERED, "refusal_rate": 0}, "openinference": ANSWERED},
    # Neither reports a call that failed. The application's span says that it is an agent's, so the request counts.
    "failed": {"traceloop": {"hard_error_rate": 1}, "openinference": {"hard_error_rate": 1}},
}
"""Readings beside times, by request and instrumentation."""


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("instrumentation", ["traceloop", "openinference"])
@pytest.mark.parametrize("request_name", EXPECTED)
def test_a_request_in_javascript_counts_once(
    models: str, rampart: RunningRampart, request_name: str, instrumentation: str, encoding: str
) -> None:
    with run_javascript(instrumentation, encoding, models) as application:
        rampart.ask(application, request_name)
    counted = rampart.read_counted()
    assert counted.pop("latency_ms") > 0
    assert counted.pop("tool_time") == 0
    assert counted == pytest.approx(EXPECTED[request_name][instrumentation])
