"""Decodes OTLP messages in JSON: traces and logs to parts of traces, metrics to their data points."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.http.otlp.assemble_parts import PartCollector
from bot.http.otlp.decode_protobuf import FAILED, REMOTE_PARENT
from bot.http.otlp.json_values import (
    check_objects,
    find_unread_names,
    get_field,
    is_wrong_id,
    list_attributes,
    list_objects,
    load_object,
    parse_double,
    parse_int,
    read_id,
    read_int,
    replace_lone_surrogates,
)
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import MalformedExport
from core.telemetry.metric_points import RawPoint, RawPoints
from core.telemetry.read_attributes import MAX_EVENTS, add_event, read_span_event

if TYPE_CHECKING:
    from bot.http.otlp.json_spans import JsonSpan

_DELTA = (1, "1", "AGGREGATION_TEMPORALITY_DELTA")
# Tuples, as these may be anything that JSON has. CLIENT and PRODUCER: without facts they connect nothing.
_LEAF_KINDS = (3, 4, "3", "4", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER")
_FAILED = (FAILED, str(FAILED), "STATUS_CODE_ERROR")
_NOT_FAILED = (None, 0, 1, "0", "1", "STATUS_CODE_UNSET", "STATUS_CODE_OK")
_METRIC_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_SPANS = ("resourceSpans", "scopeSpans", "spans")
_RECORDS = ("resourceLogs", "scopeLogs", "logRecords")
_METRICS = ("resourceMetrics", "scopeMetrics", "metrics")


def decode_traces(body: bytes, attributes: KnownAttributes) -> PartCollector:
    """The spans of an ExportTraceServiceRequest in JSON; raises MalformedExport."""
    # Loaded late, as most processes are sent none.
    from msgspec import DecodeError

    from bot.http.otlp.json_spans import TRACES_DECODER

    try:
        try:
            message = TRACES_DECODER.decode(body)
        except DecodeError:
            message = TRACES_DECODER.decode(replace_lone_surrogates(body))
    except DecodeError as error:
        raise MalformedExport(f"The body is not an OTLP message in JSON: {error}.") from None
    except RecursionError:
        raise MalformedExport("The body is nested too deeply.") from None
    collected = PartCollector()
    for of_resource in message.resource_spans or message.schema_resource_spans or ():
        collected.begin_resource(list_attributes(of_resource.resource))
        for of_scope in of_resource.scope_spans or of_resource.schema_scope_spans or ():
            for span in of_scope.spans or ():
                collected.count += 1
                _add_span(collected, span, attributes)
    if not collected.count:
        collected.warn(find_unread_names(load_object(body), _SPANS))
    return collected


def _add_span(collected: PartCollector, span: "JsonSpan", attributes: KnownAttributes) -> None:
    trace_id = read_id(span.trace_id or span.schema_trace_id, 32)
    span_id = read_id(span.span_id or span.schema_span_id, 16)
    if not trace_id or not span_id:
        collected.reject("a span needs a trace id of 32 hexadecimal digits and a span id of 16")
        return
    if span.status is not None and not _is_status(span.status):
        collected.reject('the status of a span is {"code": n} with 0, 1 or, for an error, 2')
        return
    given_parent = span.parent_span_id or span.schema_parent_span_id
    parent = read_id(given_parent, 16)
    if given_parent and not parent and is_wrong_id(given_parent, 16):
        collected.reject("the id of a span's parent has 16 hexadecimal digits")
        return
    facts: dict[str, Any] = {}
    find = attributes.find
    for raw in span.attributes or ():
        encoded = bytes(raw)
        if (told := find(encoded)) is None:
            told = attributes.learn(encoded, facts, collected.reasons)
        for fact, value in told:
            if fact not in facts:  # the first convention that names it is believed
                facts[fact] = value
    starts_at = read_int(span.start_time_unix_nano or span.schema_start_time_unix_nano)
    if span.events is not None:
        # SDKs drop the oldest ones.
        is_cut = read_int(span.dropped_events_count or span.schema_dropped_events_count) > 0
        for event in check_objects(span.events, "events")[:MAX_EVENTS]:
            elapsed = None if is_cut else read_int(get_field(event, "timeUnixNano")) - starts_at
            if known := read_span_event(str(event.get("name", "")), list_attributes(event), elapsed):
                add_event(facts, known)
    if not facts and span.kind in _LEAF_KINDS:
        return
    collected.add_span(
        trace_id,
        (
            span_id,
            parent,
            not parent or read_int(span.flags) & REMOTE_PARENT == REMOTE_PARENT,
            starts_at,
            read_int(span.end_time_unix_nano or span.schema_end_time_unix_nano),
            span.status is not None and span.status.get("code") in _FAILED,
            facts,
        ),
    )


def _is_status(status: Any) -> bool:
    """Whether a status can be read: an error that is written in another way must not count as a success."""
    return isinstance(status, dict) and ((code := status.get("code")) in _NOT_FAILED or code in _FAILED)


def decode_logs(body: bytes) -> PartCollector:
    """The events of an ExportLogsServiceRequest in JSON; raises MalformedExport."""
    collected = PartCollector()
    message = load_object(body)
    for of_resource in list_objects(message, "resourceLogs"):
        collected.begin_resource(list_attributes(of_resource.get("resource")))
        for of_scope in list_objects(of_resource, "scopeLogs"):
            for record in list_objects(of_scope, "logRecords"):
                collected.count += 1
                trace_id = get_field(record, "traceId")
                collected.add_event(
                    name=str(get_field(record, "eventName") or ""),
                    attributes=list(list_attributes(record)),
                    trace_id=read_id(trace_id, 32),
                    is_wrong_trace=is_wrong_id(trace_id, 32),
                    span_id=read_id(get_field(record, "spanId"), 16),
                    at=read_int(get_field(record, "timeUnixNano"))
                    or read_int(get_field(record, "observedTimeUnixNano")),
                )
    if not collected.count:
        collected.warn(find_unread_names(message, _RECORDS))
    return collected


def decode_metrics(body: bytes) -> RawPoints:
    """The data points of an ExportMetricsServiceRequest in JSON; raises MalformedExport."""
    found = RawPoints()
    message = load_object(body)
    seen = 0
    for of_resource in list_objects(message, "resourceMetrics"):
        resource = tuple(list_attributes(of_resource.get("resource")))
        for of_scope in list_objects(of_resource, "scopeMetrics"):
            for metric in list_objects(of_scope, "metrics"):
                seen += 1
                name = str(metric.get("name", ""))
                kind = next((one for one in _METRIC_KINDS if get_field(metric, one) is not None), "")
                if not kind:
                    found.warn_of_kind(name)
                    continue
                data = get_field(metric, kind)
                is_delta = isinstance(data, dict) and get_field(data, "aggregationTemporality") in _DELTA
                found.points += [
                    RawPoint(
                        name=name,
                        kind=kind,
                        is_delta=is_delta,
                        value=_read_number(point) if kind in ("gauge", "sum") else None,
                        attributes=tuple(list_attributes(point)),
                        resource=resource,
                        at=read_int(get_field(point, "timeUnixNano")),
                    )
                    for point in list_objects(data, "dataPoints")
                ]
    if not seen:
        found.warn(find_unread_names(message, _METRICS))
    return found


def _read_number(point: Mapping[str, Any]) -> float | None:
    if (whole := get_field(point, "asInt")) is not None:
        return parse_int(whole)
    return parse_double(get_field(point, "asDouble"))
