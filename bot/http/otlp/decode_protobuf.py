"""Decodes OTLP messages in protobuf: traces and logs to parts of traces, metrics to their data points."""

from collections.abc import Iterable
from typing import Any

from bot.http.otlp.assemble_parts import PartCollector
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import parse_message, read_pair, read_value
from bot.http.otlp.span_schema import load_logs_class, load_traces_class
from core.telemetry.metric_points import RawPoint
from core.telemetry.read_attributes import MAX_EVENTS, add_event, read_event

REMOTE_PARENT = 0x300  # flags of a span: whether its parent is in another process is known, and it is
FAILED = 2  # STATUS_CODE_ERROR
LEAF_KINDS = frozenset({3, 4})  # CLIENT and PRODUCER: without facts they connect nothing


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
                if len(trace_id) != 16 or len(span_id) != 8:
                    collected.reject("a span needs a trace id of 16 bytes and a span id of 8")
                    continue
                facts: dict[str, Any] = {}
                for encoded in span.attributes:
                    if (told := find(encoded)) is None:
                        told = attributes.learn(encoded, facts)
                    for fact, value in told:
                        if fact not in facts:  # the first convention that names it is believed
                            facts[fact] = value
                for event in span.events[:MAX_EVENTS]:
                    name = event.name.decode("utf-8", "replace")
                    if known := read_event(name, _list_encoded(event.attributes)):
                        add_event(facts, known)
                if not facts and span.kind in LEAF_KINDS:
                    continue
                parent = span.parent_span_id
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
                    span_id=record.span_id.hex(),
                    at=record.time_unix_nano or record.observed_time_unix_nano,
                )
    return collected


def decode_metrics(body: bytes) -> list[RawPoint]:
    """The data points of an ExportMetricsServiceRequest; raises MalformedExport."""
    # Loaded late, as most processes are sent none.
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    message = ExportMetricsServiceRequest()
    parse_message(message, body)
    found: list[RawPoint] = []
    for of_resource in message.resource_metrics:
        resource = tuple(_list_attributes(of_resource.resource.attributes))
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                kind = metric.WhichOneof("data") or ""
                data = getattr(metric, kind) if kind else None
                for point in data.data_points if data is not None else ():
                    number = point.WhichOneof("value") if kind in ("gauge", "sum") else None
                    found.append(
                        RawPoint(
                            name=metric.name,
                            kind=kind,
                            is_delta=kind == "sum" and metric.sum.aggregation_temporality == 1,
                            value=getattr(point, number) if number else None,
                            attributes=tuple(_list_attributes(point.attributes)),
                            resource=resource,
                            at=point.time_unix_nano,
                        )
                    )
    return found


def _list_encoded(attributes: Iterable[bytes]) -> Iterable[tuple[str, Any]]:
    return ((name, read()) for name, read in map(read_pair, attributes))


def _list_attributes(attributes: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    return ((pair.key, read_value(pair.value)) for pair in attributes)
