"""Traces and their assessments in an MLflow experiment, by its REST API."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bot.sources.errors import SourceFailure
from bot.sources.traces.trace import PAGE, Fact, SourcedTrace, TracePage, flatten, parse_moment
from bot.sources.web_client import WebClient
from core.rollout.state.sources import TraceRows

UNDER_WAY = "IN_PROGRESS"


def list_pages(client: WebClient, rows: TraceRows, since: datetime, until: datetime) -> Iterator[TracePage]:
    """The traces of [since, until), oldest first, a page at a time. `SourceFailure` if one cannot be had."""
    begin, end = (round(at.timestamp() * 1000) for at in (since, until))
    asked: dict[str, Any] = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": rows.project}}],
        "filter": f"trace.timestamp_ms >= {begin} AND trace.timestamp_ms < {end}",
        "max_results": PAGE,
        "order_by": ["timestamp_ms ASC"],
    }
    while True:
        answer = client.post("/api/3.0/mlflow/traces/search", asked)
        if not isinstance(answer, dict) or not isinstance(answer.get("traces", []), list):
            raise SourceFailure("it does not answer like an MLflow: does its address end before /api?")
        entries = answer.get("traces", [])
        found = [_read_trace(entry) for entry in entries]
        open_ones = sum(isinstance(entry, dict) and entry.get("state") == UNDER_WAY for entry in entries)
        traces = tuple(one for one in found if one is not None)
        yield TracePage(traces=traces, unreadable=len(found) - len(traces) - open_ones)
        if not (token := answer.get("next_page_token")):
            return
        asked["page_token"] = token


def _read_trace(entry: Any) -> SourcedTrace | None:
    """The trace of an entry; None if it is none, or is not over: it is read again."""
    try:
        trace, at = str(entry["trace_id"]), parse_moment(entry["request_time"])
        state, said, tags = entry.get("state"), entry.get("trace_metadata") or {}, entry.get("tags") or {}
        duration = float(str(entry.get("execution_duration") or "").removesuffix("s") or -1)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if state == UNDER_WAY:
        return None
    facts: dict[str, Fact] = {"trace": trace, "error": state == "ERROR"}
    facts |= dict(flatten("metadata", said)) | dict(flatten("tag", tags))
    facts |= {"latency_ms": duration * 1000} if duration >= 0 else {}
    for name, value in (
        ("request", entry.get("client_request_id")),
        ("user", said.get("mlflow.trace.user")),
        ("session", said.get("mlflow.trace.session")),
        ("name", tags.get("mlflow.traceName")),
        ("cost", _read_cost(said.get("mlflow.trace.cost"))),
    ):
        if isinstance(value, str | float):
            facts[name] = value
    assessments = entry.get("assessments")
    for one in assessments if isinstance(assessments, list) else ():
        feedback = one.get("feedback") if isinstance(one, dict) and one.get("valid", True) else None
        value = feedback.get("value") if isinstance(feedback, dict) else None
        if isinstance(value, str | int | float):
            facts[f"score.{one.get('assessment_name')}"] = value
    return SourcedTrace(id=trace, at=at, facts=facts)


def _read_cost(text: Any) -> float | None:
    """The sum of what a trace cost, as MLflow keeps it."""
    try:
        return float(json.loads(text)["total_cost"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
