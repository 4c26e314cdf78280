"""Attributes of spans are read once for all that are alike, and nothing follows from one span for another."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bot.http.otlp import decode_json, decode_protobuf, known_attributes, protobuf_values
from bot.http.otlp.assemble_parts import PartCollector, decode_part
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import MalformedExport

FIELDS = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value"}


def in_protobuf(*spans: dict[str, Any]) -> bytes:
    message = ExportTraceServiceRequest()
    of_scope = message.resource_spans.add().scope_spans.add()
    for number, attributes in enumerate(spans, 1):
        span = of_scope.spans.add(
            trace_id=bytes(15) + b"\1", span_id=bytes(7) + bytes([number]), start_time_unix_nano=1, end_time_unix_nano=2
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
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "attributes": [{"key": key, "value": {fields[type(value)]: value}} for key, value in attributes.items()],
        }
        for number, attributes in enumerate(spans, 1)
    ]
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": written}]}]})


ENCODINGS: dict[str, tuple[Callable[..., bytes], Callable[..., PartCollector], Callable[..., Any]]] = {
    "protobuf": (in_protobuf, decode_protobuf.decode_traces, protobuf_values.read_pair),
    "json": (in_json, decode_json.decode_traces, decode_json.read_pair),
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
    for broken in (good.replace(b"feature_flag", b"feature_fl\xffg"), good.replace(b"\x12\x09", b"\x12\x7f")):
        assert broken != good
        with pytest.raises(MalformedExport):
            decode_protobuf.decode_traces(broken, KnownAttributes(protobuf_values.read_pair))


@pytest.mark.parametrize(
    "attributes",
    ['{"key": "a"}', "[7]", '["a"]', "7", '[{"key": "a\\ud800"}]', '[{"key": "a", "value": {"arrayValue": }}]'],
)
def test_attributes_in_json_are_a_list_of_objects(attributes: str) -> None:
    body = in_json({}).replace(b'"attributes":[]', f'"attributes":{attributes}'.encode())
    assert attributes.encode() in body
    with pytest.raises(MalformedExport):
        decode_json.decode_traces(body, KnownAttributes(decode_json.read_pair))
