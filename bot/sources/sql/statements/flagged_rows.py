"""The rows in reach of a pull, each with its place, and whether it is refused or a copy of another."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Double, Integer, and_, case, false, func, literal, not_, or_, select
from sqlalchemy.sql.expression import FromClause, column

from bot.sources.sql.engines import Expression, SqlEngine
from bot.sources.sql.statements.placing import Condition, RowPlace, RowPlacer, RowSide
from bot.sources.sql.statements.read_columns import ReadColumn
from bot.sources.sql.statements.source_rows import build_origin, quote
from bot.sources.stage_range import StageRange
from core.metrics.catalogue import MAX_READING, MetricKind
from core.metrics.soft_errors import SOFT_ERROR_PREFIX
from core.rollout.state.sources import SqlRows

MAX_TEXT = 512  # characters of a unit or a segment, as for observations
NOT_COUNTED, NO_SIDE, UNKNOWN_SIDE, REFUSED_UNIT = -1, -2, -3, -4
"""Instead of the number of a place: why a row counts nowhere."""


class FlaggedRows:
    """The rows of some stages of one rollout: `raw` as they are, `flagged` with what each of them is."""

    def __init__(self, engine: SqlEngine, rows: SqlRows, columns: Sequence[ReadColumn], window: StageRange) -> None:
        self.engine = engine
        self.source = rows
        self.window = window
        self.columns = tuple(columns)
        self.raw = self._build_raw()
        placer = RowPlacer(engine=engine, window=window, row=self._row_side())
        placed = list(placer.list_places())
        self.places: tuple[RowPlace, ...] = tuple(place for _, place in placed)
        self.flagged = self._build_flagged(placer, [condition for condition, _ in placed])

    def _build_raw(self) -> CTE:
        """The rows in reach, each column as the type that it is used as."""
        engine, named = self.engine, self.source.columns

        def read_text(name: str) -> Expression:
            return engine.to_text(column(quote(name)))

        at: Expression = column(quote(named.at))
        picked: list[Any] = [read_text(named.unit).label("unit"), at.label("at")]
        sides = {side: getattr(named, side) for side in ("exposure", "variant", "version", "id")}
        picked += [read_text(name).label(side) for side, name in sides.items() if name]
        picked += [read_text(name).label(f"d{i}") for i, name in enumerate(self.source.segments.values())]
        picked += [
            (engine.to_number(column(quote(one.name)), one.is_boolean) if one.name else literal(1.0, Double)).label(
                f"m{number}"
            )
            for number, one in enumerate(self.columns)
        ]
        if self.source.error_category is not None:
            picked.append(read_text(self.source.error_category).label("error_text"))
        since, upto = (engine.bind_moment(one) for one in (self.window.since, self.window.upto))
        moment = engine.to_moment(at)
        return (
            select(*picked).select_from(build_origin(self.source)).where(moment >= since, moment < upto).cte("raw_rows")
        )

    def _row_side(self) -> RowSide:
        raw = self.raw
        return RowSide(
            unit=raw.c.unit,
            at=raw.c.at,
            **{name: raw.c[name] for name in ("exposure", "variant", "version") if name in raw.c},
        )

    def _build_flagged(self, placer: RowPlacer, conditions: Sequence[Condition]) -> CTE:
        """Each row with its place, and whether it is refused (in part, in whole) or a copy of another."""
        engine, raw = self.engine, self.raw
        unusable = or_(raw.c.unit.is_(None), engine.count_characters(raw.c.unit) == 0, self._is_unstorable(raw.c.unit))
        placed = [(condition, number) for number, condition in enumerate(conditions)]
        place = case(
            (unusable, REFUSED_UNIT),
            (placer.names_no_side(), NO_SIDE),
            (placer.names_unknown_side(), UNKNOWN_SIDE),
            *placed,
            else_=NOT_COUNTED,
        )
        refused: Condition = or_(false(), *(self.is_refused(number, one) for number, one in enumerate(self.columns)))
        valid: Condition = or_(false(), *(self._is_valid(number, one) for number, one in enumerate(self.columns)))
        errors: list[Any] = []
        if self.source.error_category is not None:
            error, is_refused_error = raw.c.error_text, self.is_error_refused()
            is_error = and_(error.is_not(None), error != "", not_(is_refused_error))
            refused, valid = or_(refused, is_refused_error), or_(valid, is_error)
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
            place.label("place"),
            case((refused, 1), else_=0).label("refused"),
            case((valid, 0), (refused, 1), else_=0).label("refused_whole"),
            copy.label("copy"),
        ).cte("flagged_rows")

    def _is_valid(self, number: int, one: ReadColumn) -> Condition:
        value = self.raw.c[f"m{number}"]
        match one.kind:
            case MetricKind.PROPORTION:
                return or_(value == 0, value == 1)
            case MetricKind.SHARE:
                return and_(value >= 0, value <= 1)
            case MetricKind.RATIO:
                other = self.raw.c[f"m{one.partner}"]
                bottom = value if one.is_denominator else other
                return and_(_is_amount(value), _is_amount(other), bottom > 0)
            case _:
                return _is_amount(value)

    def is_refused(self, number: int, one: ReadColumn) -> Condition:
        """The row holds a value in this column, and it is none that a metric of its kind can have."""
        value = self.raw.c[f"m{number}"]
        untold: Condition = value.is_(None)
        if one.partner is not None:  # of nothing there is no share
            other = self.raw.c[f"m{one.partner}"]
            untold = or_(untold, other.is_(None), and_(value == 0, other == 0))
        return case((self._is_valid(number, one), 0), (untold, 0), else_=1) == 1

    def is_error_refused(self) -> Condition:
        """The text of an error is none that counts: too long, or one of those that soft errors are counted under."""
        text = self.raw.c.error_text
        of_soft_error = func.substr(text, 1, len(SOFT_ERROR_PREFIX)) == SOFT_ERROR_PREFIX
        return case((text.is_(None), 0), (or_(self._is_unstorable(text), of_soft_error), 1), else_=0) == 1

    def _is_unstorable(self, text: Expression) -> Condition:
        too_long = self.engine.count_characters(text) > MAX_TEXT
        return too_long if self.engine.holds_nul is None else or_(too_long, self.engine.holds_nul(text))


def is_live(rows: FromClause) -> Condition:
    """The row is not refused as a whole, and no copy of another one."""
    return and_(rows.c.copy == 1, rows.c.refused_whole == 0)


def _is_amount(value: Expression) -> Condition:
    return and_(value >= 0, value <= MAX_READING)
