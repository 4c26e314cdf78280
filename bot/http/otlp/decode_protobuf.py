"""Decodes OTLP messages in protobuf: traces and logs to parts of traces, metrics to their data points."""

from collections.abc import Iterable
from typing import Any

from bot.http.otlp.assemble_parts import PartCollector
from core.telemetry.conventions import application
from core.telemetry.metric_points import RawPoint
from core.telemetry.read_attributes import MAX_EVENTS, READERS, add_event, read_event
from core.telemetry.span import ReportedSpan

REMOTE_PARENT = 0x300  # flags of a span: whether its parent is in another process is known, and it is
_SCALARS = frozenset({"string_value", "int_value", "double_value", "bool_value"})
FAILED = 2  # STATUS_CODE_ERROR
LEAF_KINDS = frozenset({3, 4})  # CLIENT and PRODUCER: without facts they connect nothing


class MalformedExport(ValueError):
    """The body is not the OTLP message that belongs at this address."""


def decode_traces(body: bytes) -> PartCollector:
    """The spans of an ExportTraceServiceRequest; raises MalformedExport."""
    # Loaded late here and below, as most processes are sent none.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest()
    _parse(message, body)
    collected = PartCollector()
    for of_resource in message.resource_spans:
        collected.begin_resource(_list_attributes(of_resource.resource.attributes))
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                collected.count += 1
                trace_id, span_id = span.trace_id, span.span_id
                if len(trace_id) != 16 or len(span_id) != 8:
                    collected.reject("a span needs a trace id of 16 bytes and a span id of 8")
                    continue
                facts: dict[str, Any] = {}
                for pair in span.attributes:
                    # Written out here, as this is done sixteen times for each span.
                    if (reader := READERS.get(name := pair.key)) is not None:
                        value = pair.value
                        kind = value.WhichOneof("value")
                        reader(facts, getattr(value, kind) if kind in _SCALARS else _read_value(value))
                    elif name[:8] == application.PREFIX:
                        application.read_prefixed(facts, name, _read_value(pair.value))
                for event in span.events[:MAX_EVENTS]:
                    if told := read_event(event.name, _list_attributes(event.attributes)):
                        add_event(facts, told)
                if not facts and span.kind in LEAF_KINDS:
                    continue
                parent = span.parent_span_id
                collected.add_span(
                    trace_id.hex(),
                    ReportedSpan(
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
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    message = ExportLogsServiceRequest()
    _parse(message, body)
    collected = PartCollector()
    for of_resource in message.resource_logs:
        collected.begin_resource(_list_attributes(of_resource.resource.attributes))
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                collected.count += 1
                collected.add_event(
                    name=record.event_name,
                    attributes=list(_list_attributes(record.attributes)),
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    at=record.time_unix_nano or record.observed_time_unix_nano,
                )
    return collected


def decode_metrics(body: bytes) -> list[RawPoint]:
    """The data points of an ExportMetricsServiceRequest; raises MalformedExport."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    message = ExportMetricsServiceRequest()
    _parse(message, body)
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


def _parse(message: Any, body: bytes) -> None:
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise MalformedExport(f"The body is not an OTLP message in protobuf: {error}.") from None


def _list_attributes(attributes: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    return ((pair.key, _read_value(pair.value)) for pair in attributes)


def _read_value(value: Any) -> Any:
    """The Python value of an AnyValue; None for bytes and for what nothing reads."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "bytes_value":
        return None
    if kind == "array_value":
        return [_read_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _read_value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)
