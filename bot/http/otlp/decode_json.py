"""Decodes OTLP messages in JSON, which is not the JSON of protobuf: ids are hexadecimal, long numbers may be texts."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

from bot.http.otlp.assemble_parts import PartCollector
from bot.http.otlp.decode_protobuf import FAILED, REMOTE_PARENT
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.protobuf_values import MalformedExport
from core.telemetry.metric_points import RawPoint
from core.telemetry.read_attributes import MAX_EVENTS, add_event, read_event

if TYPE_CHECKING:
    from bot.http.otlp.json_spans import JsonSpan

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""Every escape of a JSON text, one after the other; with a group if it is a surrogate without its other half."""
_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
# A tuple, as a kind may be anything that JSON has. CLIENT and PRODUCER: without facts they connect nothing.
_LEAF_KINDS = (3, 4, "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER")


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
    for of_resource in message.resource_spans or ():
        collected.begin_resource(_list_attributes(of_resource.resource))
        for of_scope in of_resource.scope_spans or ():
            for span in of_scope.spans or ():
                collected.count += 1
                _add_span(collected, span, attributes)
    return collected


def _add_span(collected: PartCollector, span: "JsonSpan", attributes: KnownAttributes) -> None:
    trace_id, span_id = _read_id(span.trace_id, 32), _read_id(span.span_id, 16)
    if not trace_id or not span_id:
        collected.reject("a span needs a trace id of 32 hexadecimal digits and a span id of 16")
        return
    facts: dict[str, Any] = {}
    find = attributes.find
    for raw in span.attributes or ():
        encoded = bytes(raw)
        if (told := find(encoded)) is None:
            told = attributes.learn(encoded, facts)
        for fact, value in told:
            if fact not in facts:  # the first convention that names it is believed
                facts[fact] = value
    if span.events is not None:
        for event in _check_objects(span.events, "events")[:MAX_EVENTS]:
            if known := read_event(str(event.get("name", "")), _list_attributes(event)):
                add_event(facts, known)
    if not facts and span.kind in _LEAF_KINDS:
        return
    parent = _read_id(span.parent_span_id, 16)
    status = span.status
    collected.add_span(
        trace_id,
        (
            span_id,
            parent,
            not parent or _read_int(span.flags) & REMOTE_PARENT == REMOTE_PARENT,
            _read_int(span.start_time_unix_nano),
            _read_int(span.end_time_unix_nano),
            isinstance(status, dict) and status.get("code") in (FAILED, "STATUS_CODE_ERROR"),
            facts,
        ),
    )


def read_pair(encoded: bytes) -> tuple[str, Callable[[], Any]]:
    """The name of an encoded attribute, and what reads its value; raises MalformedExport."""
    pair = _load(encoded)
    name = pair.get("key")
    return (name if isinstance(name, str) else ""), partial(_read_value, pair.get("value"))


def decode_logs(body: bytes) -> PartCollector:
    """The events of an ExportLogsServiceRequest in JSON; raises MalformedExport."""
    collected = PartCollector()
    for of_resource in _list_objects(_load(body), "resourceLogs"):
        collected.begin_resource(_list_attributes(of_resource.get("resource")))
        for of_scope in _list_objects(of_resource, "scopeLogs"):
            for record in _list_objects(of_scope, "logRecords"):
                collected.count += 1
                collected.add_event(
                    name=str(record.get("eventName") or ""),
                    attributes=list(_list_attributes(record)),
                    trace_id=_read_id(record.get("traceId"), 32),
                    span_id=_read_id(record.get("spanId"), 16),
                    at=_read_int(record.get("timeUnixNano")) or _read_int(record.get("observedTimeUnixNano")),
                )
    return collected


def decode_metrics(body: bytes) -> list[RawPoint]:
    """The data points of an ExportMetricsServiceRequest in JSON; raises MalformedExport."""
    found: list[RawPoint] = []
    for of_resource in _list_objects(_load(body), "resourceMetrics"):
        resource = tuple(_list_attributes(of_resource.get("resource")))
        for of_scope in _list_objects(of_resource, "scopeMetrics"):
            for metric in _list_objects(of_scope, "metrics"):
                kind = next(
                    (k for k in ("gauge", "sum", "histogram", "exponentialHistogram", "summary") if k in metric), ""
                )
                data = metric.get(kind)
                is_delta = isinstance(data, dict) and data.get("aggregationTemporality") in _DELTA
                found += [
                    RawPoint(
                        name=str(metric.get("name", "")),
                        kind=kind,
                        is_delta=is_delta,
                        value=_read_number(point) if kind in ("gauge", "sum") else None,
                        attributes=tuple(_list_attributes(point)),
                        resource=resource,
                        at=_read_int(point.get("timeUnixNano")),
                    )
                    for point in _list_objects(data, "dataPoints")
                ]
    return found


def replace_lone_surrogates(body: bytes) -> bytes:
    """JSON in which halves of characters, as JavaScript writes where it has cut an emoji in two, are U+FFFD."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], body)


def _load(body: bytes) -> Mapping[str, Any]:
    try:
        try:
            loaded = orjson.loads(body)
        except orjson.JSONDecodeError:
            loaded = orjson.loads(replace_lone_surrogates(body))
    except orjson.JSONDecodeError as error:
        raise MalformedExport(f"The body is not JSON: {error}.") from None
    if not isinstance(loaded, dict):
        raise MalformedExport("The body must be an object, an OTLP message in JSON.")
    return loaded


def _list_objects(holder: Any, key: str) -> list[dict[str, Any]]:
    found = holder.get(key) if isinstance(holder, dict) else None
    return [] if found is None else _check_objects(found, key)


def _check_objects(found: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MalformedExport(f'"{key}" must be a list of objects.')
    return found


def _list_attributes(holder: Any) -> Iterator[tuple[str, Any]]:
    for pair in _list_objects(holder, "attributes"):
        if isinstance(name := pair.get("key"), str):
            yield name, _read_value(pair.get("value"))


def _read_value(value: Any, depth: int = 0) -> Any:
    """The Python value of an AnyValue; None for bytes and for what nothing reads."""
    if not isinstance(value, dict) or depth > 8:
        return None
    for flavour, found in value.items():
        if flavour == "stringValue":
            return found if isinstance(found, str) else None
        if flavour == "intValue":
            return _parse_int(found)
        if flavour == "doubleValue":
            return _parse_double(found)
        if flavour == "boolValue":
            return found if isinstance(found, bool) else None
        if flavour == "arrayValue":
            return [_read_value(one, depth + 1) for one in _list_objects(found, "values")]
        if flavour == "kvlistValue":
            return {
                str(pair.get("key")): _read_value(pair.get("value"), depth + 1)
                for pair in _list_objects(found, "values")
            }
    return None


def _read_number(point: Mapping[str, Any]) -> float | None:
    if "asInt" in point:
        return _parse_int(point["asInt"])
    return _parse_double(point.get("asDouble"))


def _read_int(value: Any) -> int:
    """A whole number that may be left out: 0 then, as in protobuf, and for anything that is not one."""
    return _parse_int(value) or 0


def _parse_double(value: Any) -> float | None:
    """A finite number, or the text of one, as protobuf's JSON allows; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _parse_int(value: Any) -> int | None:
    """A whole number of at most 64 bits, or its decimal digits; None for anything else."""
    if type(value) is str and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**64 else None


def _read_id(value: Any, digits: int) -> str:
    """An id in lower case; empty if it is not one."""
    if type(value) is not str or len(value) != digits:
        return ""
    try:
        encoded = bytes.fromhex(value)  # leaves out spaces, hence the look at the length
    except ValueError:
        return ""
    return encoded.hex() if len(encoded) * 2 == digits and any(encoded) else ""
