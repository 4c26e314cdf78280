"""Reads the attributes of spans, events and resources into facts, by all conventions at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.telemetry.conventions import application, feature_flags, genai, openinference, traceloop
from core.telemetry.conventions.readers import Reader

READERS: Mapping[str, Reader] = {
    **traceloop.READERS,
    **openinference.READERS,
    **feature_flags.READERS,
    **genai.READERS,
}
"""Every attribute of a span that is read, apart from those with the prefix `rampart.`."""

FIRST_CHUNK_EVENTS = traceloop.CHUNK_EVENTS | openinference.FIRST_CHUNK_EVENTS
"""Events of a span of which the first tells when the answer began."""

MAX_EVENTS = 32  # of one span that are read


def read_span_attributes(attributes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What the attributes of a span say."""
    facts: dict[str, Any] = {}
    for name, value in attributes:
        if (reader := READERS.get(name)) is not None:
            reader(facts, value)
        elif name.startswith(application.PREFIX):
            application.read_prefixed(facts, name, value)
    return facts


def read_resource(attributes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What the attributes of a resource say of everything in it."""
    return _read_by_table(attributes, feature_flags.RESOURCE_READERS)


def read_event(name: str, attributes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What an event says, of a span or of a log: a flag's evaluation, a judge's result, an exception, or readings.

    Empty for any other event, as its texts are of no use here.
    """
    found = dict(attributes)
    if name in feature_flags.EVALUATION_EVENTS:
        flag = _read_by_table(found.items(), feature_flags.FLAG_READERS)
        return {"flags": [flag]} if "surface" in flag else {}
    if name == genai.EVALUATION_EVENT:
        result = _read_by_table(found.items(), genai.EVALUATION_READERS)
        return {**_read_by_table(found.items(), feature_flags.FLAG_READERS), "evaluations": [result]}
    if name == "exception":
        return _read_by_table(found.items(), {"exception.type": genai.READERS["exception.type"]})
    if application.is_own_event(found, name):
        return read_span_attributes(found.items())
    return {}


def read_span_event(name: str, attributes: Iterable[tuple[str, Any]], elapsed: int | None) -> dict[str, Any]:
    """What an event of a span says: as any other, or that the model began to answer.

    `elapsed` is nanoseconds since the span began; None if events before this one may be missing.
    """
    if name in FIRST_CHUNK_EVENTS:
        return {} if elapsed is None or elapsed < 0 else {"first_chunk_ms": elapsed / 1e6}
    return read_event(name, attributes)


def add_event(facts: dict[str, Any], told: Mapping[str, Any]) -> None:
    """Add what an event says to the facts of its span: lists grow, what the span says itself stays."""
    for fact, value in told.items():
        if fact in ("flags", "evaluations"):
            facts.setdefault(fact, []).extend(value)
        elif fact in ("metrics", "segments"):
            facts[fact] = {**value, **facts.get(fact, {})}
        else:
            facts.setdefault(fact, value)


def _read_by_table(attributes: Iterable[tuple[str, Any]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, value in attributes:
        if (reader := readers.get(name)) is not None:
            reader(facts, value)
    return facts
