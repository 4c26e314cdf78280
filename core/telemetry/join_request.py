"""Joins the spans of one trace to the requests in it: who was served, which side, and what it took."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from core.metrics.catalogue import Metric
from core.telemetry.attribution import (
    FindUnitKind,
    FlagMention,
    Trace,
    find_mention,
    find_unit,
    list_mentions,
    merge_events,
)
from core.telemetry.measure_request import RequestSpans, measure_request
from core.telemetry.prices import PriceTable
from core.telemetry.span import Facts, ReportedSpan, TracePart

FindOwnMetrics: TypeAlias = Callable[[str], Mapping[str, Metric]]
"""The own metrics of a surface, by name."""

_STEPS = frozenset({"model", "tool", "agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRequest:
    """One request, as its spans tell it. `metrics` are keys and values as in an observation.

    `starts_at` is nanoseconds since 1970. Texts are empty where nothing is known.
    """

    surface: str
    unit: str
    variant: str = ""
    version: str = ""
    exposure: str = ""
    starts_at: int
    metrics: Mapping[str, float | bool] = field(default_factory=dict)
    segments: Mapping[str, str] = field(default_factory=dict)
    error_category: str = ""
    soft_errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedTrace:
    """The requests of a trace. `problems` say why something in it belongs to none; `unpriced` names models."""

    requests: tuple[JoinedRequest, ...] = ()
    problems: tuple[str, ...] = ()
    unpriced: frozenset[str] = frozenset()


def collect_trace(parts: Sequence[TracePart], find_unit_kind: FindUnitKind) -> Trace:
    """The trace that several parts tell of: a span that comes twice is one, in whatever order they came."""
    spans: dict[str, ReportedSpan] = {}
    events: dict[str, tuple[str, Facts]] = {}
    for part in parts:
        for span in part.spans:
            spans.setdefault(span.span_id, span)
        for event in part.events:
            events.setdefault(event.event_id, (event.span_id, event.facts))
    outside: list[Facts] = []
    if events:
        told: dict[str, list[Facts]] = {}
        for span_id, facts in events.values():
            if span_id in spans:
                told.setdefault(span_id, []).append(facts)
            else:
                outside.append(facts)
        for span_id, facts_of_it in told.items():
            spans[span_id] = merge_events(spans[span_id], facts_of_it)
    mentions = {
        span_id: found for span_id, span in spans.items() if (found := list_mentions(span.facts, find_unit_kind))
    }
    return Trace(spans, outside, [part.resource for part in parts if part.resource], mentions)


def join_trace(trace: Trace, find_unit_kind: FindUnitKind, prices: PriceTable, find_own: FindOwnMetrics) -> JoinedTrace:
    """The requests in a trace: one for each unit and surface that a model, tool or agent worked for, or that the
    application measured. Spans of other work only connect these."""
    members: dict[tuple[str, str], list[tuple[ReportedSpan, FlagMention]]] = {}
    problems: list[str] = []
    for span_id, span in trace.spans.items():
        facts = span.facts
        if facts.get("step") not in _STEPS and "metrics" not in facts and "evaluations" not in facts:
            continue
        mention = find_mention(trace, span_id, find_unit_kind)
        if isinstance(mention, str):
            problems.append(mention)
            continue
        unit = mention.unit or find_unit(trace, span_id, mention, find_unit_kind)
        if not unit:
            problems.append("no_unit")
            continue
        members.setdefault((mention.surface, unit), []).append((span, mention))
    requests: list[JoinedRequest] = []
    unpriced: frozenset[str] = frozenset()
    for (surface, unit), some in members.items():
        mentions = dict.fromkeys([mention for _, mention in some])
        if len({mention.variant for mention in mentions if mention.variant}) > 1:
            problems.append("several_variants")
            continue
        others = [
            trace.spans[span_id]
            for span_id, named in trace.mentions.items()
            for mention in named
            if mention.surface == surface and (mention.unit == unit or not mention.unit)
        ]
        outside = trace.outside if len(members) == 1 else ()
        measured = measure_request(
            RequestSpans(trace, [span for span, _ in some], others, outside), prices, find_own(surface)
        )
        unpriced |= measured.unpriced
        requests.append(
            JoinedRequest(
                surface=surface,
                unit=unit,
                variant=_first([mention.variant for mention in mentions]),
                version=_first([mention.version for mention in mentions]),
                exposure=_first([mention.exposure for mention in mentions]),
                starts_at=measured.starts_at,
                metrics=measured.metrics,
                segments=measured.segments,
                error_category=measured.error_category,
                soft_errors=measured.soft_errors,
            )
        )
    return JoinedTrace(requests=tuple(requests), problems=tuple(dict.fromkeys(problems)), unpriced=unpriced)


def _first(texts: Iterable[str]) -> str:
    for text in texts:
        if text:
            return text
    return ""
