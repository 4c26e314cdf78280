"""Decodes OTLP messages in protobuf: traces and logs to parts of traces, metrics to their data points."""

from collections.abc import Iterable
from typing import Any

from bot.http.otlp.assemble_parts import PartCollector
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import count_unknown_fields, parse_message, read_pair
from bot.http.otlp.span_schema import load_logs_class, load_metrics_class, load_traces_class
from core.telemetry.metric_points import RawPoint, RawPoints
from core.telemetry.read_attributes import MAX_EVENTS, add_event, read_span_event

REMOTE_PARENT = 0x300  # flags of a span: whether its parent is in another process is known, and it is
FAILED = 2  # STATUS_CODE_ERROR
LEAF_KINDS = frozenset({3, 4})  # CLIENT and PRODUCER: without facts they connect nothing
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_UNREAD = "its fields are not those of this address, or of an SDK from before July 2022: nothing in it is read"


def decode_traces(body: bytes, attributes: KnownAttributes) -> PartCollector:
    """The spans of an ExportTraceServiceRequest; raises MalformedExport."""
    message = load_traces_class()()
    parse_message(message, body)
    collected = PartCollector()
    find = attributes.find
    for of_resource in message.resource_spans:
        collected.begin_resource(_list_encoded(of_resource.resource.attributes))
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                collected.count += 1
                trace_id, span_id = span.trace_id, span.span_id
                if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
                    collected.reject("a span needs a trace id of 16 bytes and a span id of 8")
                    continue
                facts: dict[str, Any] = {}
                for encoded in span.attributes:
                    if (told := find(encoded)) is None:
                        told = attributes.learn(encoded, facts, collected.reasons)
                    for fact, value in told:
                        if fact not in facts:  # the first convention that names it is believed
                            facts[fact] = value
                for event in span.events[:MAX_EVENTS]:
                    name = event.name.decode("utf-8", "replace")
                    # SDKs drop the oldest ones.
                    elapsed = None if span.dropped_events_count else event.time_unix_nano - span.start_time_unix_nano
                    if known := read_span_event(name, _list_encoded(event.attributes), elapsed):
                        add_event(facts, known)
                if not facts and span.kind in LEAF_KINDS:
                    continue
                parent = span.parent_span_id
                if parent and len(parent) != 8:
                    collected.reject("the id of a span's parent has 8 bytes")
                    continue
                if parent == _NO_SPAN:
                    parent = b""
                collected.add_span(
                    trace_id.hex(),
                    (
                        span_id.hex(),
                        parent.hex(),
                        not parent or span.flags & REMOTE_PARENT == REMOTE_PARENT,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.status.code == FAILED,
                        facts,
                    ),
                )
    if not collected.count and count_unknown_fields(message, *message.resource_spans):
        collected.warn(_UNREAD)
    return collected


def decode_logs(body: bytes) -> PartCollector:
    """The events of an ExportLogsServiceRequest; raises MalformedExport."""
    message = load_logs_class()()
    parse_message(message, body)
    collected = PartCollector()
    for of_resource in message.resource_logs:
        collected.begin_resource(_list_encoded(of_resource.resource.attributes))
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                collected.count += 1
                collected.add_event(
                    name=record.event_name.decode("utf-8", "replace"),
                    attributes=list(_list_encoded(record.attributes)),
                    trace_id=record.trace_id.hex(),
                    is_wrong_trace=len(record.trace_id) not in (0, 16),
                    span_id=record.span_id.hex(),
                    at=record.time_unix_nano or record.observed_time_unix_nano,
                )
    if not collected.count and count_unknown_fields(message, *message.resource_logs):
        collected.warn(_UNREAD)
    return collected


def decode_metrics(body: bytes) -> RawPoints:
    """The data points of an ExportMetricsServiceRequest; raises MalformedExport."""
    message = load_metrics_class()()
    parse_message(message, body)
    found = RawPoints()
    seen = 0
    for of_resource in message.resource_metrics:
        resource = tuple(_list_encoded(of_resource.resource.attributes))
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                seen += 1
                name = metric.name.decode("utf-8", "replace")
                kind = metric.WhichOneof("data")
                if kind is None:
                    found.warn_of_kind(name)
                    continue
                for point in getattr(metric, kind).data_points:
                    number = point.WhichOneof("value") if kind in ("gauge", "sum") else None
                    found.points.append(
                        RawPoint(
                            name=name,
                            kind=kind,
                            is_delta=kind == "sum" and metric.sum.aggregation_temporality == 1,
                            value=getattr(point, number) if number else None,
                            attributes=tuple(_list_encoded(point.attributes)),
                            resource=resource,
                            at=point.time_unix_nano,
                        )
                    )
    if not seen and count_unknown_fields(message, *message.resource_metrics):
        found.warn(_UNREAD)
    return found


def _list_encoded(attributes: Iterable[bytes]) -> Iterable[tuple[str, Any]]:
    return ((name, read()) for name, read in map(read_pair, attributes))
