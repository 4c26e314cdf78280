"""What is kept of a span and of an event: identity, time, and the few facts that conventions read; never a text."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Facts = Mapping[str, Any]
"""What was read of attributes, by the names that the conventions give it; values are JSON."""


class ReportedSpan(NamedTuple):
    """One span. Times are nanoseconds since 1970, `ends_at` at least `starts_at`.

    `is_root`: it has no parent, or its parent is in another process. `failed`: its status is an error.
    """

    span_id: str
    parent_id: str
    is_root: bool
    starts_at: int
    ends_at: int
    failed: bool
    facts: Facts


class ReportedEvent(NamedTuple):
    """One event of a log. `span_id` is the span in which it happened, empty if unknown; `event_id` tells repeats."""

    event_id: str
    span_id: str
    at: int
    facts: Facts


class TracePart(NamedTuple):
    """Spans and events of one trace that came together from one resource, such as a process.

    `trace_id` is empty for events outside of any trace.
    """

    trace_id: str
    resource: Facts
    spans: tuple[ReportedSpan, ...]
    events: tuple[ReportedEvent, ...]

    @property
    def has_root(self) -> bool:
        """Whether the outermost span of its process is here, after which little is to come."""
        return any(span.is_root for span in self.spans)
