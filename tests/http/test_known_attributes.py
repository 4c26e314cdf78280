"""Attributes of spans are read once for all that are alike, and nothing follows from one span for another."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bot.http.otlp import decode_json, decode_protobuf, json_values, known_attributes, protobuf_values
from bot.http.otlp.assemble_parts import PartCollector, decode_part
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import MalformedExport
from core.telemetry.metric_points import read_points

BEGAN = 1_795_521_780 * 10**9
FIELDS = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value"}


def in_protobuf(*spans: dict[str, Any]) -> bytes:
    message = ExportTraceServiceRequest()
    of_scope = message.resource_spans.add().scope_spans.add()
    for number, attributes in enumerate(spans, 1):
        span = of_scope.spans.add(
            trace_id=bytes(15) + b"\1",
            span_id=bytes(7) + bytes([number]),
            start_time_unix_nano=BEGAN,
            end_time_unix_nano=BEGAN + 1,
        )
        for key, value in attributes.items():
            setattr(span.attributes.add(key=key).value, FIELDS[type(value)], value)
    encoded: bytes = message.SerializeToString()
    return encoded


def in_json(*spans: dict[str, Any]) -> bytes:
    fields = {bool: "boolValue", str: "stringValue", int: "intValue", float: "doubleValue"}
    written = [
        {
            "traceId": f"{1:032x}",
            "spanId": f"{number:016x}",
            "startTimeUnixNano": str(BEGAN),
            "endTimeUnixNano": str(BEGAN + 1),
            "attributes": [{"key": key, "value": {fields[type(value)]: value}} for key, value in attributes.items()],
        }
        for number, attributes in enumerate(spans, 1)
    ]
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": written}]}]})


ENCODINGS: dict[str, tuple[Callable[..., bytes], Callable[..., PartCollector], Callable[..., Any]]] = {
    "protobuf": (in_protobuf, decode_protobuf.decode_traces, protobuf_values.read_pair),
    "json": (in_json, decode_json.decode_traces, json_values.read_pair),
}


def read(collected: PartCollector) -> list[dict[str, Any]]:
    parts = [decode_part(part.trace, part.part) for part in collected.build_parts()]
    return [dict(span.facts) for part in parts for span in part.spans]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_known_says_what_it_said_the_first_time(encoding: str) -> None:
    encode, decode, read_pair = ENCODINGS[encoding]
    asked: list[bytes] = []
    known = KnownAttributes(lambda encoded: (asked.append(encoded), read_pair(encoded))[1])
    one = {
        "feature_flag.key": "support",
        "server.port": 443,
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.response.finish_reasons": "Stop",
        "http.request.header.baggage": "feature_flag.key=other,feature_flag.context.id=u%201",
    }
    expected = {
        "surface": "support",
        "step": "model",
        "input_tokens": 12,
        "first_chunk_ms": 250.0,
        "finish_reasons": ["stop"],
        "unit": "u 1",
    }
    for _ in range(2):
        assert read(decode(encode(one, one), known)) == [expected, expected]
    assert len(asked) == len(one), "each was read once"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_applications_own_readings_stay_with_their_span(encoding: str) -> None:
    encode, decode, read_pair = ENCODINGS[encoding]
    known = KnownAttributes(read_pair)
    ratio = {"rampart.metric.helped.numerator": 1, "rampart.metric.helped.denominator": 2}
    spans = [{"rampart.metric.clicks": 1, **ratio}, {"rampart.metric.clicks": 1}, {"rampart.segment.plan": "paid"}]
    expected = [
        {"metrics": {"clicks": 1, "helped": {"numerator": 1, "denominator": 2}}},
        {"metrics": {"clicks": 1}},
        {"segments": {"plan": "paid"}},
    ]
    for _ in range(2):
        assert read(decode(encode(*spans), known)) == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_few_are_kept_and_none_that_are_long(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_attributes, "MAX_KNOWN", 3)
    encode, decode, read_pair = ENCODINGS[encoding]
    known = KnownAttributes(read_pair)
    for number in range(10):
        unit = f"user-{number}"
        assert read(decode(encode({"user.id": unit}), known)) == [{"user": unit}]
        assert len(known._known) <= 3
    long = "x" * known_attributes.MAX_LENGTH
    assert read(decode(encode({"user.id": long}), known)) == [{"user": long}]
    assert all(len(encoded) <= known_attributes.MAX_LENGTH for encoded in known._known)


def test_an_attribute_that_cannot_be_read_fails_its_export() -> None:
    good = in_protobuf({"feature_flag.key": "support"})
    broken = good.replace(b"\x12\x09", b"\x12\x7f")
    assert broken != good
    with pytest.raises(MalformedExport):
        decode_protobuf.decode_traces(broken, KnownAttributes(protobuf_values.read_pair))


def put_everywhere(text: str, attributes: Any, span: Any) -> None:
    """The text wherever an export of protobuf may have one."""
    for name in (text, "feature_flag.key", "feature_flag.context.id", "exception.type", "note"):
        attributes.add(key=name).value.string_value = text
    attributes.add(key="gen_ai.response.finish_reasons").value.array_value.values.add().string_value = text
    if span is not None:
        span.name = span.trace_state = span.status.message = text
        event = span.events.add(name=text)
        event.attributes.add(key="a").value.string_value = text
        said = span.events.add(name="exception")
        said.attributes.add(key="exception.message").value.string_value = text
        said.attributes.add(key="exception.type").value.string_value = "Timeout"
        span.links.add(trace_state=text).attributes.add(key="a").value.string_value = text


def test_one_text_that_is_not_utf8_keeps_nothing_else_from_being_read() -> None:
    """Instrumentations in C++, Go and Rust pass on what they were given."""
    message = ExportTraceServiceRequest()
    of_resource = message.resource_spans.add(schema_url="BAD!")
    put_everywhere("BAD!", of_resource.resource.attributes, None)
    of_resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    of_scope = of_resource.scope_spans.add(schema_url="BAD!")
    of_scope.scope.name = of_scope.scope.version = "BAD!"
    span = of_scope.spans.add(trace_id=bytes(15) + b"\1", span_id=bytes(7) + b"\1", start_time_unix_nano=BEGAN, kind=3)
    span.end_time_unix_nano = BEGAN + 1
    put_everywhere("BAD!", span.attributes, span)
    span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    body = message.SerializeToString().replace(b"BAD!", b"B\xff\xfe!")
    known = KnownAttributes(protobuf_values.read_pair)
    for _ in range(2):
        collected = decode_protobuf.decode_traces(body, known)
        assert (collected.kept, collected.rejected) == (1, 0)
        (part,) = [decode_part(part.trace, part.part) for part in collected.build_parts()]
        assert (part.resource, part.spans[0].facts) == (
            {"service": "shop"},
            {"step": "model", "exception_type": "Timeout"},
        )


def test_one_log_that_is_not_utf8_keeps_no_other_from_being_read() -> None:
    message = ExportLogsServiceRequest()
    of_scope = message.resource_logs.add().scope_logs.add()
    for _ in range(2):
        record = of_scope.log_records.add(severity_text="BAD!", event_name="BAD!", time_unix_nano=BEGAN)
        record.body.string_value = "BAD!"
        put_everywhere("BAD!", record.attributes, None)
    said = of_scope.log_records.add(event_name="gen_ai.evaluation.result", time_unix_nano=BEGAN)
    said.body.string_value = "BAD!"
    said.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.5
    collected = decode_protobuf.decode_logs(message.SerializeToString().replace(b"BAD!", b"B\xff\xfe!"))
    assert (collected.count, collected.kept, collected.rejected) == (3, 1, 0)


HALF = r"\ud83d"


@pytest.mark.parametrize("half", [HALF, r"\uDE00", HALF + HALF, HALF + r"\u0041", r"\\\\" + HALF])
def test_half_an_emoji_in_json_keeps_nothing_else_from_being_read(half: str) -> None:
    """What JavaScript writes of a text that was cut in the middle of one."""
    body = in_json(
        {"feature_flag.key": "HALF", "user.id": r"a \ud83d"}, {"feature_flag.key": "support", "note": "HALF"}
    )
    body = body.replace(b'"traceId"', b'"name":"HALF","traceId"').replace(b"HALF", half.encode())
    known = KnownAttributes(json_values.read_pair)
    for _ in range(2):
        found = read(decode_json.decode_traces(body, known))
        assert found[1] == {"surface": "support"}
        assert found[0]["surface"].endswith(("\ufffd", "\ufffdA"))
        assert found[0]["user"] == r"a \ud83d", "a backslash that is one"
    whole = in_json({"feature_flag.key": "EMOJI"}).replace(b"EMOJI", rb"\ud83d\uDE00")
    assert json_values.replace_lone_surrogates(whole) == whole


@pytest.mark.parametrize(
    "attributes",
    ['{"key": "a"}', "[7]", '["a"]', "7", '[{"key": "a", "value": {"arrayValue": }}]'],
)
def test_attributes_in_json_are_a_list_of_objects(attributes: str) -> None:
    body = in_json({}).replace(b'"attributes":[]', f'"attributes":{attributes}'.encode())
    assert attributes.encode() in body
    with pytest.raises(MalformedExport):
        decode_json.decode_traces(body, KnownAttributes(json_values.read_pair))


def test_one_point_that_is_not_utf8_keeps_no_other_from_being_read() -> None:
    message = ExportMetricsServiceRequest()
    of_resource = message.resource_metrics.add(schema_url="BAD!")
    put_everywhere("BAD!", of_resource.resource.attributes, None)
    of_scope = of_resource.scope_metrics.add(schema_url="BAD!")
    wrong = of_scope.metrics.add(name="rampart.metric.BAD!", unit="BAD!", description="BAD!")
    wrong.gauge.data_points.add(as_double=1, time_unix_nano=BEGAN)
    metric = of_scope.metrics.add(name="rampart.metric.thumbs_up_rate", unit="BAD!", description="BAD!")
    for unit in ("user-1", "BAD!"):
        point = metric.gauge.data_points.add(as_double=1, time_unix_nano=BEGAN)
        put_everywhere("BAD!", point.exemplars.add().filtered_attributes, None)
        point.attributes.add(key="note").value.string_value = "BAD!"
        point.attributes.add(key="feature_flag.key").value.string_value = "support"
        point.attributes.add(key="feature_flag.context.id").value.string_value = unit
    read = read_points(decode_protobuf.decode_metrics(message.SerializeToString().replace(b"BAD!", b"B\xff\xfe!")))
    assert [(item["unit"], item["metrics"]) for item in read.items] == [("user-1", {"thumbs_up_rate": 1.0})]
    assert read.rejected == 2
    assert any("feature_flag.context.id" in reason for reason in read.reasons)
