"""Tries a source before anything depends on it: what it holds, how late it is, what cannot be counted, and its cost."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.sources.errors import SourceFailure
from bot.sources.source_trial import SourceTrial
from bot.sources.sql.broken_column import name_column
from bot.sources.sql.connection import SourceConnection, open_source
from bot.sources.sql.engines import POSTGRES, SQLITE, to_microseconds
from bot.sources.sql.error_kinds import ASKED_TEXTS, name_texts
from bot.sources.sql.named_texts import hash_text
from bot.sources.sql.pull import RowCensus, pull_sums, read_census, read_columns
from bot.sources.sql.statements.pull_statements import PullStatements
from bot.sources.sql.statements.source_rows import build_newest_time
from bot.sources.stage_range import StageRange
from core.flags.bucketing import MILLION, make_bucketer, make_digester
from core.flags.snapshot import StageWindow, TrackedRollout
from core.judging.model.evidence import OTHER_NAME
from core.judging.model.question import ALL_SEGMENTS
from core.metrics.catalogue import Metric
from core.rollout.state.sources import SourceTerms, SqlRows
from core.store.observations.pulled_sums import PullMemory

MAX_LISTED = 8  # versions, and values of a segment
_TRIAL = "R-0"
"""The id under which sums are tried; no rollout has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReport:
    """A metric column: how many rows hold NULL, and how many a value that the metric cannot have."""

    column: str
    metric: str
    nulls: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """The column of the kind of error: rows without one, texts that are refused, and the kinds that come most.

    `has_others`: there are more different texts than are counted by name.
    """

    column: str
    none: int
    refused: int
    kinds: tuple[tuple[str, int], ...]
    has_others: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What a try of one source found; `failure` is empty if everything could be asked. A pull took `seconds`."""

    name: str
    engine: str = ""
    failure: str = ""
    census: RowCensus = field(default_factory=RowCensus)
    columns: tuple[ColumnReport, ...] = ()
    errors: ErrorReport | None = None
    versions: tuple[tuple[str, int], ...] = ()
    segments: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    sums: int = 0
    seconds: float = 0.0
    query: str = ""
    cost: str = ""

    @property
    def has_problem(self) -> bool:
        """Whether something cannot be read or counted."""
        seen = self.census
        lost = seen.refused_unit + seen.no_side + seen.unknown_side + seen.refused
        return bool(self.failure) or seen.rows == 0 or lost > 0 or any(one.nulls == seen.rows for one in self.columns)


def check_source(trial: SourceTrial) -> SourceReport:
    """Try a source on its rows, as one stage of a rollout that gives half of the units the canary."""
    terms, since, upto = trial.terms, trial.since, trial.upto
    window = StageRange(tracked=_build_trial(since, trial.own), stages=frozenset({0}), since=since, upto=upto)
    try:
        open_again = partial(open_source, trial.require_address(), trial.private_hosts, terms.timeout.total_seconds())
    except SourceFailure as failure:
        return SourceReport(name=terms.name, failure=str(failure))
    is_open = False
    try:
        with open_again() as source:
            is_open = True
            return _try_source(source, terms, trial.own, window)
    except SourceFailure as failure:
        if not is_open:  # no column is at fault
            return SourceReport(name=terms.name, failure=str(failure))
        named = name_column(open_again, terms.require_sql(), window, failure)
        return SourceReport(name=terms.name, failure=str(named))


def _try_source(
    source: SourceConnection, terms: SourceTerms, own: Mapping[str, Metric], window: StageRange
) -> SourceReport:
    statements = PullStatements(source.engine, terms.require_sql(), read_columns(source, terms, own), window)
    census = read_census(source.fetch(statements.build_census(), 10))
    if source.engine is SQLITE and census.rows == 0:
        _assert_times_of_sqlite(source, terms.require_sql())
    began = time.monotonic()
    pulled = pull_sums(source, terms, window, PullMemory(), None)
    seconds = time.monotonic() - began
    query = statements.build_sums((), {}, {})
    gaps = source.fetch(statements.build_gaps(), 1)[0]
    return SourceReport(
        name=terms.name,
        engine=source.engine.name,
        census=census,
        columns=tuple(
            ColumnReport(
                column=one.name,
                metric=one.key,
                nulls=int(getattr(gaps, f"null{number}") or 0),
                refused=int(getattr(gaps, f"refused{number}") or 0),
            )
            for number, one in enumerate(statements.columns)
        ),
        errors=_try_errors(source, statements, terms, gaps) if terms.counts_errors else None,
        versions=tuple(
            (row.value or "", row.rows) for row in source.fetch(statements.build_versions(MAX_LISTED), MAX_LISTED)
        ),
        segments={
            dimension: tuple(
                (row.value, row.rows) for row in source.fetch(statements.build_values(number, MAX_LISTED), MAX_LISTED)
            )
            for number, dimension in enumerate(terms.require_sql().segments)
        },
        sums=len(pulled.sums.cells),
        seconds=seconds,
        query=source.render(query),
        cost=source.explain(query)[0] if source.engine is POSTGRES else "",
    )


def _assert_times_of_sqlite(source: SourceConnection, rows: SqlRows) -> None:
    """`SourceFailure` if its column of the time holds something else, for which SQLite has no error."""
    ((newest,),) = source.fetch(build_newest_time(rows), 1)
    if newest is not None and to_microseconds(newest) is None:
        raise SourceFailure(
            f'the column "{rows.columns.at}" cannot be read as a time: SQLite needs ISO 8601, as in '
            "2026-11-30T12:00:00Z, or seconds since 1970",
            is_lasting=True,
        )


def _try_errors(source: SourceConnection, statements: PullStatements, terms: SourceTerms, gaps: Any) -> ErrorReport:
    met = [
        (row.value, int(row.rows)) for row in source.fetch(statements.build_all_error_texts(ASKED_TEXTS), ASKED_TEXTS)
    ]
    known = name_texts({}, met, None)
    kinds: Counter[str] = Counter()
    for text, rows in met:
        one = known.get(hash_text(text))
        kinds[OTHER_NAME if one is None else one.name] += rows
    return ErrorReport(
        column=terms.require_sql().error_category or "",
        none=int(gaps.no_error or 0),
        refused=int(gaps.refused_error or 0),
        kinds=tuple(kinds.most_common(MAX_LISTED)),
        has_others=len(known) < len(met),
    )


def _build_trial(since: datetime, own: Mapping[str, Metric]) -> TrackedRollout:
    """A rollout of one stage that began at `since`, whose versions are not known."""
    stage = StageWindow(
        index=0,
        name="canary",
        since=since,
        until=None,
        counted_from=since,
        settles_until=since - timedelta(seconds=1),
        exposes=True,
        control_left=True,
        cohort=False,
        canary_below=MILLION // 2,
        control_from=MILLION // 2,
    )
    return TrackedRollout(
        rollout=_TRIAL,
        from_version="",
        to_version="",
        spans=(stage,),
        is_externally_driven=False,
        bucket=make_bucketer("expose", _TRIAL),
        segments=(ALL_SEGMENTS,),
        thresholds={},
        caps={},
        moved_back={},
        digest=make_digester("expose", _TRIAL),
        metrics=own,
    )
