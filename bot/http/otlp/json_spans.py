"""How spans are read from JSON: the attributes of a span stay encoded, as most of them are never read."""

from typing import Any

from msgspec import Raw, Struct, json


class JsonSpan(Struct, rename="camel", gc=False):
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
    status: Any = None


class JsonScope(Struct, rename="camel"):
    """The spans of one instrumentation."""

    spans: list[JsonSpan] | None = None


class JsonResource(Struct, rename="camel"):
    """The spans of one resource."""

    resource: Any = None
    scope_spans: list[JsonScope] | None = None


class JsonTraces(Struct, rename="camel"):
    """An ExportTraceServiceRequest."""

    resource_spans: list[JsonResource] | None = None


TRACES_DECODER = json.Decoder(JsonTraces)
