"""Root spans and annotations of an Arize Phoenix project, by its REST API."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from bot.sources.errors import SourceFailure
from bot.sources.traces.trace import PAGE, Fact, SourcedTrace, TracePage, flatten, parse_moment
from bot.sources.web_client import WebClient
from core.rollout.state.sources import TraceRows

ANNOTATIONS = 1000
"""Annotations that are asked for at once."""
_NAMES = {"user": "user.id", "session": "session.id", "cost": "llm.cost.total"}


def list_pages(client: WebClient, rows: TraceRows, since: datetime, until: datetime) -> Iterator[TracePage]:
    """The traces of [since, until), oldest first, a page at a time. `SourceFailure` if one cannot be had."""
    project = f"/v1/projects/{quote(rows.project, safe='')}"
    asked = [
        ("start_time", since.isoformat()),
        ("end_time", until.isoformat()),
        ("parent_id", "null"),
        ("sort", "start_time"),
        ("order", "asc"),
        ("limit", str(PAGE)),
    ]
    for spans in _list_entries(client, f"{project}/spans", asked):
        scores = _read_scores(client, project, spans) if rows.reads("score.") else {}
        found = [_read_span(span, scores) for span in spans]
        traces = tuple(one for one in found if one is not None)
        yield TracePage(traces=traces, unreadable=len(found) - len(traces))


def _read_scores(client: WebClient, project: str, spans: list[Any]) -> Mapping[str, Mapping[str, Fact]]:
    """The annotations of these spans and of their traces, by the id of either."""
    found: dict[str, dict[str, Fact]] = {}
    for kind, ids in (("trace", _list_ids(spans, "trace_id")), ("span", _list_ids(spans, "span_id"))):
        asked = [*((f"{kind}_ids", one) for one in ids), ("limit", str(ANNOTATIONS))]
        for entries in _list_entries(client, f"{project}/{kind}_annotations", asked) if ids else ():
            for entry in entries:
                said = entry.get("result") if isinstance(entry, dict) else None
                given = said if isinstance(said, dict) else {}
                value = given.get("score") if given.get("score") is not None else given.get("label")
                if isinstance(value, str | int | float):
                    found.setdefault(str(entry.get(f"{kind}_id")), {})[f"score.{entry.get('name')}"] = value
    return found


def _list_ids(spans: list[Any], key: str) -> list[str]:
    contexts = [span.get("context") for span in spans if isinstance(span, dict)]
    return [str(one[key]) for one in contexts if isinstance(one, dict) and key in one]


def _list_entries(client: WebClient, path: str, asked: list[tuple[str, str]]) -> Iterator[list[Any]]:
    cursor: Any = ""
    while cursor is not None:
        answer = client.get(path, [*asked, *([("cursor", str(cursor))] if cursor else [])])
        entries = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise SourceFailure("it does not answer like a Phoenix: does its address end before /v1?")
        yield entries
        cursor = answer.get("next_cursor")


def _read_span(span: Any, scores: Mapping[str, Mapping[str, Fact]]) -> SourcedTrace | None:
    """The trace of a root span; None if it is none."""
    try:
        trace, own = str(span["context"]["trace_id"]), str(span["context"]["span_id"])
        at, end = parse_moment(span["start_time"]), parse_moment(span["end_time"])
        attributes = dict(flatten("", span["attributes"]))
    except (KeyError, TypeError, ValueError):
        return None
    facts: dict[str, Fact] = {f"attribute.{name}": value for name, value in attributes.items()}
    facts |= {name: value for name, value in attributes.items() if name.startswith("metadata.")}
    facts |= {name: attributes[key] for name, key in _NAMES.items() if key in attributes}
    facts |= {"trace": trace, "latency_ms": (end - at).total_seconds() * 1000, **scores.get(trace, {})}
    facts |= {"error": span.get("status_code") == "ERROR", "name": str(span.get("name", "")), **scores.get(own, {})}
    return SourcedTrace(id=trace, at=at, facts=facts)
