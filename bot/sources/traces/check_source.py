"""Tries traces before anything depends on them: how many, how late, what they lack, whose side they tell, and time."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.sources.errors import SourceFailure
from bot.sources.source_trial import SourceTrial
from bot.sources.traces.build_item import to_reading
from bot.sources.traces.read_traces import list_pages
from bot.sources.traces.trace import Fact, SourcedTrace
from bot.sources.web_client import WebClient
from core.metrics.catalogue import Metric, parse_readings
from core.rollout.state.sources import TraceRows

MAX_LISTED = 8
MAX_PAGES = 5
"""Pages that are read at most: what is missing shows in the first few hundred traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactReport:
    """A metric: the fact that it is read from, how many traces lack it, and in how many it is not valid."""

    fact: str
    metric: str
    missing: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReport:
    """What a try of one tool found; `failure` is empty if everything could be asked. A page took `seconds`.

    `read` traces of the last `reach` were read, and `is_all` says whether there are no more.
    """

    name: str
    failure: str = ""
    system: str = ""
    reach: timedelta = timedelta(0)
    read: int = 0
    is_all: bool = True
    unreadable: int = 0
    no_unit: int = 0
    no_side: int = 0
    newest: datetime | None = None
    facts: tuple[FactReport, ...] = ()
    sides: tuple[tuple[str, int], ...] = ()
    segments: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def has_problem(self) -> bool:
        """Whether something cannot be read or counted."""
        lost = self.unreadable + self.no_unit + self.no_side + sum(one.bad for one in self.facts)
        return bool(self.failure) or self.read == 0 or lost > 0 or any(one.missing == self.read for one in self.facts)


def check_traces(trial: SourceTrial) -> TraceReport:
    """Try the traces of the trial's time, at most `MAX_PAGES` pages."""
    try:
        return _try_traces(trial, trial.connect())
    except SourceFailure as failure:
        return TraceReport(name=trial.terms.name, failure=str(failure))


def _try_traces(trial: SourceTrial, client: WebClient) -> TraceReport:
    rows = trial.terms.traces
    assert rows is not None
    found: list[SourcedTrace] = []
    unreadable = pages = 0
    is_all = True
    began = time.monotonic()
    for page in list_pages(client, rows, trial.since, trial.upto):
        found += page.traces
        unreadable += page.unreadable
        pages += 1
        if pages == MAX_PAGES:
            is_all = False
            break
    sides = Counter(_find_side(rows, one) for one in found)
    return TraceReport(
        name=trial.terms.name,
        system=rows.system,
        reach=trial.upto - trial.since,
        read=len(found),
        is_all=is_all,
        unreadable=unreadable,
        no_unit=sum(not one.facts.get(rows.columns.unit) for one in found),
        no_side=sides.get("", 0),
        newest=max((one.at for one in found), default=None),
        facts=tuple(_report_fact(key, fact, found, trial.own) for key, fact in rows.metrics.items()),
        sides=tuple(sides.most_common(MAX_LISTED)),
        segments={
            name: tuple(Counter(str(one.facts[fact]) for one in found if fact in one.facts).most_common(MAX_LISTED))
            for name, fact in rows.segments.items()
        },
        seconds=(time.monotonic() - began) / max(pages, 1),
    )


def _find_side(rows: TraceRows, trace: SourcedTrace) -> str:
    columns = rows.columns
    named = (columns.exposure, columns.variant, columns.version)
    return next((str(trace.facts[one]) for one in named if trace.facts.get(one)), "")


def _report_fact(key: str, fact: str, found: list[SourcedTrace], own: Mapping[str, Metric]) -> FactReport:
    there = [one.facts[fact] for one in found if fact in one.facts]
    bad = sum(not _is_valid(key, one, own) for one in there)
    return FactReport(fact=fact, metric=key, missing=len(found) - len(there), bad=bad)


def _is_valid(key: str, fact: Fact, own: Mapping[str, Metric]) -> bool:
    try:
        parse_readings(key, to_reading(fact), own)
    except ValueError:
        return False
    return True
