"""From what came of one trace to observations, each request once, whatever is repeated or comes late."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from core.flags.placement import UncountedReason, infer_variant
from core.flags.snapshot import SurfaceFlags
from core.metrics.catalogue import Metric
from core.telemetry.attribution import list_mentions
from core.telemetry.join_request import JoinedRequest, collect_trace, join_trace
from core.telemetry.measure_request import summarize_evaluations
from core.telemetry.prices import PriceTable
from core.telemetry.span import Facts, ReportedEvent, ReportedSpan, TracePart

_STEPS = frozenset({"model", "tool", "agent"})
_IDENTITY = ("surface", "unit", "at", "variant", "version", "exposure")
MAX_REMEMBERED = 2_000  # ids of one trace


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedTrace:
    """What is remembered of a counted trace: for whom it counted, and the ids of its spans and events."""

    requests: tuple[Mapping[str, str], ...]
    span_ids: frozenset[str]
    event_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOutcome:
    """`items` are observations as an application would send them, `late` those that came too late to be counted.

    `problems` say why something belongs to no request, `repeated` and `late_spans` count spans, `unpriced` names models
    without a price.
    """

    items: tuple[dict[str, Any], ...] = ()
    late: tuple[dict[str, Any], ...] = ()
    counted: CountedTrace | None = None
    problems: tuple[str, ...] = ()
    repeated: int = 0
    late_spans: int = 0
    unpriced: frozenset[str] = frozenset()


def count_trace(
    parts: Sequence[TracePart], known: CountedTrace | None, surfaces: Mapping[str, SurfaceFlags], prices: PriceTable
) -> TraceOutcome:
    """Count one trace; `known` is what was remembered when it was counted before, None if it was not."""
    if known is not None:
        return _count_more(parts, known, surfaces)
    events, spans = _list_events(parts), _list_spans(parts)
    if not spans:
        return _count_events_alone(events, surfaces)
    find_unit_kind = partial(_find_unit_kind, surfaces)
    joined = join_trace(
        collect_trace(parts, find_unit_kind), find_unit_kind, prices, lambda surface: surfaces[surface].metrics
    )
    problems = list(joined.problems)
    items = []
    for request in joined.requests:
        item = _build_item(request, surfaces[request.surface])
        if isinstance(item, UncountedReason):
            problems.append(item.value)
        else:
            items.append(item)
    ids = [span.span_id for span in spans]
    counted: CountedTrace | None = None
    if items:
        counted = CountedTrace(
            requests=tuple([_keep_identity(item) for item in items]),
            span_ids=frozenset(ids[:MAX_REMEMBERED]),
            event_ids=frozenset([event.event_id for event in events[:MAX_REMEMBERED]]),
        )
    return TraceOutcome(
        items=tuple(items),
        counted=counted,
        problems=tuple(problems),
        repeated=len(ids) - len(set(ids)),
        unpriced=joined.unpriced,
    )


def _count_more(parts: Sequence[TracePart], known: CountedTrace, surfaces: Mapping[str, SurfaceFlags]) -> TraceOutcome:
    """What came after a trace was counted: results of judges count for its request, spans come too late."""
    spans, events = _list_spans(parts), _list_events(parts)
    new_spans = [span for span in spans if span.span_id not in known.span_ids]
    new_events = {event.event_id: event for event in events if event.event_id not in known.event_ids}
    late = sum(span.facts.get("step") in _STEPS for span in new_spans)
    items: list[dict[str, Any]] = []
    problems: list[str] = []
    told = [event.facts for event in new_events.values()] + [span.facts for span in new_spans]
    for facts in told:
        identity = _find_identity(facts, known, surfaces)
        flags = surfaces.get(identity["surface"]) if identity is not None else None
        metrics = _read_results(facts, flags.metrics if flags is not None else {})
        if not metrics:
            continue
        if identity is None:
            problems.append("several_requests")
        else:
            items.append({**identity, "metrics": metrics, "request": False})
    counted = replace(
        known,
        span_ids=_remember(known.span_ids, (span.span_id for span in new_spans)),
        event_ids=_remember(known.event_ids, new_events),
    )
    return TraceOutcome(
        items=tuple(items),
        late=tuple(dict(request) for request in known.requests) if late else (),
        counted=counted if counted != known else None,
        problems=tuple(problems),
        repeated=len(spans) - len(new_spans),
        late_spans=late,
    )


def _count_events_alone(events: Sequence[ReportedEvent], surfaces: Mapping[str, SurfaceFlags]) -> TraceOutcome:
    """Events without a span: each has to say itself to whom it belongs, and none is a request."""
    items: list[dict[str, Any]] = []
    problems: list[str] = []
    for event in {event.event_id: event for event in events}.values():
        mentions = list_mentions(event.facts, partial(_find_unit_kind, surfaces))
        metrics = _read_results(event.facts, surfaces[mentions[0].surface].metrics if len(mentions) == 1 else {})
        if not metrics:
            continue
        unit = event.facts.get("unit", "")
        if len(mentions) != 1 or not unit:
            problems.append("no_unit" if mentions else "no_surface")
            continue
        said = JoinedRequest(
            surface=mentions[0].surface,
            unit=unit,
            variant=mentions[0].variant,
            version=mentions[0].version,
            exposure=mentions[0].exposure,
            starts_at=event.at,
            metrics=metrics,
            segments=event.facts.get("segments", {}),
        )
        item = _build_item(said, surfaces[said.surface])
        if isinstance(item, UncountedReason):
            problems.append(item.value)
        else:
            items.append({**item, "request": False})
    ids = frozenset(event.event_id for event in events[:MAX_REMEMBERED])
    counted = CountedTrace(requests=tuple(map(_keep_identity, items)), span_ids=frozenset(), event_ids=ids)
    return TraceOutcome(items=tuple(items), counted=counted if items else None, problems=tuple(problems))


def _read_results(facts: Facts, own: Mapping[str, Metric]) -> dict[str, float | bool]:
    """What a judge or the application says in an event."""
    return {**summarize_evaluations(facts.get("evaluations", ()), own), **facts.get("metrics", {})}


def _build_item(request: JoinedRequest, flags: SurfaceFlags) -> dict[str, Any] | UncountedReason:
    """The observation of a request. If no side is told, the unit and the time tell it, as far as they can."""
    at = datetime.fromtimestamp(request.starts_at / 1e9, UTC)
    variant = request.variant
    if not variant and not request.version and not request.exposure:
        inferred = infer_variant(flags, unit=request.unit, at=at)
        if isinstance(inferred, UncountedReason):
            return inferred
        variant = inferred.value
    item: dict[str, Any] = {
        "surface": request.surface,
        "unit": request.unit,
        "at": at.isoformat(),
        "segments": dict(request.segments),
        "metrics": dict(request.metrics),
    }
    texts = (
        ("variant", variant),
        ("version", request.version),
        ("exposure", request.exposure),
        ("error_category", request.error_category),
    )
    item |= {key: text for key, text in texts if text}
    if request.soft_errors:
        item["soft_errors"] = list(request.soft_errors)
    return item


def _keep_identity(item: Mapping[str, Any]) -> Mapping[str, str]:
    return {key: item[key] for key in _IDENTITY if key in item}


def _find_identity(facts: Facts, known: CountedTrace, surfaces: Mapping[str, SurfaceFlags]) -> Mapping[str, str] | None:
    """The request that a late result is about: the only one of the trace, or of the surface or unit that it names."""
    named = {mention.surface for mention in list_mentions(facts, partial(_find_unit_kind, surfaces))}
    fitting = [
        request
        for request in known.requests
        if (not named or request["surface"] in named) and facts.get("unit", request["unit"]) == request["unit"]
    ]
    return fitting[0] if len(fitting) == 1 else None


def _find_unit_kind(surfaces: Mapping[str, SurfaceFlags], name: str) -> str | None:
    flags = surfaces.get(name)
    if flags is None:
        return None
    return flags.tracked[0].unit_kind if flags.tracked else "user"


def _list_spans(parts: Sequence[TracePart]) -> list[ReportedSpan]:
    return [span for part in parts for span in part.spans]


def _list_events(parts: Sequence[TracePart]) -> list[ReportedEvent]:
    return [event for part in parts for event in part.events]


def _remember(known: frozenset[str], more: Iterable[str]) -> frozenset[str]:
    return known if len(known) >= MAX_REMEMBERED else known.union(more)
