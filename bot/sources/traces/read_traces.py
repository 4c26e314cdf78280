"""Reads the traces that a pull has to count: those since the last one, and again those that may have come late."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from bot.sources.errors import SourceFailure
from bot.sources.traces import langfuse, mlflow, phoenix
from bot.sources.traces.trace import SourcedTrace, TracePage
from bot.sources.web_client import WebClient
from core.rollout.state.sources import TraceRows

REMEMBERED = timedelta(hours=23)
"""How far back a trace may be read again: what was counted is remembered for a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTraces:
    """What a pull has read: everything up to `upto`."""

    traces: tuple[SourcedTrace, ...]
    upto: datetime
    unreadable: int = 0


def list_pages(client: WebClient, rows: TraceRows, since: datetime, until: datetime) -> Iterator[TracePage]:
    """The traces of [since, until), oldest first, a page at a time. `SourceFailure` if one cannot be had."""
    match rows.system:
        case "langfuse":
            return langfuse.list_pages(client, rows, since, until)
        case "phoenix":
            return phoenix.list_pages(client, rows, since, until)
        case "mlflow":
            return mlflow.list_pages(client, rows, since, until)
        case _:
            assert_never(rows.system)


def find_start(first: datetime, upto: datetime | None, late: timedelta, now: datetime) -> datetime:
    """From when on a pull reads: `late` before where the last one ended, but nothing that may be forgotten."""
    if upto is None:
        return first
    return max(first, min(upto, max(upto - late, now - REMEMBERED)))


def read_traces(client: WebClient, rows: TraceRows, since: datetime, until: datetime, upto: datetime) -> ReadTraces:
    """The traces of [since, until). If a page cannot be had, or time runs out, what came before it is kept.

    `upto` is where the last pull ended. `SourceFailure` if this one comes no further.
    """
    found: list[SourcedTrace] = []
    unreadable = 0
    reached = since
    pages = list_pages(client, rows, since, until)
    while True:
        try:
            page = next(pages, None)
        except SourceFailure:
            # Of the moment of the last trace there may be others on the page that is missing.
            if reached <= upto:
                raise
            break
        if page is None:
            reached = until
            break
        found += page.traces
        unreadable += page.unreadable
        reached = max((one.at for one in page.traces), default=reached)
        if client.is_time_nearly_over and reached > upto:
            break
    return ReadTraces(traces=tuple(found), upto=reached, unreadable=unreadable)
