"""Traces and scores of a Langfuse project, by its public API."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bot.sources.errors import SourceFailure
from bot.sources.traces.trace import PAGE, Fact, SourcedTrace, TracePage, flatten, parse_moment
from bot.sources.web_client import WebClient
from core.rollout.state.sources import TraceRows


def list_pages(client: WebClient, rows: TraceRows, since: datetime, until: datetime) -> Iterator[TracePage]:
    """The traces of [since, until), oldest first, a page at a time. `SourceFailure` if one cannot be had."""
    scores = _read_scores(client, since) if rows.reads("score.") else {}
    wanted = ["core", *(["io"] if rows.reads("metadata.") else []), *(["metrics"] if _needs_metrics(rows) else [])]
    asked = [
        ("fromTimestamp", since.isoformat()),
        ("toTimestamp", until.isoformat()),
        ("orderBy", "timestamp.asc"),
        ("limit", str(PAGE)),
        ("fields", ",".join(wanted)),
    ]
    for entries in _list_entries(client, "/api/public/traces", asked):
        found = [_read_trace(entry, scores) for entry in entries]
        traces = tuple(one for one in found if one is not None)
        yield TracePage(traces=traces, unreadable=len(found) - len(traces))


def _needs_metrics(rows: TraceRows) -> bool:
    return rows.reads("latency_ms") or rows.reads("cost")


def _read_scores(client: WebClient, since: datetime) -> Mapping[str, Mapping[str, Fact]]:
    """The scores that were given since then, by trace and name."""
    found: dict[str, dict[str, Fact]] = {}
    asked = [("fromTimestamp", since.isoformat()), ("limit", str(PAGE))]
    for entries in _list_entries(client, "/api/public/v2/scores", asked):
        for entry in entries:
            trace, name = (entry.get("traceId"), entry.get("name")) if isinstance(entry, dict) else (None, None)
            value = entry.get("stringValue") if _is_text(entry) else entry.get("value")
            if isinstance(trace, str) and isinstance(name, str) and isinstance(value, str | int | float):
                found.setdefault(trace, {})[f"score.{name}"] = value
    return found


def _is_text(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry, dict) and entry.get("dataType") not in ("NUMERIC", "BOOLEAN")


def _list_entries(client: WebClient, path: str, asked: list[tuple[str, str]]) -> Iterator[list[Any]]:
    page = pages = 1
    while page <= pages:
        answer = client.get(path, [*asked, ("page", str(page))])
        entries = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise SourceFailure("it does not answer like a Langfuse: does its address end before /api?")
        yield entries
        pages = _read_pages(answer.get("meta"))
        page += 1


def _read_pages(meta: Any) -> int:
    number = meta.get("totalPages") if isinstance(meta, dict) else None
    return number if isinstance(number, int) else 0


def _read_trace(entry: Any, scores: Mapping[str, Mapping[str, Fact]]) -> SourcedTrace | None:
    """The trace of an entry; None if it is none."""
    try:
        trace, at = str(entry["id"]), parse_moment(entry["timestamp"])
    except (KeyError, TypeError, ValueError):
        return None
    facts: dict[str, Fact] = {"trace": trace, **scores.get(trace, {})}
    for name, key in (
        *(("user", "userId"), ("session", "sessionId"), ("name", "name"), ("version", "version")),
        *(("release", "release"), ("environment", "environment")),
    ):
        if isinstance(said := entry.get(key), str):
            facts[name] = said
    facts |= dict(flatten("metadata", entry.get("metadata")))
    tags = entry.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        key, colon, value = str(tag).partition(":")
        facts[f"tag.{key}"] = value if colon else True
    # What was not asked for is told as -1, and as 0 what is not known: the cost of a model without a price, or of calls
    # that have not come yet, and the time of a trace without any.
    if isinstance(seconds := entry.get("latency"), int | float) and seconds > 0:
        facts["latency_ms"] = seconds * 1000
    if isinstance(cost := entry.get("totalCost"), int | float) and cost > 0:
        facts["cost"] = float(cost)
    return SourcedTrace(id=trace, at=at, facts=facts)
