"""The statements of one pull. However many rows there are, about 512 come back for each stage and segment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, and_, case, func, literal, or_, select
from sqlalchemy.sql.expression import FromClause

from bot.sources.sql.engines import Expression, SqlEngine
from bot.sources.sql.named_texts import HASH_DIGITS, NamedErrorTexts
from bot.sources.sql.statements.counted_rows import CountedRows, has_value, is_counted
from bot.sources.sql.statements.flagged_rows import FlaggedRows, is_live
from bot.sources.sql.statements.placing import Condition
from bot.sources.sql.statements.read_columns import ReadColumn
from bot.sources.sql.statements.source_rows import Statement
from bot.sources.stage_range import StageRange
from core.judging.model.evidence import CANARY
from core.metrics.catalogue import MetricKind
from core.rollout.state.sources import SqlRows


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedSum:
    """A derived sum of a column: readings above `threshold`, or readings cut at it (`is_cap`), from `since` on."""

    column: int
    threshold: float
    is_cap: bool = False
    since: datetime | None = None


class PullStatements:
    """The statements of one pull of some stages of one rollout."""

    def __init__(self, engine: SqlEngine, rows: SqlRows, columns: Sequence[ReadColumn], window: StageRange) -> None:
        self._engine = engine
        self._read = FlaggedRows(engine, rows, columns, window)
        self._counted = CountedRows(self._read)
        self.columns = self._read.columns
        self.dimensions = self._counted.dimensions
        self.places = self._read.places

    def build_census(self) -> Statement:
        """(why, rows, refused in whole or in part, repeated, first, last moment): what becomes of the rows read."""
        rows = self._read.flagged
        group = case((rows.c.place >= 0, 0), else_=rows.c.place)
        return select(
            group.label("why"),
            func.count().label("rows"),
            func.sum(rows.c.refused).label("refused"),
            func.sum(case((rows.c.copy > 1, 1), else_=0)).label("repeated"),
            func.min(rows.c.at).label("first"),
            func.max(rows.c.at).label("last"),
        ).group_by(group)

    def build_gaps(self) -> Statement:
        """One row with, for each column, how many rows hold NULL and how many hold no valid value; and how many hold
        no error, and no text of one that counts."""
        raw = self._read.raw
        counted: list[Any] = [func.count().label("rows")]
        for number, one in enumerate(self.columns):
            value = raw.c[f"m{number}"]
            counted.append(func.sum(case((value.is_(None), 1), else_=0)).label(f"null{number}"))
            counted.append(func.sum(case((self._read.is_refused(number, one), 1), else_=0)).label(f"refused{number}"))
        if self._read.source.error_category is not None:
            text = raw.c.error_text
            counted.append(_count(or_(text.is_(None), text == "")).label("no_error"))
            counted.append(_count(self._read.is_error_refused()).label("refused_error"))
        return select(*counted)

    def build_versions(self, limit: int) -> Statement:
        """(value, rows): the most frequent versions, or else variants, that rows name; NULL for none."""
        raw = self._read.raw
        side = next(raw.c[name] for name in ("version", "variant", "exposure") if name in raw.c)
        return self._list_values(side, limit)

    def build_values(self, number: int, limit: int) -> Statement:
        """(value, rows): the most frequent values of the column of a segment, wherever the rows count."""
        value = self._read.raw.c[f"d{number}"]
        return self._list_values(value, limit).where(value.is_not(None), value != "")

    def build_all_error_texts(self, limit: int) -> Statement:
        """(value, rows): the most frequent texts of errors, wherever the rows count."""
        text = self._read.raw.c.error_text
        return self._list_values(text, limit).where(text.is_not(None), text != "")

    def _is_since(self, counted: FromClause, since: datetime) -> Condition:
        return self._engine.to_moment(counted.c.at) >= self._engine.bind_moment(since)

    def _list_values(self, value: Expression, limit: int) -> Statement:
        counted = func.count()
        asked = select(value.label("value"), counted.label("rows")).group_by(value)
        return asked.order_by(counted.desc(), value).limit(limit)

    def build_names(self, dimension: int, limit: int) -> Statement:
        """(value, rows) of the most frequent values of a dimension."""
        counted = self._counted.build_live_rows()
        value = self._counted.read_dimension(counted, dimension)
        return self._list_values(value, limit).where(value.is_not(None))

    def build_error_texts(self, limit: int) -> Statement:
        """(value, rows): the most frequent texts of errors in the rows that count."""
        counted = self._counted.build_live_rows()
        return self._list_values(counted.c.error, limit).where(counted.c.error.is_not(None))

    def build_exposures(self) -> Statement:
        """(stage, arm first counted in: 0 canary, 1 control, 2 not counted, units, last in the canary, most rows of a
        unit)."""
        counted = self._counted.build_live_rows()
        is_canary = [number for number, place in enumerate(self.places) if place.arm_of_split == CANARY]
        splits = [number for number, place in enumerate(self.places) if place.counts_for_split]
        in_canary = and_(counted.c.place.in_(is_canary), counted.c.place.in_(splits))
        in_control = and_(counted.c.place.not_in(is_canary), counted.c.place.in_(splits))
        first_new, last_new = (of(case((in_canary, counted.c.at))) for of in (func.min, func.max))
        first_old, last_old = (of(case((in_control, counted.c.at))) for of in (func.min, func.max))
        units = (
            select(
                counted.c.stage,
                counted.c.unit,
                first_new.label("first_new"),
                last_new.label("last_new"),
                first_old.label("first_old"),
                last_old.label("last_old"),
                func.count().label("rows"),
            )
            .group_by(counted.c.stage, counted.c.unit)
            .cte("units")
        )
        only_old, only_new = units.c.first_new.is_(None), units.c.first_old.is_(None)
        starts_new = units.c.first_new < units.c.first_old
        first = case((and_(only_old, only_new), 2), (only_old, 1), (only_new, 0), (starts_new, 0), else_=1)
        last = case((only_old, 0), (only_new, 1), (units.c.last_new > units.c.last_old, 1), else_=0)
        return select(
            units.c.stage,
            first.label("first"),
            func.count().label("units"),
            func.sum(last).label("last_new"),
            func.max(units.c.rows).label("most"),
        ).group_by(units.c.stage, first)

    def build_rates(self) -> Statement:
        """(stage, rows, units): how many units have so many rows."""
        counted = self._counted.build_live_rows()
        by_unit = counted.c.stage, counted.c.unit
        units = select(*by_unit, func.count().label("rows")).group_by(*by_unit).cte("units")
        by_rows = units.c.stage, units.c.rows
        return select(*by_rows, func.count().label("units")).group_by(*by_rows)

    def build_sums(
        self, counters: Sequence[DerivedSum], caps: Mapping[int, int], names: Mapping[int, Sequence[str]]
    ) -> Statement:
        """(place, dimension, value, bucket, rows, set aside, refused, repeated, then weight and sum of each column and
        counter). `caps` are rows of a unit that count, by stage; `names` the values of a dimension that have a name."""
        counted = self._counted.build_rows_by_dimension(caps)
        counts, overall = is_counted(counted), counted.c.dimension == 0
        summed: list[Any] = [
            _count(counts).label("rows"),
            _count(and_(is_live(counted), counted.c.is_within_cap == 0, overall)).label("aside"),
            _count(and_(counted.c.copy == 1, counted.c.refused == 1, overall)).label("refused"),
            _count(and_(counted.c.copy > 1, overall)).label("repeated"),
        ]
        for number in range(len(self.columns)):
            value = counted.c[f"v{number}"]
            there = and_(counts, value.is_not(None))
            summed += [_count(there).label(f"w{number}"), _total(there, value).label(f"s{number}")]
        for number, one in enumerate(counters):
            value = counted.c[f"v{one.column}"]
            there = and_(counts, value.is_not(None))
            if one.since is not None:
                there = and_(there, self._is_since(counted, one.since))
            cut = case((value > one.threshold, one.threshold), else_=value)
            above = case((value > one.threshold, 1.0), else_=0.0)
            summed += [
                _count(there).label(f"cw{number}"),
                _total(there, cut if one.is_cap else above).label(f"cs{number}"),
            ]
        label = self._counted.name_values(counted, names)
        keys = [counted.c.place, counted.c.dimension, label.label("value"), counted.c.bucket]
        return (
            select(*keys, *summed)
            .where(has_value(counted))
            .group_by(counted.c.place, counted.c.dimension, label, counted.c.bucket)
        )

    def build_errors(
        self, named: Sequence[NamedErrorTexts], caps: Mapping[int, int], names: Mapping[int, Sequence[str]]
    ) -> Statement:
        """(place, dimension, value, bucket, kind, rows) of the rows with an error. `kind` is a number in `named`; -1
        for the others."""
        counted = self._counted.build_rows_by_dimension(caps)
        digits = func.substr(self._engine.hash_text(counted.c.error), 1, HASH_DIGITS)
        branches = []
        for number, one in enumerate(named):
            is_named: Condition = digits.in_(list(one.hashes))
            if one.since is not None:
                is_named = and_(is_named, self._is_since(counted, one.since))
            branches.append((is_named, literal(number, Integer)))
        kind: Any = case(*branches, else_=-1) if branches else literal(-1, Integer)
        label = self._counted.name_values(counted, names)
        rows = (
            select(counted.c.place, counted.c.dimension, label.label("value"), counted.c.bucket, kind.label("kind"))
            .where(counted.c.error.is_not(None), is_counted(counted), has_value(counted))
            .cte("error_rows")
        )
        return select(*rows.c, func.count().label("rows")).group_by(*rows.c)

    def build_histogram(
        self, number: int, caps: Mapping[int, int], names: Mapping[int, Sequence[str]], before: datetime | None
    ) -> Statement:
        """(place, dimension, value, bin, readings) of a column; with `before` only of everybody, and of rows before."""
        counted = self._counted.build_rows_by_dimension(caps)
        value = counted.c[f"v{number}"]
        counts = [is_counted(counted), value.is_not(None), has_value(counted)]
        if self.columns[number].kind is MetricKind.MEAN:
            counts.append(counted.c.dimension == 0)
        if before is not None:
            counts.append(self._engine.to_moment(counted.c.at) < self._engine.bind_moment(before))
        place, label = self._engine.find_bin(value), self._counted.name_values(counted, names)
        return (
            select(counted.c.place, counted.c.dimension, label.label("value"), place.label("bin"), func.count())
            .where(and_(*counts))
            .group_by(counted.c.place, counted.c.dimension, label, place)
        )


def _count(condition: Condition) -> Expression:
    return func.sum(case((condition, 1), else_=0))


def _total(condition: Condition, value: Any) -> Expression:
    return func.sum(case((condition, value), else_=0.0))
