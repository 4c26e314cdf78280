"""Assembles what one export tells into parts, one for each trace and resource."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import orjson

from core.store.observations.trace_parts import StoredPart
from core.telemetry.read_attributes import read_event, read_resource
from core.telemetry.span import Facts, ReportedEvent, ReportedSpan, TracePart

SpanFields: TypeAlias = tuple[str, str, bool, int, int, bool, Facts]
"""The fields of a `ReportedSpan`, which is made of them where a trace is counted: here they are only written."""

MAX_SPANS = 1_000  # of one trace in one export
EARLIEST = 10**18
"""Nanoseconds since 1970 in September 2001. Earlier times are seconds, milliseconds or microseconds."""
EVENT_TRACE = "event:"
"""What stands before the id of an event outside of any trace, in place of a trace's id."""


class PartCollector:
    """Collects spans and events; those that nothing can be made of are left out, those that are wrong are rejected.

    `count` is how many came, `rejected` how many were wrong. `reasons` say why, and what else was not read.
    """

    def __init__(self) -> None:
        self.count = 0
        self.rejected = 0
        self.reasons: dict[str, None] = {}
        self.kept = 0
        self._resource: Facts = {}
        self._of_resource: dict[str, tuple[list[SpanFields], list[ReportedEvent]]] = {}
        self._finished: list[tuple[Facts, dict[str, tuple[list[SpanFields], list[ReportedEvent]]]]] = []

    def begin_resource(self, attributes: Iterable[tuple[str, Any]]) -> None:
        """What follows is of a resource with these attributes."""
        self._resource, self._of_resource = read_resource(attributes), {}
        self._finished.append((self._resource, self._of_resource))

    def reject(self, reason: str, number: int = 1) -> None:
        """Count items that are wrong."""
        self.rejected += number
        self.reasons[reason] = None

    def warn(self, reason: str) -> None:
        """Say what was not read, of an export or an item that is otherwise taken; an empty text says nothing."""
        if reason:
            self.reasons[reason] = None

    def add_span(self, trace_id: str, span: SpanFields) -> None:
        """Keep a span, unless its times are wrong or its trace is too long."""
        of_trace = self._of_resource.get(trace_id)
        if of_trace is None:
            of_trace = self._of_resource[trace_id] = ([], [])
        spans = of_trace[0]
        starts_at, ends_at = span[3], span[4]
        if starts_at < EARLIEST:
            self.reject("a span's times are nanoseconds since 1970")
        elif ends_at < starts_at:
            self.reject("a span must end after it began")
        elif len(spans) >= MAX_SPANS:
            self.reject(f"a trace may have at most {MAX_SPANS:,} spans in one export")
        else:
            self.kept += 1
            spans.append(span)

    def add_event(
        self,
        *,
        name: str,
        attributes: Sequence[tuple[str, Any]],
        trace_id: str,
        is_wrong_trace: bool,
        span_id: str,
        at: int,
    ) -> None:
        """Keep an event of a log if it is one that is read. Older SDKs name it in the attribute `event.name`.

        An event with a wrong trace id is of no trace, as OTLP says, so it has to say itself whose it is.
        """
        told = read_event(name or str(dict(attributes).get("event.name", "")), attributes)
        if not told:
            return
        # Sorted, so that an event that is sent again has the same id.
        content = orjson.dumps([name, trace_id, span_id, at, told], option=orjson.OPT_SORT_KEYS)
        event_id = blake2b(content, digest_size=16).hexdigest()
        is_in_trace = len(trace_id) == 32 and trace_id.strip("0") != ""
        if is_wrong_trace and not ("surface" in told and "unit" in told):
            self.reject("the trace id of a log has 16 bytes, in JSON 32 hexadecimal digits")
            return
        if not is_in_trace and at < EARLIEST:
            self.reject("a log outside of a trace needs its time, in nanoseconds since 1970")
            return
        key = trace_id if is_in_trace else f"{EVENT_TRACE}{event_id}"
        _, events = self._of_resource.setdefault(key, ([], []))
        if len(events) >= MAX_SPANS:
            self.reject(f"a trace may have at most {MAX_SPANS:,} events in one export")
            return
        self.kept += 1
        events.append(ReportedEvent(event_id, span_id, at, told))

    def build_parts(self) -> list[StoredPart]:
        """The parts as they are stored."""
        return [
            encode_part(trace_id, resource, spans, events)
            for resource, traces in self._finished
            for trace_id, (spans, events) in traces.items()
            if spans or events
        ]


def encode_part(
    trace_id: str, resource: Facts, spans: Sequence[SpanFields], events: Sequence[ReportedEvent]
) -> StoredPart:
    """A part as JSON; `decode_part` reads it."""
    has_root = trace_id.startswith(EVENT_TRACE) or any(span[2] for span in spans)
    content = [resource, spans, [tuple(event) for event in events]]
    return StoredPart(trace_id, has_root, orjson.dumps(content).decode())


def decode_part(trace_id: str, text: str) -> TracePart:
    """The part that `encode_part` wrote."""
    resource, spans, events = orjson.loads(text)
    return TracePart(
        trace_id,
        resource,
        tuple(ReportedSpan(*span) for span in spans),
        tuple(ReportedEvent(*event) for event in events),
    )
