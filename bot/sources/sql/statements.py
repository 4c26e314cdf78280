"""The statements of a pull: the engine that holds the rows sums them in 256 buckets of their units.

However many rows there are, about 512 come back for each stage and segment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import CTE, Double, Integer, and_, case, false, func, literal, not_, or_, select, text, true, union_all
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.expression import FromClause, Select, column, table

from bot.sources.sql.engines import Expression, SqlEngine
from bot.sources.sql.named_texts import HASH_DIGITS, NamedErrorTexts
from bot.sources.sql.placing import Condition, RowPlacer, RowSide, Slot
from bot.sources.stage_range import StageRange
from core.flags.flows import FLOW
from core.flags.targeting import EMAIL_DOMAIN
from core.judging.model.evidence import CANARY, OTHER_NAME, build_bucket_prefix
from core.judging.model.question import ALL_SEGMENTS
from core.metrics.catalogue import CATALOGUE, FEEDS, MAX_READING, Metric, MetricKind, denominator_key
from core.metrics.soft_errors import SOFT_ERROR_PREFIX
from core.rollout.state.sources import COMPLAINTS, SqlRows

Statement: TypeAlias = "Select[*tuple[Any, ...]]"
MAX_TEXT = 512  # characters of a unit or a segment, as for observations
_NO_CAP = 2**31 - 1
NOT_COUNTED, NO_SIDE, UNKNOWN_SIDE, BAD_UNIT = -1, -2, -3, -4
"""Instead of the number of a slot: why a row counts nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadColumn:
    """A column that readings come from. `metrics` are those that it feeds, which all take the same values.

    Without a `name`, each row is one.
    The two columns of a ratio name each other: `partner` is the number of the other one.
    """

    name: str
    key: str  # as the file names it
    metrics: tuple[str, ...]
    definition: Metric  # of the first; all of them are summed alike
    is_boolean: bool
    partner: int | None = None
    is_denominator: bool = False

    @property
    def kind(self) -> MetricKind:
        """How its values are summed."""
        return self.definition.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A derived sum of a column: readings above `threshold`, or readings cut at it (`is_cap`), from `since` on."""

    column: int
    threshold: float
    is_cap: bool = False
    since: datetime | None = None


def list_read_columns(rows: SqlRows, booleans: frozenset[str], own: Mapping[str, Metric]) -> tuple[ReadColumn, ...]:
    """The columns to read. `booleans` are those of a boolean type; `own` are the surface's own metrics that are judged,
    and one that was defined since is left for the next rollout."""
    if rows.rows == "complaints":
        counted = CATALOGUE[COMPLAINTS]
        return (ReadColumn(name="", key=COMPLAINTS, metrics=(COMPLAINTS,), definition=counted, is_boolean=False),)
    fed = [(key, name, tuple(FEEDS.get(key, (key,)))) for key, name in rows.metrics.items()]
    found = [
        ReadColumn(name=name, key=key, metrics=metrics, definition=definition, is_boolean=name in booleans)
        for key, name, metrics in fed
        if (definition := own.get(metrics[0]) or CATALOGUE.get(metrics[0])) is not None
    ]
    for key, pair in (rows.ratios or {}).items():
        for name, metric in ((pair.numerator, key), (pair.denominator, denominator_key(key))):
            if (definition := own.get(key)) is not None:
                found.append(
                    ReadColumn(
                        name=name,
                        key=metric,
                        metrics=(metric,),
                        definition=definition,
                        is_boolean=name in booleans,
                        partner=len(found) + (1 if metric == key else -1),
                        is_denominator=metric != key,
                    )
                )
    return tuple(found)


def build_probe(rows: SqlRows) -> Statement:
    """A statement that returns no row and fails if a column is missing."""
    return (
        select(*(column(quote(name)) for name in list_column_names(rows)))
        .select_from(build_origin(rows))
        .where(literal(1) == literal(0))
    )


def build_trial_of_time(engine: SqlEngine, rows: SqlRows, window: StageRange) -> Statement:
    """How many rows there are from the begin of a window on: it fails if the column of the time holds none."""
    moment = engine.to_moment(column(quote(rows.columns.at)))
    return select(func.count()).select_from(build_origin(rows)).where(moment >= engine.bind_moment(window.since))


def build_newest_time(rows: SqlRows) -> Statement:
    """One row with the largest value of the column of the time, as it is."""
    return select(func.max(column(quote(rows.columns.at)))).select_from(build_origin(rows))


def list_column_names(rows: SqlRows) -> tuple[str, ...]:
    """Every column that the source names, once each."""
    named = rows.columns
    sides = (named.exposure, named.variant, named.version, named.id)
    ratios = (name for pair in (rows.ratios or {}).values() for name in (pair.numerator, pair.denominator))
    counted = (*rows.segments.values(), *rows.metrics.values(), *ratios, *filter(None, (rows.error_category,)))
    return tuple(dict.fromkeys((named.unit, named.at, *filter(None, sides), *counted)))


class PullStatements:
    """The statements of one pull of some stages of one rollout."""

    def __init__(self, engine: SqlEngine, rows: SqlRows, columns: Sequence[ReadColumn], window: StageRange) -> None:
        self._engine = engine
        self._rows = rows
        self._window = window
        self.columns = tuple(columns)
        judged = window.tracked.segments
        self.dimensions = tuple(name for name in rows.segments if ALL_SEGMENTS in judged or name in judged)
        if window.tracked.flows:
            self.dimensions = (*(name for name in self.dimensions if name != FLOW), FLOW)
        self._raw = self._build_raw()
        placer = RowPlacer(engine=engine, window=window, row=self._row_side())
        placed = list(placer.list_slots())
        self.slots: tuple[Slot, ...] = tuple(slot for _, slot in placed)
        self._flagged = self._build_flagged(placer, [condition for condition, _ in placed])

    def build_census(self) -> Statement:
        """(why, rows, refused in whole or in part, repeated, first, last moment): what becomes of the rows read."""
        rows = self._flagged
        group = case((rows.c.slot >= 0, 0), else_=rows.c.slot)
        return select(
            group.label("why"),
            func.count().label("rows"),
            func.sum(rows.c.bad).label("bad"),
            func.sum(case((rows.c.copy > 1, 1), else_=0)).label("repeated"),
            func.min(rows.c.at).label("first"),
            func.max(rows.c.at).label("last"),
        ).group_by(group)

    def build_gaps(self) -> Statement:
        """One row with, for each column, how many rows hold NULL and how many hold no valid value; and how many hold
        no error, and no text of one that counts."""
        raw = self._raw
        counted: list[Any] = [func.count().label("rows")]
        for number, one in enumerate(self.columns):
            value = raw.c[f"m{number}"]
            counted.append(func.sum(case((value.is_(None), 1), else_=0)).label(f"null{number}"))
            counted.append(func.sum(case((self._is_bad(number, one), 1), else_=0)).label(f"bad{number}"))
        if self._rows.error_category is not None:
            text = raw.c.error_text
            counted.append(_count(or_(text.is_(None), text == "")).label("no_error"))
            counted.append(_count(self._is_bad_error()).label("bad_error"))
        return select(*counted)

    def build_versions(self, limit: int) -> Statement:
        """(value, rows): the most frequent versions, or else variants, that rows name; NULL for none."""
        raw = self._raw
        side = next(raw.c[name] for name in ("version", "variant", "exposure") if name in raw.c)
        return self._list_values(side, limit)

    def build_values(self, number: int, limit: int) -> Statement:
        """(value, rows): the most frequent values of the column of a segment, wherever the rows count."""
        value = self._raw.c[f"d{number}"]
        return self._list_values(value, limit).where(value.is_not(None), value != "")

    def build_all_error_texts(self, limit: int) -> Statement:
        """(value, rows): the most frequent texts of errors, wherever the rows count."""
        text = self._raw.c.error_text
        return self._list_values(text, limit).where(text.is_not(None), text != "")

    def _list_values(self, value: Expression, limit: int) -> Statement:
        counted = func.count()
        asked = select(value.label("value"), counted.label("rows")).group_by(value)
        return asked.order_by(counted.desc(), value).limit(limit)

    def build_names(self, dimension: int, limit: int) -> Statement:
        """(value, rows) of the most frequent values of a dimension."""
        counted = self._counted({})
        value = self._dimension_value(counted, dimension)
        return (
            select(value.label("value"), func.count().label("rows"))
            .where(value.is_not(None))
            .group_by(value)
            .order_by(func.count().desc(), value)
            .limit(limit)
        )

    def build_error_texts(self, limit: int) -> Statement:
        """(value, rows): the most frequent texts of errors in the rows that count."""
        counted = self._counted({})
        return self._list_values(counted.c.error, limit).where(counted.c.error.is_not(None))

    def build_exposures(self) -> Statement:
        """(stage, arm first seen in: 0 canary, 1 control, 2 not counted, units, last in the canary, most rows of a
        unit)."""
        counted = self._counted({})
        is_canary = [number for number, slot in enumerate(self.slots) if slot.arm == CANARY]
        splits = [number for number, slot in enumerate(self.slots) if slot.counts_for_split]
        in_canary = and_(counted.c.slot.in_(is_canary), counted.c.slot.in_(splits))
        in_control = and_(counted.c.slot.not_in(is_canary), counted.c.slot.in_(splits))
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
        counted = self._counted({})
        units = (
            select(counted.c.stage, counted.c.unit, func.count().label("rows"))
            .group_by(counted.c.stage, counted.c.unit)
            .cte("units")
        )
        return select(units.c.stage, units.c.rows.label("rows"), func.count().label("units")).group_by(
            units.c.stage, units.c.rows
        )

    def build_sums(
        self, counters: Sequence[Counter], caps: Mapping[int, int], names: Mapping[int, Sequence[str]]
    ) -> Statement:
        """(slot, dimension, value, bucket, rows, set aside, refused, repeated, then weight and sum of each column and
        counter). `caps` are rows of a unit that count, by stage; `names` the values of a dimension that have a name."""
        counted = self._counted(caps, whole=True)
        is_live = and_(counted.c.copy == 1, counted.c.rejected == 0)
        counts = and_(is_live, counted.c.rank_ok == 1)
        overall = counted.c.dimension == 0
        summed: list[Any] = [
            _count(counts).label("rows"),
            _count(and_(is_live, counted.c.rank_ok == 0, overall)).label("aside"),
            _count(and_(counted.c.copy == 1, counted.c.bad == 1, overall)).label("refused"),
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
                there = and_(there, self._at(counted) >= self._engine.bind_moment(one.since))
            cut = case((value > one.threshold, one.threshold), else_=value)
            above = case((value > one.threshold, 1.0), else_=0.0)
            summed += [
                _count(there).label(f"cw{number}"),
                _total(there, cut if one.is_cap else above).label(f"cs{number}"),
            ]
        label = self._name_values(counted, names)
        keys = [counted.c.slot, counted.c.dimension, label.label("value"), counted.c.bucket]
        return (
            select(*keys, *summed)
            .where(or_(overall, counted.c.value.is_not(None)))
            .group_by(counted.c.slot, counted.c.dimension, label, counted.c.bucket)
        )

    def build_errors(
        self, named: Sequence[NamedErrorTexts], caps: Mapping[int, int], names: Mapping[int, Sequence[str]]
    ) -> Statement:
        """(slot, dimension, value, bucket, kind, rows) of the rows with an error. `kind` is a number in `named`; -1 for
        the others."""
        counted = self._counted(caps, whole=True)
        digits = func.substr(self._engine.hash_text(counted.c.error), 1, HASH_DIGITS)
        branches = []
        for number, one in enumerate(named):
            is_named: Condition = digits.in_(list(one.hashes))
            if one.since is not None:
                is_named = and_(is_named, self._at(counted) >= self._engine.bind_moment(one.since))
            branches.append((is_named, literal(number, Integer)))
        kind: Any = case(*branches, else_=-1) if branches else literal(-1, Integer)
        label = self._name_values(counted, names)
        rows = (
            select(
                counted.c.slot,
                counted.c.dimension,
                label.label("value"),
                counted.c.bucket,
                kind.label("kind"),
            )
            .where(
                counted.c.error.is_not(None),
                counted.c.copy == 1,
                counted.c.rejected == 0,
                counted.c.rank_ok == 1,
                or_(counted.c.dimension == 0, counted.c.value.is_not(None)),
            )
            .cte("error_rows")
        )
        return select(*rows.c, func.count().label("rows")).group_by(*rows.c)

    def build_histogram(
        self, number: int, caps: Mapping[int, int], names: Mapping[int, Sequence[str]], before: datetime | None
    ) -> Statement:
        """(slot, dimension, value, bin, readings) of a column; with `before` only of everybody, and of rows before."""
        counted = self._counted(caps, whole=True)
        value = counted.c[f"v{number}"]
        counts = [
            counted.c.copy == 1,
            counted.c.rejected == 0,
            counted.c.rank_ok == 1,
            value.is_not(None),
            or_(counted.c.dimension == 0, counted.c.value.is_not(None)),
        ]
        if self.columns[number].kind is MetricKind.MEAN:
            counts.append(counted.c.dimension == 0)
        if before is not None:
            counts.append(self._at(counted) < self._engine.bind_moment(before))
        place, label = self._engine.find_bin(value), self._name_values(counted, names)
        return (
            select(counted.c.slot, counted.c.dimension, label.label("value"), place.label("bin"), func.count())
            .where(and_(*counts))
            .group_by(counted.c.slot, counted.c.dimension, label, place)
        )

    def _build_raw(self) -> CTE:
        """The rows in reach, each column as the type that it is used as."""
        engine, named = self._engine, self._rows.columns

        def read_text(name: str) -> Expression:
            return engine.to_text(column(quote(name)))

        at: Expression = column(quote(named.at))
        picked: list[Any] = [read_text(named.unit).label("unit"), at.label("at")]
        sides = {side: getattr(named, side) for side in ("exposure", "variant", "version", "id")}
        picked += [read_text(name).label(side) for side, name in sides.items() if name]
        picked += [read_text(name).label(f"d{i}") for i, name in enumerate(self._rows.segments.values())]
        picked += [
            (engine.to_number(column(quote(one.name)), one.is_boolean) if one.name else literal(1.0, Double)).label(
                f"m{number}"
            )
            for number, one in enumerate(self.columns)
        ]
        if self._rows.error_category is not None:
            picked.append(read_text(self._rows.error_category).label("error_text"))
        since, upto = (engine.bind_moment(one) for one in (self._window.since, self._window.upto))
        moment = engine.to_moment(at)
        return (
            select(*picked).select_from(build_origin(self._rows)).where(moment >= since, moment < upto).cte("raw_rows")
        )

    def _row_side(self) -> RowSide:
        raw = self._raw
        return RowSide(
            unit=raw.c.unit,
            at=raw.c.at,
            **{name: raw.c[name] for name in ("exposure", "variant", "version") if name in raw.c},
        )

    def _build_flagged(self, placer: RowPlacer, conditions: Sequence[Condition]) -> CTE:
        """Each row with its slot, and whether it is refused (in part, in whole) or a copy of another."""
        engine, raw = self._engine, self._raw
        unusable = or_(raw.c.unit.is_(None), engine.count_characters(raw.c.unit) == 0, self._is_unstorable(raw.c.unit))
        placed = [(condition, number) for number, condition in enumerate(conditions)]
        slot = case(
            (unusable, BAD_UNIT),
            (placer.names_no_side(), NO_SIDE),
            (placer.names_unknown_side(), UNKNOWN_SIDE),
            *placed,
            else_=NOT_COUNTED,
        )
        bad: Condition = or_(false(), *(self._is_bad(number, one) for number, one in enumerate(self.columns)))
        valid: Condition = or_(false(), *(self._is_valid(number, one) for number, one in enumerate(self.columns)))
        errors: list[Any] = []
        if self._rows.error_category is not None:
            error, bad_error = raw.c.error_text, self._is_bad_error()
            is_error = and_(error.is_not(None), error != "", not_(bad_error))
            bad, valid = or_(bad, bad_error), or_(valid, is_error)
            errors = [case((is_error, error)).label("error")]
        copy: Any = literal(1, Integer)
        if "id" in raw.c:
            turn = func.row_number().over(partition_by=raw.c.id, order_by=raw.c.at)
            copy = case((or_(raw.c.id.is_(None), raw.c.id == ""), 1), else_=turn)
        read = raw.c.keys()
        kept = [raw.c[name] for name in read if not name.startswith("m") and name != "error_text"]
        return select(
            *kept,
            *errors,
            *(
                case((self._is_valid(number, one), raw.c[f"m{number}"])).label(f"v{number}")
                for number, one in enumerate(self.columns)
            ),
            slot.label("slot"),
            case((bad, 1), else_=0).label("bad"),
            case((valid, 0), (bad, 1), else_=0).label("rejected"),
            copy.label("copy"),
        ).cte("flagged_rows")

    def _is_valid(self, number: int, one: ReadColumn) -> Condition:
        value = self._raw.c[f"m{number}"]
        match one.kind:
            case MetricKind.PROPORTION:
                return or_(value == 0, value == 1)
            case MetricKind.SHARE:
                return and_(value >= 0, value <= 1)
            case MetricKind.RATIO:
                other = self._raw.c[f"m{one.partner}"]
                bottom = value if one.is_denominator else other
                return and_(_is_amount(value), _is_amount(other), bottom > 0)
            case _:
                return _is_amount(value)

    def _is_bad(self, number: int, one: ReadColumn) -> Condition:
        value = self._raw.c[f"m{number}"]
        untold: Condition = value.is_(None)
        if one.partner is not None:  # of nothing there is no share
            other = self._raw.c[f"m{one.partner}"]
            untold = or_(untold, other.is_(None), and_(value == 0, other == 0))
        return case((self._is_valid(number, one), 0), (untold, 0), else_=1) == 1

    def _is_bad_error(self) -> Condition:
        """The text of an error is none that counts: too long, or one of those that soft errors are counted under."""
        text = self._raw.c.error_text
        of_soft_error = func.substr(text, 1, len(SOFT_ERROR_PREFIX)) == SOFT_ERROR_PREFIX
        return case((text.is_(None), 0), (or_(self._is_unstorable(text), of_soft_error), 1), else_=0) == 1

    def _is_unstorable(self, text: Expression) -> Condition:
        too_long = self._engine.count_characters(text) > MAX_TEXT
        return too_long if self._engine.holds_nul is None else or_(too_long, self._engine.holds_nul(text))

    def _counted(self, caps: Mapping[int, int], *, whole: bool = False) -> CTE:
        """The rows of the slots with stage and bucket; `whole` also with a turn for each segment.

        Without `whole`, rows that are refused or copies are left out.
        """
        rows = self._flagged if self._rows.rows != "complaints" else self._keep_first_of_hour()
        stage = self._find_stage(rows)
        prefix = build_bucket_prefix(self._window.tracked.rollout)
        is_live = and_(rows.c.copy == 1, rows.c.rejected == 0)
        rank_ok: Any = literal(1, Integer)
        if caps:
            rank = func.sum(case((is_live, 1), else_=0)).over(
                partition_by=(stage, rows.c.unit), order_by=rows.c.at, rows=(None, 0)
            )
            cap = case(*((stage == index, most) for index, most in sorted(caps.items())), else_=_NO_CAP)
            rank_ok = case((rank <= cap, 1), else_=0)
        found = select(
            *rows.c,
            stage.label("stage"),
            func.substr(self._engine.hash_text(literal(prefix).concat(rows.c.unit)), 1, 2).label("bucket"),
            rank_ok.label("rank_ok"),
        ).where(rows.c.slot >= 0, self._is_first_cohort(rows, stage))
        if not whole:
            return found.where(is_live).cte("counted_rows")
        counted = found.cte("counted_rows")
        turns = union_all(*(select(literal(n, Integer).label("n")) for n in range(len(self.dimensions) + 1))).cte(
            "turns"
        )
        values = [(turns.c.n == n + 1, self._dimension_value(counted, n)) for n in range(len(self.dimensions))]
        value = case(*values, else_=literal("")) if values else literal("")
        return (
            select(*counted.c, turns.c.n.label("dimension"), value.label("value"))
            .select_from(counted.join(turns, true()))
            .cte("turned_rows")
        )

    def _find_stage(self, rows: FromClause) -> Expression:
        return case(*((rows.c.slot == number, slot.stage) for number, slot in enumerate(self.slots)), else_=-1)

    def _keep_first_of_hour(self) -> CTE:
        """The rows without those that come after another one of their unit, in the same hour, stage and arm.

        So a row that comes late never takes away what was counted. Copies stay, as they are counted as such.
        """
        rows = self._flagged
        is_live = case((and_(rows.c.copy == 1, rows.c.rejected == 0), 1), else_=0)
        in_canary = rows.c.slot.in_([number for number, slot in enumerate(self.slots) if slot.arm == CANARY])
        alike = (
            self._find_stage(rows),
            case((in_canary, 1), else_=0),
            rows.c.unit,
            self._engine.find_hour(rows.c.at),
            is_live,
        )
        turn = func.row_number().over(partition_by=alike, order_by=rows.c.at)
        numbered = select(*rows.c, is_live.label("is_live"), turn.label("turn")).cte("numbered_rows")
        kept = [numbered.c[one.name] for one in rows.c]
        return select(*kept).where(or_(numbered.c.is_live == 0, numbered.c.turn == 1)).cte("first_rows")

    def _is_first_cohort(self, rows: FromClause, stage: Expression) -> Condition:
        """The unit was not compared in another cohort's stage that began before."""
        tracked = self._window.tracked
        began = {span.index: span.since for span in reversed(self._window.spans)}
        cohorts = {span.index: span.audience for span in tracked.spans if span.cohort and span.index in began}
        terms: list[Condition] = []
        for index in sorted(began):
            earlier = {
                one
                for one, audience in cohorts.items()
                if one != index and began[one] < began[index] and audience != cohorts.get(index)
            }
            slots = [n for n, slot in enumerate(self.slots) if slot.stage in earlier and slot.counts_for_split]
            if slots:
                other = self._flagged.alias(f"earlier_{index}")
                met = select(other.c.unit).where(other.c.slot.in_(slots), other.c.copy == 1, other.c.rejected == 0)
                terms.append(or_(stage != index, rows.c.unit.not_in(met)))
        return and_(true(), *terms)

    def _dimension_value(self, rows: FromClause, dimension: int) -> Expression:
        """The value of a row in a dimension; NULL where it has none that can be counted."""
        name = self.dimensions[dimension]
        names = list(self._rows.segments)
        if name == FLOW and self._window.tracked.flows:
            branches = [
                (
                    and_(*(self._matches(rows, names, key, allowed) for key, allowed in flow.conditions.conditions)),
                    literal(flow.name),
                )
                for flow in self._window.tracked.flows
            ]
            own = self._clean(rows.c[f"d{names.index(FLOW)}"]) if FLOW in names else None
            return case(*branches, else_=own)
        return self._clean(rows.c[f"d{names.index(name)}"])

    def _matches(self, rows: FromClause, names: Sequence[str], key: str, allowed: frozenset[str]) -> Condition:
        if key not in names:
            return literal(1) == literal(0)
        value = rows.c[f"d{names.index(key)}"]
        return (func.lower(value) if key == EMAIL_DOMAIN else value).in_(sorted(allowed))

    def _clean(self, value: Expression) -> Expression:
        length = self._engine.count_characters(value)
        fits = and_(length > 0, length <= MAX_TEXT)
        if self._engine.holds_nul is not None:
            fits = and_(fits, self._engine.holds_nul(value).is_(False))
        return case((fits, value))

    def _name_values(self, counted: FromClause, names: Mapping[int, Sequence[str]]) -> Expression:
        """The value, or the name of all others where a dimension has more values than names."""
        branches = [
            (and_(counted.c.dimension == number + 1, counted.c.value.not_in(list(known))), literal(OTHER_NAME))
            for number, known in sorted(names.items())
        ]
        return case(*branches, else_=counted.c.value) if branches else counted.c.value

    def _at(self, rows: FromClause) -> Expression:
        return self._engine.to_moment(rows.c.at)


def _is_amount(value: Expression) -> Condition:
    return and_(value >= 0, value <= MAX_READING)


def _count(condition: Condition) -> Expression:
    return func.sum(case((condition, 1), else_=0))


def _total(condition: Condition, value: Any) -> Expression:
    return func.sum(case((condition, value), else_=0.0))


def build_origin(rows: SqlRows) -> FromClause:
    """Where the rows are: the table, or what the select gives."""
    if rows.table:
        schema, _, name = rows.table.rpartition(".")
        return table(quote(name), schema=quote(schema) if schema else None)
    # On lines of its own, so that a comment at its end hides nothing; and a colon in it names no parameter.
    written = rows.select.replace(":", "\\:")
    return text(f"\n{written}\n").columns().alias("source_rows")


def quote(name: str) -> quoted_name:
    """A name that is always written in quotes."""
    return quoted_name(name, quote=True)
