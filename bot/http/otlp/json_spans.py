"""How spans are read from JSON: the attributes of a span stay encoded, as most of them are never read.

A field has its name of JSON (`traceId`) or that of OTLP's schema (`trace_id`), which some writers keep: what is called
`schema_...` here holds the latter.
"""

from typing import Any

from msgspec import Raw, Struct, json


def _name_field(name: str) -> str:
    if name.startswith("schema_"):
        return name.removeprefix("schema_")
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


class JsonSpan(Struct, rename=_name_field, gc=False):
    """A span. Only that attributes are a list is checked here; all else may be anything that JSON has."""

    trace_id: Any = None
    span_id: Any = None
    parent_span_id: Any = None
    flags: Any = None
    kind: Any = None
    name: Any = None  # not read, but checked to be text that can be decoded
    start_time_unix_nano: Any = None
    end_time_unix_nano: Any = None
    attributes: list[Raw] | None = None
    events: Any = None
    dropped_events_count: Any = None
    status: Any = None
    schema_trace_id: Any = None
    schema_span_id: Any = None
    schema_parent_span_id: Any = None
    schema_start_time_unix_nano: Any = None
    schema_end_time_unix_nano: Any = None
    schema_dropped_events_count: Any = None


class JsonScope(Struct):
    """The spans of one instrumentation."""

    spans: list[JsonSpan] | None = None


class JsonResource(Struct, rename=_name_field):
    """The spans of one resource."""

    resource: Any = None
    scope_spans: list[JsonScope] | None = None
    schema_scope_spans: list[JsonScope] | None = None


class JsonTraces(Struct, rename=_name_field):
    """An ExportTraceServiceRequest."""

    resource_spans: list[JsonResource] | None = None
    schema_resource_spans: list[JsonResource] | None = None


TRACES_DECODER = json.Decoder(JsonTraces)
