"""One pull: ask the source for the sums of the stages that rows may still arrive for, and read what comes back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.sources.errors import SourceFailure
from bot.sources.sql.connection import SourceConnection
from bot.sources.sql.engines import SQLITE, is_day
from bot.sources.sql.error_kinds import ASKED_TEXTS, find_name, list_named, name_texts
from bot.sources.sql.named_texts import NamedErrorTexts
from bot.sources.sql.statements import source_rows
from bot.sources.sql.statements.flagged_rows import NO_SIDE, REFUSED_UNIT, UNKNOWN_SIDE
from bot.sources.sql.statements.pull_statements import DerivedSum, PullStatements
from bot.sources.sql.statements.read_columns import ReadColumn, list_read_columns
from bot.sources.stage_range import StageRange
from core.judging.model.evidence import (
    BUCKETS,
    CANARY,
    CATEGORY_PREFIX,
    CONTROL,
    EVERYONE,
    REQUESTS,
    CellKey,
    capped_cell,
    exceedance_cell,
)
from core.metrics.catalogue import Metric, MetricKind
from core.rollout.state.sources import SourceTerms, SqlRows
from core.store.observations.pulled_sums import SET_ASIDE, PulledSums, PullMemory
from core.store.observations.segment_names import MAX_VALUES_PER_DIMENSION
from core.store.observations.unit_caps import CAP_MINIMUM, CAP_MULTIPLE

MAX_ROWS = 500_000
"""Rows of sums of one statement: 512 for each of forty segments in ten dimensions and two stages."""
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_DAY = 'the column "{at}" is a day, without a time: name one that has both'


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCensus:
    """What became of the rows that were read. Those of other stages, or of people who are not compared, are only in
    `rows`."""

    rows: int = 0
    placed: int = 0
    no_side: int = 0
    unknown_side: int = 0
    refused_unit: int = 0
    refused: int = 0  # in part or in whole
    repeated: int = 0
    newest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The result of a pull."""

    sums: PulledSums
    memory: PullMemory
    census: RowCensus


def read_columns(source: SourceConnection, terms: SourceTerms, own: Mapping[str, Metric]) -> tuple[ReadColumn, ...]:
    """The columns of built-in metrics and of the `own` ones, with their types as the source tells them.

    `SourceFailure` if a column is missing, or if the time is a day only: all of a day would lie at its midnight.
    """
    rows = terms.require_sql()
    described, at = source.describe(source_rows.build_probe(rows)), rows.columns.at
    if source.engine is SQLITE:
        _refuse_texts_of_sqlite(source, rows, [name for name, _ in described])
    if any(name == at and source.engine.is_date(kind) for name, kind in described):
        raise SourceFailure(_DAY.format(at=at), is_lasting=True)
    booleans = frozenset(name for name, kind in described if source.engine.is_boolean(kind))
    found = list_read_columns(rows, booleans, own)
    for one in found:
        if one.is_boolean and one.definition.has_amounts:
            raise SourceFailure(
                f'the column "{one.name}" is true or false, and {one.key} is a number ({one.definition.unit})',
                is_lasting=True,
            )
    return found


def _refuse_texts_of_sqlite(source: SourceConnection, rows: SqlRows, described: Sequence[str]) -> None:
    """`SourceFailure` where SQLite has a text and other engines an error or a type: a column that is missing is its own
    name in quotes, and a day is a text."""
    if missing := next((name for name in described if name.startswith('"')), ""):
        raise SourceFailure(f"it refuses the query: no such column: {missing}", is_lasting=True)
    ((newest,),) = source.fetch(source_rows.build_newest_time(rows), 1)
    if is_day(newest):
        raise SourceFailure(_DAY.format(at=rows.columns.at), is_lasting=True)


def pull_sums(
    source: SourceConnection, terms: SourceTerms, window: StageRange, memory: PullMemory, upto: datetime | None
) -> Pulled:
    """Sum the rows of these stages. `upto` is how far the pull before has read; None before the first."""
    columns = read_columns(source, terms, window.tracked.metrics)
    statements = PullStatements(source.engine, terms.require_sql(), columns, window)
    if not statements.places:  # nothing in reach is compared: what is there is not asked for
        return Pulled(sums=PulledSums(stages=window.stages, cells={}), memory=memory, census=RowCensus())
    census = read_census(source.fetch(statements.build_census(), 10))
    names = _choose_names(source, statements, memory)
    units, moved, most = _read_exposures(source, statements, counts_requests=terms.counts_requests)
    caps = dict(memory.unit_caps)
    if max(most.values(), default=0) > CAP_MINIMUM:
        for stage, rates in _read_rates(source, statements).items():
            caps[stage] = max(caps.get(stage, 0), find_unit_cap(rates))
    needed = caps if any(number > caps.get(stage, CAP_MINIMUM) for stage, number in most.items()) else {}
    cut_from = {
        metric: memory.cut_from.get(metric, upto or window.since)
        for metric in window.tracked.caps
        if metric in terms.metrics
    }
    known = {number: names[dimension] for number, dimension in enumerate(statements.dimensions)}
    table = _SumTable(statements, terms, window, cut_from)
    table.add_sums(source.fetch(statements.build_sums(table.counters, needed, known), MAX_ROWS))
    for number, column in enumerate(statements.columns):
        before = _histogram_end(column, cut_from)
        if before is None:
            continue
        asked = statements.build_histogram(number, needed, known, None if before == _NEVER else before)
        table.add_bins(number, source.fetch(asked, MAX_ROWS))
    texts = memory.error_texts
    if terms.counts_errors:
        met = source.fetch(statements.build_error_texts(ASKED_TEXTS), ASKED_TEXTS)
        texts = name_texts(texts, [(row.value, int(row.rows)) for row in met], upto)
        named = list_named(texts)
        table.add_errors(named, source.fetch(statements.build_errors(named, needed, known), MAX_ROWS))
    return Pulled(
        sums=PulledSums(stages=window.stages, cells=table.cells, histograms=table.histograms, units=units, moved=moved),
        memory=PullMemory(unit_caps=caps, names={**memory.names, **names}, cut_from=cut_from, error_texts=texts),
        census=census,
    )


def read_census(rows: Sequence[Any]) -> RowCensus:
    """The census from the rows of its statement."""
    by_why = {row.why: row.rows for row in rows}
    newest = [moment for row in rows if (moment := _to_moment(row.last)) is not None]
    return RowCensus(
        rows=sum(by_why.values()),
        placed=by_why.get(0, 0),
        no_side=by_why.get(NO_SIDE, 0),
        unknown_side=by_why.get(UNKNOWN_SIDE, 0),
        refused_unit=by_why.get(REFUSED_UNIT, 0),
        refused=int(sum(row.refused for row in rows)),
        repeated=int(sum(row.repeated for row in rows)),
        newest=max(newest, default=None),
    )


def _to_moment(value: object) -> datetime | None:
    """A moment as an engine returns it, in UTC; None for none, and for what cannot be read as one."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, int | float):
            value = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _choose_names(
    source: SourceConnection, statements: PullStatements, memory: PullMemory
) -> Mapping[str, tuple[str, ...]]:
    """The values of each dimension that have a name: those that had one keep it, and as many more as there is room."""
    found: dict[str, tuple[str, ...]] = {}
    for number, dimension in enumerate(statements.dimensions):
        known = memory.names.get(dimension, ())
        if len(known) < MAX_VALUES_PER_DIMENSION:
            asked = statements.build_names(number, 2 * MAX_VALUES_PER_DIMENSION)
            met = [row.value for row in source.fetch(asked, 2 * MAX_VALUES_PER_DIMENSION)]
            known = (*known, *(value for value in met if value not in known))[:MAX_VALUES_PER_DIMENSION]
        found[dimension] = known
    return found


def _read_exposures(
    source: SourceConnection, statements: PullStatements, *, counts_requests: bool
) -> tuple[dict[tuple[int, str], int], dict[int, int], dict[int, int]]:
    """(units by stage and arm first seen in, moved by stage, most rows of one unit by stage)."""
    units: dict[tuple[int, str], int] = {}
    moved: Counter[int] = Counter()
    most: dict[int, int] = {}
    for row in source.fetch(statements.build_exposures(), 10_000):
        most[row.stage] = max(most.get(row.stage, 0), int(row.most))
        if counts_requests and row.first in (0, 1):
            units[row.stage, CANARY if row.first == 0 else CONTROL] = row.units
            moved[row.stage] += int(row.last_new) - (row.units if row.first == 0 else 0)
    return units, dict(moved), most


def _read_rates(source: SourceConnection, statements: PullStatements) -> dict[int, list[tuple[int, int]]]:
    """By stage, (rows, units that have so many)."""
    found: dict[int, list[tuple[int, int]]] = {}
    for row in source.fetch(statements.build_rates(), MAX_ROWS):
        found.setdefault(row.stage, []).append((int(row.rows), int(row.units)))
    return found


def find_unit_cap(rates: Sequence[tuple[int, int]]) -> int:
    """How many rows of one unit count: `CAP_MULTIPLE` times the mean of what counts, at least `CAP_MINIMUM`.

    `rates` are (rows, units that have so many). The smallest such number: a unit does not raise its own cap.
    """
    cap = CAP_MINIMUM
    units = sum(number for _, number in rates)
    while True:
        counted = sum(min(rows, cap) * number for rows, number in rates)
        grown = max(cap, ceil(CAP_MULTIPLE * counted / units)) if units else cap
        if grown == cap or cap >= max(rows for rows, _ in rates):
            return cap
        cap = grown


def _histogram_end(column: ReadColumn, cut_from: Mapping[str, datetime]) -> datetime | None:
    """Up to when a column has a histogram: `_NEVER` if without end, None if it has none.

    That of a mean only serves to choose its cap, and ends with it.
    """
    match column.kind:
        case MetricKind.QUANTILE:
            return _NEVER
        case MetricKind.MEAN:
            return cut_from.get(column.metrics[0], _NEVER)
        case _:
            return None


@dataclass(slots=True)
class _SumTable:
    """The cells of a pull, filled from the rows that come back."""

    statements: PullStatements
    terms: SourceTerms
    window: StageRange
    cut_from: Mapping[str, datetime]
    cells: dict[CellKey, NDArray[np.float64]] = field(default_factory=dict, init=False)
    histograms: dict[CellKey, dict[int, int]] = field(default_factory=dict, init=False)
    counters: tuple[DerivedSum, ...] = field(default=(), init=False)
    _counter_names: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        listed: list[tuple[DerivedSum, str]] = []
        tracked = self.window.tracked
        for number, column in enumerate(self.statements.columns):
            for metric in column.metrics:
                listed += [
                    (DerivedSum(column=number, threshold=one), exceedance_cell(metric, one))
                    for one in tracked.thresholds.get(metric, ())
                ]
                if metric in self.cut_from:
                    cap, since = tracked.caps[metric], self.cut_from[metric]
                    above = DerivedSum(column=number, threshold=cap, since=since)
                    cut = DerivedSum(column=number, threshold=cap, is_cap=True, since=since)
                    listed += [(above, exceedance_cell(metric, cap)), (cut, capped_cell(metric, cap))]
        self.counters = tuple(one for one, _ in listed)
        self._counter_names = tuple(name for _, name in listed)

    def add_sums(self, rows: Sequence[Any]) -> None:
        """Add the rows of `build_sums`."""
        for row in rows:
            place = self.statements.places[row.place]
            segment = self._segment(row)
            bucket = int(row.bucket, 16)
            if self.terms.counts_requests:
                self._add(place.stage, place.arm, segment, REQUESTS, bucket, row.rows, row.rows)
            for metric, number in (
                (SET_ASIDE, row.aside),
                ("refused_items", row.refused),
                ("duplicate_items", row.repeated),
            ):
                self._add(place.stage, place.arm, segment, metric, bucket, number, number)
            for number, column in enumerate(self.statements.columns):
                weight, value = getattr(row, f"w{number}"), getattr(row, f"s{number}")
                for metric in column.metrics:
                    self._add(place.stage, place.arm, segment, metric, bucket, weight, value)
            for number, name in enumerate(self._counter_names):
                weight, value = getattr(row, f"cw{number}"), getattr(row, f"cs{number}")
                self._add(place.stage, place.arm, segment, name, bucket, weight, value)

    def add_errors(self, named: Sequence[NamedErrorTexts], rows: Sequence[Any]) -> None:
        """Add the rows of `build_errors`, asked with the same `named`."""
        for row in rows:
            place, metric = self.statements.places[row.place], CATEGORY_PREFIX + find_name(named, row.kind)
            self._add(place.stage, place.arm, self._segment(row), metric, int(row.bucket, 16), row.rows, row.rows)

    def add_bins(self, number: int, rows: Sequence[Any]) -> None:
        """Add the rows of `build_histogram` of a column."""
        for row in rows:
            place, segment = self.statements.places[row.place], self._segment(row)
            for metric in self.statements.columns[number].metrics:
                key = CellKey(stage=place.stage, arm=place.arm, segment=segment, metric=metric)
                bins = self.histograms.setdefault(key, {})
                bins[int(row.bin)] = bins.get(int(row.bin), 0) + int(row[-1])

    def _add(self, stage: int, arm: str, segment: str, metric: str, bucket: int, weight: float, value: float) -> None:
        if not weight:
            return
        key = CellKey(stage=stage, arm=arm, segment=segment, metric=metric)
        sums = self.cells.get(key)
        if sums is None:
            sums = self.cells[key] = np.zeros((2, BUCKETS))
        sums[0, bucket] += float(weight)
        sums[1, bucket] += float(value)

    def _segment(self, row: Any) -> str:
        return f"{self.statements.dimensions[row.dimension - 1]}={row.value}" if row.dimension else EVERYONE
