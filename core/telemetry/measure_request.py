"""What one request took, from its spans: time, model calls, tokens, cost, errors, tools and what judges said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any

from core.metrics.catalogue import Metric, MetricKind
from core.telemetry.attribution import Trace
from core.telemetry.prices import PriceTable
from core.telemetry.span import Facts, ReportedSpan

_MS = 1e6  # nanoseconds
_DAY = 86_400 * 10**9  # nanoseconds
_EPOCH = date(1970, 1, 1).toordinal()
_CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
_FILTERED = frozenset(
    {"content_filter", "content_filtered", "safety", "guardrail_intervened", "blocklist", "prohibited_content"}
)
_REFUSED = "refusal"
_TELLS_REFUSALS = frozenset({"anthropic", "aws.bedrock"})
"""Providers that say so among the finish reasons. Of others a refusal is known only if the answer was sent along."""
_PASSED, _FAILED = frozenset({"pass", "passed", "true", "yes"}), frozenset({"fail", "failed", "false", "no"})
_USE = frozenset({"input_tokens", "output_tokens", "cached_tokens", "cache_written_tokens", "cost"})
_SOFT_ERRORS = {"truncation_rate": "truncated", "refusal_rate": "refusal"}
_GROUNDED = ("grounded", "faithful")
_get_end = attrgetter("ends_at")


@dataclass(frozen=True, slots=True)
class RequestSpans:
    """The spans of one request: those of `steps` did its work, `mentioning` only name its flag. `outside` are facts of
    events that happened in no known span."""

    trace: Trace
    steps: Sequence[ReportedSpan]
    mentioning: Sequence[ReportedSpan]
    outside: Sequence[Facts]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRequest:
    """Metrics as in an observation: only what was measured. `unpriced` names models without a price."""

    starts_at: int
    metrics: Mapping[str, float | bool]
    segments: Mapping[str, str]
    error_category: str
    soft_errors: tuple[str, ...]
    unpriced: frozenset[str]


def measure_request(spans: RequestSpans, prices: PriceTable, own: Mapping[str, Metric]) -> MeasuredRequest:
    """Measure one request of a surface with these `own` metrics.

    An application's own readings count before what follows from spans.
    """
    all_of_it = {span.span_id: span for span in (*spans.steps, *spans.mentioning)}
    outermost = _find_outermost(all_of_it, spans.trace)
    by_step: dict[str, list[ReportedSpan]] = {}
    for span in spans.steps:
        by_step.setdefault(span.facts.get("step", ""), []).append(span)
    calls = _find_calls(by_step.get("model", ()), spans.trace)
    tools = by_step.get("tool", ())
    starts_at = min([span.starts_at for span in outermost])
    metrics: dict[str, float | bool] = {}
    error_category = ""
    unpriced: frozenset[str] = frozenset()
    if calls or tools or "agent" in by_step:
        metrics["latency_ms"] = (max([span.ends_at for span in outermost]) - starts_at) / _MS
        metrics["tool_time"] = _measure_span_of(tools) / _MS
        failed = _find_failure(outermost)
        metrics["hard_error_rate"] = failed is not None
        error_category = "" if failed is None else _name_error(failed, spans)
    if calls:
        metrics |= _measure_calls(calls, starts_at)
        cost, unpriced = _compute_cost(calls, prices)
        if cost is not None:
            metrics["cost_per_request"] = cost
    if tools:
        metrics["tool_error_rate"] = sum([_has_failed(span) for span in tools]) / len(tools)
    told = [*[span.facts for span in all_of_it.values()], *spans.outside]
    if results := [one for facts in told if "evaluations" in facts for one in facts["evaluations"]]:
        metrics |= summarize_evaluations(results, own)
    for facts in told:
        if "metrics" in facts:
            metrics |= facts["metrics"]
    return MeasuredRequest(
        starts_at=starts_at,
        metrics=metrics,
        segments=_collect_segments(calls, told, spans.trace.resources),
        error_category=error_category,
        soft_errors=_list_soft_errors(metrics, told),
        unpriced=unpriced,
    )


def _list_soft_errors(metrics: Mapping[str, float | bool], told: Iterable[Facts]) -> tuple[str, ...]:
    """The soft errors of a request: how its last call ended, and what the application says."""
    seen = [name for metric, name in _SOFT_ERRORS.items() if metrics.get(metric)]
    seen += [name for facts in told if "soft_errors" in facts for name in facts["soft_errors"]]
    return tuple(dict.fromkeys(seen)) if seen else ()


def summarize_evaluations(results: Sequence[Mapping[str, Any]], own: Mapping[str, Metric]) -> dict[str, float | bool]:
    """What judges said of one answer: it passes if every label that is clear says so; scores are averaged.

    A result with the name of one of the surface's `own` metrics is a reading of that one, and nothing else.
    """
    metrics: dict[str, float | bool] = {}
    for name in dict.fromkeys(str(one["name"]) for one in results if one.get("name") in own):
        reading = _read_own([one for one in results if one.get("name") == name], own[name])
        if reading is not None:
            metrics[name] = reading
    results = [one for one in results if one.get("name") not in own]
    for key, wanted in (("groundedness_rate", True), ("eval_pass_rate", False)):
        labels = [str(one.get("label", "")).lower() for one in results if _is_about_sources(one) is wanted]
        if clear := [label in _PASSED for label in labels if label in _PASSED | _FAILED]:
            metrics[key] = all(clear)
    scores = [one["score"] for one in results if one.get("score", 2) <= 1 and not _is_about_sources(one)]
    if scores:
        metrics["eval_score"] = sum(scores) / len(scores)
    return metrics


def _read_own(results: Sequence[Mapping[str, Any]], metric: Metric) -> float | bool | None:
    """The reading of an own metric from its results: whether all passed, or the average score; None if they say
    neither."""
    labels = [str(one.get("label", "")).lower() for one in results]
    if metric.is_binary and (clear := [label in _PASSED for label in labels if label in _PASSED | _FAILED]):
        return all(clear)
    scores = [one["score"] for one in results if "score" in one]
    return sum(scores) / len(scores) if scores and metric.kind is not MetricKind.RATIO else None


def _is_about_sources(result: Mapping[str, Any]) -> bool:
    return any(word in str(result.get("name", "")).lower() for word in _GROUNDED)


def _find_outermost(all_of_it: Mapping[str, ReportedSpan], trace: Trace) -> list[ReportedSpan]:
    """Those spans of the request that lie in no other one of it."""
    found = [
        span
        for span in all_of_it.values()
        if not span.parent_id
        or (
            span.parent_id not in all_of_it
            and not any(outer.span_id in all_of_it for outer in trace.walk_outwards(span.parent_id))
        )
    ]
    return found or list(all_of_it.values())  # spans that are each other's parents


def _find_calls(reported: Sequence[ReportedSpan], trace: Trace) -> list[ReportedSpan]:
    """The calls of a model, by end. Where two instrumentations report one call, the inner span is it; what only the
    outer one tells of its use is added."""
    calls = {span.span_id: span for span in reported}
    wrapped: dict[str, list[str]] = {}  # by outer span, from the innermost out
    for span in reported:
        parent = trace.spans.get(span.parent_id)
        if parent is None or (not parent.parent_id and parent.span_id not in calls):
            continue  # nothing that could be a call is around it, as nearly always
        for outer in trace.walk_outwards(span.parent_id):
            if outer.span_id in calls:
                wrapped.setdefault(outer.span_id, []).append(span.span_id)
    for outer_id, within in wrapped.items():
        inner = [calls[name] for name in within if name not in wrapped]
        if len(inner) == 1 and (_has_no_count(inner[0].facts) or not _USE & inner[0].facts.keys()):
            used = {name: value for name, value in calls[outer_id].facts.items() if name in _USE}
            calls[inner[0].span_id] = inner[0]._replace(facts={**inner[0].facts, **used})
    return sorted([s for s in calls.values() if s.span_id not in wrapped], key=_get_end)


def _measure_calls(calls: Sequence[ReportedSpan], starts_at: int) -> dict[str, float | bool]:
    """Calls, tokens, the first word and how the answer ended. A sum is known only if every call that worked has it."""
    metrics: dict[str, float | bool] = {"llm_calls_per_request": len(calls)}
    worked = [span for span in calls if not _has_failed(span)]
    for key in ("input_tokens", "output_tokens"):
        known = [span.facts[key] for span in worked if key in span.facts and not _has_no_count(span.facts)]
        if known and len(known) == len(worked):
            metrics[key] = sum(known)
    cached = [span.facts for span in worked if "cached_tokens" in span.facts and span.facts.get("input_tokens")]
    if cached:
        read, all_input = sum(f["cached_tokens"] for f in cached), sum(f["input_tokens"] for f in cached)
        metrics["cache_hit_rate"] = min(1.0, read / max(all_input, read))
    if not worked:
        return metrics
    answer = worked[-1].facts
    # A call that began before its request did was timed by another clock, so that nothing lies between the two.
    if "first_chunk_ms" in answer and worked[-1].starts_at >= starts_at:
        metrics["ttft_ms"] = (worked[-1].starts_at - starts_at) / _MS + answer["first_chunk_ms"]
    reasons = set(answer.get("finish_reasons", ()))
    if reasons:
        metrics["truncation_rate"] = bool(reasons & _CUT_OFF)
        metrics["moderation_flag_rate"] = bool(reasons & _FILTERED)
    if "refused" in answer or (reasons and answer.get("provider", "").lower() in _TELLS_REFUSALS):
        metrics["refusal_rate"] = bool(answer.get("refused")) or _REFUSED in reasons
    return metrics


def _has_no_count(facts: Facts) -> bool:
    """Whether no tokens were counted: some instrumentations then say 0, as of a stream that does not tell its use, and
    no question has none."""
    return facts.get("input_tokens") == 0 and not facts.get("cached_tokens") and not facts.get("cache_written_tokens")


def _compute_cost(calls: Sequence[ReportedSpan], prices: PriceTable) -> tuple[float | None, frozenset[str]]:
    """(US dollars, models without a price). None unless every call that used tokens has a cost."""
    total = 0.0
    known = False
    unpriced: set[str] = set()
    for span in calls:
        facts = span.facts
        if facts.get("cost"):  # instrumentations say 0 of a model of which they do not know the price
            total, known = total + facts["cost"], True
            continue
        if "input_tokens" not in facts or "output_tokens" not in facts or _has_no_count(facts):
            if _has_failed(span):
                continue  # nothing was used, or nobody knows
            return None, frozenset(unpriced)
        model = facts.get("model") or facts.get("requested_model", "")
        price = prices.find_price(model, date.fromordinal(_EPOCH + span.starts_at // _DAY))
        if price is None:
            unpriced.add(model or "(no model)")
            continue
        total, known = (
            total
            + price.compute_cost(
                input_tokens=facts.get("input_tokens", 0),
                output_tokens=facts.get("output_tokens", 0),
                cached=facts.get("cached_tokens", 0),
                written=facts.get("cache_written_tokens", 0),
            ),
            True,
        )
    return (total if known and not unpriced else None), frozenset(unpriced)


def _measure_span_of(spans: Sequence[ReportedSpan]) -> int:
    """Nanoseconds in which at least one of these ran."""
    if len(spans) == 1:
        return spans[0].ends_at - spans[0].starts_at
    total = reached = 0
    for begins, ends in sorted((span.starts_at, span.ends_at) for span in spans):
        total += max(0, ends - max(begins, reached))
        reached = max(reached, ends)
    return total


def _has_failed(span: ReportedSpan) -> bool:
    return span.failed or "error_type" in span.facts


def _find_failure(outermost: Sequence[ReportedSpan]) -> ReportedSpan | None:
    """The span with which the request failed: its last outermost one, as earlier ones may have been tried again."""
    last = max(outermost, key=_get_end)
    return last if _has_failed(last) else None


def _name_error(failed: ReportedSpan, spans: RequestSpans) -> str:
    """The kind of error: of the outermost span, else of the last one that failed and says so."""
    last_first = sorted((s for s in spans.steps if _has_failed(s)), key=lambda s: s.ends_at, reverse=True)
    for span in (failed, *last_first):
        if name := span.facts.get("error_type") or span.facts.get("exception_type"):
            return str(name)
    return "error"


def _collect_segments(
    calls: Sequence[ReportedSpan], told: Iterable[Facts], resources: Sequence[Facts]
) -> dict[str, str]:
    """Segments by name: the application's own, and the model that answered, its provider, country and environment."""
    segments: dict[str, str] = {}
    for call in calls[-1:]:
        segments |= {name: call.facts[name] for name in ("model", "provider") if name in call.facts}
    for facts in (*resources, *told):
        segments |= {name: facts[name] for name in ("country", "environment") if name in facts}
        segments |= facts.get("segments", {})
    return segments
