"""Exports written in other ways than OTLP says: counted where it is clear what is meant, else refused by name."""

from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bot.http.otlp.json_values import find_schema_name
from tests.http.test_otlp import FLAG, counted, settle, span_json, start

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture
def application(running: Any, serve: Any, canary: Any) -> Any:
    found = start(running, serve, canary)
    running.wait(minutes=1)
    return found


def post(application: Any, path: str, content: Any) -> dict[str, Any]:
    """What a 200 says of an export in JSON: its partial success, empty if there is none."""
    answer = application.client.post(path, json=content)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json().get("partialSuccess", {})
    return said


def wrap(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def call(**more: Any) -> dict[str, Any]:
    """A span of a model's call that says whose it is, with 1,200 tokens of input."""
    return {**span_json(), **more}


def call_with(key: str, value: Any) -> dict[str, Any]:
    """The same with one attribute more, or another one in its place."""
    others = [one for one in span_json()["attributes"] if one["key"] != key]
    return call(attributes=[*others, {"key": key, "value": value}])


def name_as_schema(value: Any) -> Any:
    """The same JSON with OTLP's own names of fields, as protobuf's JSON writes them if asked to."""
    if isinstance(value, dict):
        return {find_schema_name(name): name_as_schema(one) for name, one in value.items()}
    return [name_as_schema(one) for one in value] if isinstance(value, list) else value


def in_other_ways() -> dict[str, Any]:
    began, ended = int(call()["startTimeUnixNano"]), int(call()["endTimeUnixNano"])
    nothing = {"parentSpanId": None, "events": None, "status": None, "kind": None, "flags": None}
    outer = {"resource_spans": [{"scopeSpans": [{"spans": [call()]}]}]}
    inner = {"resourceSpans": [{"scopeSpans": [{"spans": [name_as_schema(call())]}]}]}
    return {
        "names of the schema": name_as_schema(wrap(call())),
        "names of the schema outside": outer,
        "names of the schema inside": inner,
        "unknown fields": wrap(call(more={"of": ["this"]}, attributes=[*call()["attributes"], {"key": "a", "x": 1}])),
        "null": wrap(call(**nothing, attributes=[*call()["attributes"], {"key": "user.id", "value": None}])),
        "times as numbers": wrap(call(startTimeUnixNano=began, endTimeUnixNano=ended)),
        "times as floats": wrap(call(startTimeUnixNano=float(began), endTimeUnixNano=float(ended))),
        "kind by name": wrap(call(kind="SPAN_KIND_CLIENT")),
        "status by name": wrap(call(status={"code": "STATUS_CODE_OK"})),
        "no parent, as zeros": wrap(call(parentSpanId="0" * 16)),
        "a number of tokens as a float": wrap(call_with("gen_ai.usage.input_tokens", {"intValue": 1200.0})),
        "a number of tokens as a double": wrap(call_with("gen_ai.usage.input_tokens", {"doubleValue": 1200})),
        "a number of tokens as text": wrap(call_with("gen_ai.usage.input_tokens", {"stringValue": "1200"})),
        "a kind of value that is null": wrap(
            call_with("gen_ai.usage.input_tokens", {"stringValue": None, "intValue": 1200})
        ),
        "a unit that is a number": wrap(call_with("feature_flag.context.id", {"intValue": 17})),
    }


@pytest.mark.parametrize("shape", in_other_ways())
def test_what_can_be_read_counts_however_it_is_written(application: Any, shape: str) -> None:
    assert post(application, "/v1/traces", in_other_ways()[shape]) == {}
    settle(application.running, application.client)
    assert counted(application.running, "input_tokens") == (1, 1200)
    assert counted(application.running, "latency_p95") == (1, 2000)
    assert counted(application.running, "hard_error_rate") == (1, 0)


@pytest.mark.parametrize("code", [2, "2", 2.0, "STATUS_CODE_ERROR"])
def test_an_error_is_one_however_its_status_is_written(application: Any, code: Any) -> None:
    assert post(application, "/v1/traces", name_as_schema(wrap(call(status={"code": code})))) == {}
    settle(application.running, application.client)
    assert counted(application.running, "hard_error_rate") == (1, 1)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a status of another kind": (call(status={"code": "ERROR"}), "the status of a span"),
    "a status that is a word": (call(status="error"), "the status of a span"),
    "ids in base64": (
        call(traceId=b64encode(bytes(range(16))).decode(), spanId=b64encode(bytes(range(8))).decode()),
        "32 hexadecimal digits",
    ),
    "a parent in base64": (call(parentSpanId=b64encode(bytes(range(8))).decode()), "the id of a span's parent"),
    "a time in milliseconds": (call(startTimeUnixNano=1_795_521_780_000), "nanoseconds since 1970"),
    "a time as a date": (call(startTimeUnixNano="2026-11-24T12:03:00Z"), "nanoseconds since 1970"),
}


@pytest.mark.parametrize("shape", REFUSED)
def test_a_span_that_cannot_be_read_is_rejected_by_name(application: Any, shape: str) -> None:
    span, why = REFUSED[shape]
    said = post(application, "/v1/traces", wrap(span, call(spanId="ab" * 8, traceId="cd" * 16)))
    assert said["rejectedSpans"] == "1"
    assert why in said["errorMessage"]
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1), "the other one counts"


def test_protobufs_own_json_is_told_that_its_ids_are_of_another_kind(application: Any) -> None:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    span.start_time_unix_nano = span.end_time_unix_nano = int(call()["startTimeUnixNano"])
    for keep in (True, False):
        said = post(application, "/v1/traces", MessageToDict(message, preserving_proto_field_name=keep))
        assert said["rejectedSpans"] == "1"
        assert "hexadecimal" in said["errorMessage"]


def test_an_attribute_whose_value_names_no_kind_is_refused(application: Any) -> None:
    plain = {"key": "feature_flag.key", "value": "support-assistant"}
    bodies = {
        "/v1/traces": wrap(call(attributes=[plain])),
        "/v1/logs": {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": [plain]}]}]}]},
        "/v1/metrics": {"resourceMetrics": [{"resource": {"attributes": [plain]}}]},
    }
    for path, body in bodies.items():
        answer = application.client.post(path, json=body)
        assert answer.status_code == 400
        assert '"feature_flag.key" must be an object that names its kind' in answer.json()["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rampart.metric.cost_per_request", {"stringValue": "0.25"}),
        ("rampart.metric.cost_per_request", {"doubleValue": "NaN"}),
        ("rampart.metric.cost_per_request.share", {"doubleValue": 1}),
        ("rampart.varient", {"stringValue": "canary"}),
    ],
)
def test_an_attribute_of_ours_that_cannot_be_read_is_named_and_the_span_counts(
    application: Any, name: str, value: Any
) -> None:
    for _ in range(2):
        said = post(application, "/v1/traces", wrap(call_with(name, value)))
        assert said["rejectedSpans"] == "0"
        assert f"{name} is not read" in said["errorMessage"]
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)
    assert counted(application.running, "cost_per_request") == (0, 0)


def rename(body: Any, old: str, new: str) -> Any:
    return orjson.loads(orjson.dumps(body).replace(f'"{old}":'.encode(), f'"{new}":'.encode()))


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/traces", {"spans": [call()]}, "spans is not read"),
        ("/v1/traces", rename(wrap(call()), "resourceSpans", "resourceLogs"), "resourceLogs is not read"),
        (
            "/v1/traces",
            rename(wrap(call()), "scopeSpans", "instrumentationLibrarySpans"),
            "instrumentationLibrarySpans",
        ),
        ("/v1/traces", rename(wrap(call()), "spans", "span"), "span is not read"),
        ("/v1/logs", wrap(call()), "resourceSpans is not read"),
        ("/v1/metrics", wrap(call()), "resourceSpans is not read"),
        ("/v1/metrics", {"resourceMetrics": [{"scopeMetrics": [{"metric": []}]}]}, "metric is not read"),
        ("/v1/metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "clicks"}]}]}]}, "clicks is not"),
    ],
)
def test_an_export_in_which_nothing_is_found_is_answered_with_what_stands_there(
    application: Any, path: str, body: Any, named: str
) -> None:
    said = post(application, path, body)
    assert named in said["errorMessage"]


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
def test_an_export_of_nothing_is_taken_without_a_word(application: Any, path: str) -> None:
    signal = {"/v1/traces": "Spans", "/v1/logs": "Logs", "/v1/metrics": "Metrics"}[path]
    empty = {"resource": {}, "schemaUrl": "x"}
    for of_resource in ([], [empty], [{**empty, f"scope{signal}": [{"scope": {"name": "app"}}]}]):
        assert post(application, path, {f"resource{signal}": of_resource}) == {}
    assert post(application, path, {}) == {}
    answer = application.client.post(path, content=b"", headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")


def encode_unknown() -> bytes:
    """Spans, logs or metrics where SDKs had them before July 2022: field 1000 of a resource."""
    return b"\x0a\x05" + b"\xc2\x3e\x02\x12\x00"


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
def test_a_protobuf_export_in_which_nothing_is_found_is_answered_so(application: Any, path: str) -> None:
    answer = application.client.post(path, content=encode_unknown(), headers=PROTOBUF)
    assert answer.status_code == 200
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success  # the three have the same fields
    assert said.rejected_spans == 0
    assert "an SDK from before July 2022" in said.error_message


def in_protobuf(change: Callable[[Any], None]) -> bytes:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    span.start_time_unix_nano, span.end_time_unix_nano = (
        int(call()["startTimeUnixNano"]),
        int(call()["endTimeUnixNano"]),
    )
    for key, value in {**FLAG, "gen_ai.operation.name": "chat"}.items():
        span.attributes.add(key=key).value.string_value = value
    change(span)
    encoded: bytes = message.SerializeToString()
    return encoded


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("trace_id", bytes(16), "a trace id of 16 bytes"),
        ("span_id", bytes(8), "a span id of 8"),
        ("parent_span_id", b"short", "parent has 8 bytes"),
        ("start_time_unix_nano", 1_795_521_780_000, "nanoseconds since 1970"),
    ],
)
def test_a_span_of_protobuf_that_cannot_be_placed_is_rejected(
    application: Any, field: str, value: Any, why: str
) -> None:
    body = in_protobuf(lambda span: setattr(span, field, value))
    answer = application.client.post("/v1/traces", content=body, headers=PROTOBUF)
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert said.rejected_spans == 1
    assert why in said.error_message


def test_a_parent_of_zeros_is_none(application: Any) -> None:
    body = in_protobuf(lambda span: setattr(span, "parent_span_id", bytes(8)))
    assert application.client.post("/v1/traces", content=body, headers=PROTOBUF).content == b""
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)


def log(**more: Any) -> dict[str, Any]:
    """A judge's result that says whose it is."""
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in FLAG.items()]
    attributes.append({"key": "gen_ai.evaluation.score.label", "value": {"stringValue": "pass"}})
    at = span_json()["startTimeUnixNano"]
    return {"eventName": "gen_ai.evaluation.result", "timeUnixNano": at, "attributes": attributes, **more}


def wrap_logs(*records: Any) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}


@pytest.mark.parametrize("write", [deepcopy, name_as_schema], ids=["camel", "schema"])
@pytest.mark.parametrize("trace_id", [None, "", "0" * 32, "xyz", "dHJhY2U="])
def test_a_log_that_says_whose_it_is_needs_no_trace(application: Any, write: Any, trace_id: Any) -> None:
    assert post(application, "/v1/logs", write(wrap_logs(log(traceId=trace_id)))) == {}
    settle(application.running, application.client)
    assert counted(application.running, "eval_pass_rate") == (1, 1)


def test_a_log_whose_trace_cannot_be_read_is_rejected_if_it_says_nothing_else(application: Any) -> None:
    nobody = log(attributes=log()["attributes"][-1:])
    said = post(application, "/v1/logs", wrap_logs({**nobody, "traceId": "dHJhY2U="}))
    assert said["rejectedLogRecords"] == "1"
    assert "the trace id of a log" in said["errorMessage"]
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add(trace_id=b"short", time_unix_nano=2 * 10**18)
    record.event_name = "gen_ai.evaluation.result"
    answer = application.client.post("/v1/logs", content=message.SerializeToString(), headers=PROTOBUF)
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (said.rejected_spans, "the trace id of a log" in said.error_message) == (1, True)


@pytest.mark.parametrize("at", [None, "", 1_795_521_780, "2026-11-24T12:03:00Z"])
def test_a_log_outside_of_a_trace_needs_its_time(application: Any, at: Any) -> None:
    said = post(application, "/v1/logs", wrap_logs(log(timeUnixNano=at)))
    assert said["rejectedLogRecords"] == "1"
    assert "needs its time" in said["errorMessage"]


def wrap_points(*points: Any, name: str = "rampart.metric.thumbs_down_rate", **metric: Any) -> dict[str, Any]:
    data = {"dataPoints": points}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": name, "gauge": data, **metric}]}]}]}


def point(**value: Any) -> dict[str, Any]:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in FLAG.items()]
    return {"timeUnixNano": span_json()["startTimeUnixNano"], "attributes": attributes, **value}


def points_in_other_ways() -> dict[str, Any]:
    return {
        "names of the schema": name_as_schema(wrap_points(point(asDouble=1))),
        "a number as text": wrap_points(point(asDouble="1")),
        "a whole number as a float": wrap_points(point(asInt=1.0)),
        "a kind that is null": wrap_points(point(asDouble=1), sum=None, histogram=None),
        "a number that is null": wrap_points(point(asInt=None, asDouble=1)),
    }


def sums_in_other_ways() -> dict[str, Any]:
    complaints = "rampart.metric.complaint_rate"
    delta = {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [point(asInt="1")]}
    return {
        "names and numbers of enumerations": name_as_schema(wrap_points(name=complaints, gauge=None, sum=delta)),
        "their numbers as text": wrap_points(name=complaints, gauge=None, sum={**delta, "aggregationTemporality": "1"}),
    }


@pytest.mark.parametrize("shape", points_in_other_ways())
def test_a_point_that_can_be_read_counts_however_it_is_written(application: Any, shape: str) -> None:
    assert post(application, "/v1/metrics", points_in_other_ways()[shape]) == {}
    assert counted(application.running, "thumbs_down_rate") == (1, 1)


@pytest.mark.parametrize("shape", sums_in_other_ways())
def test_a_sum_of_events_counts_however_it_is_written(application: Any, shape: str) -> None:
    assert post(application, "/v1/metrics", sums_in_other_ways()[shape]) == {}
    assert counted(application.running, "complaint_rate") == (1, 1)


@pytest.mark.parametrize("metric", ["cost_per_request", "thumbs_down_rate", "latency_ms", "one_of_our_own"])
def test_a_sum_over_requests_is_no_reading_of_one(application: Any, metric: str) -> None:
    """What three requests cost in the time between two exports is not what a request costs."""
    added = {"aggregationTemporality": 1, "dataPoints": [point(asDouble=0.03)]}
    said = post(application, "/v1/metrics", wrap_points(name=f"rampart.metric.{metric}", gauge=None, sum=added))
    assert said["rejectedDataPoints"] == "1"
    assert "adds up requests and does not say how many" in said["errorMessage"]
    assert counted(application.running, metric) == (0, 0)


def test_a_gauge_that_is_exported_again_is_the_same_reading(everywhere: Any, serve: Any, canary: Any) -> None:
    """SDKs of Go, Java and JavaScript export the last value again and again, each time with the time of the export."""
    canary(everywhere)
    client = serve(everywhere)
    for export in range(5):
        for name, value in (("thumbs_down_rate", 1.0), ("cost_per_request", 0.02 if export < 4 else 0.03)):
            at = {"timeUnixNano": str(int(everywhere.now().timestamp() * 1e9))}
            content = wrap_points({**point(asDouble=value), **at}, name=f"rampart.metric.{name}")
            answer = client.post("/v1/metrics", json=content)
            assert answer.status_code == 200
            assert not answer.json(), "it is no mistake of the exporter's"
        everywhere.wait(seconds=10)
    assert counted(everywhere, "thumbs_down_rate") == (1, 1)
    assert counted(everywhere, "cost_per_request") == (2, 0.05)
    assert counted(everywhere, "duplicate_items") == (0, 0)


def test_points_of_a_metric_without_a_kind_are_not_read(application: Any) -> None:
    unnamed = {"": {"dataPoints": [point(asDouble=1)]}}
    said = post(application, "/v1/metrics", wrap_points(gauge=None, **unnamed))
    assert said["rejectedDataPoints"] == "0"
    assert said["errorMessage"] == "rampart.metric.thumbs_down_rate is not read: it has neither a gauge nor a sum"


@pytest.mark.parametrize("value", [{"asDouble": "NaN"}, {"asInt": "a"}, {"asInt": 1.5}, {"asInt": True}, {"value": 1}])
def test_a_point_without_a_number_is_rejected(application: Any, value: Any) -> None:
    said = post(application, "/v1/metrics", wrap_points(point(**value)))
    assert said["rejectedDataPoints"] == "1"
    assert "its value a finite number" in said["errorMessage"]


def test_a_metric_of_protobuf_whose_name_is_not_utf8_is_rejected_and_the_others_count(application: Any) -> None:
    message = ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    for name in ("rampart.metric.BAD!", "rampart.metric.thumbs_down_rate"):
        data = metrics.add(name=name).gauge.data_points.add(
            as_double=1, time_unix_nano=int(call()["startTimeUnixNano"])
        )
        for key, value in FLAG.items():
            data.attributes.add(key=key).value.string_value = value
    body = message.SerializeToString().replace(b"BAD!", b"B\xff\xfe!")
    answer = application.client.post("/v1/metrics", content=body, headers=PROTOBUF)
    assert answer.status_code == 200
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    assert counted(application.running, "thumbs_down_rate") == (1, 1)
