"""The rows that count, each with its stage, its bucket and its value in every dimension."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, Integer, Select, and_, case, func, literal, or_, select, true, union_all
from sqlalchemy.sql.expression import FromClause

from bot.sources.sql.engines import Expression
from bot.sources.sql.statements.flagged_rows import MAX_TEXT, FlaggedRows, is_live
from bot.sources.sql.statements.placing import Condition
from core.flags.flows import FLOW
from core.flags.placement import list_earlier_cohorts
from core.flags.targeting import EMAIL_DOMAIN
from core.judging.model.evidence import CANARY, OTHER_NAME, build_bucket_prefix
from core.judging.model.question import ALL_SEGMENTS

_NO_CAP = 2**31 - 1


class CountedRows:
    """Builds the rows that count out of those that were read."""

    def __init__(self, read: FlaggedRows) -> None:
        self._read = read
        tracked, named = read.window.tracked, read.source.segments
        self.dimensions = tuple(name for name in named if ALL_SEGMENTS in tracked.segments or name in tracked.segments)
        if tracked.flows:
            self.dimensions = (*(name for name in self.dimensions if name != FLOW), FLOW)

    def build_live_rows(self) -> CTE:
        """The rows of the places with stage and bucket, without those that are refused or copies."""
        rows = self._choose_rows()
        return self._select_placed(rows).where(is_live(rows)).cte("counted_rows")

    def build_rows_by_dimension(self, caps: Mapping[int, int]) -> CTE:
        """All rows of the places with stage and bucket, once for everybody and once for each dimension, with the value
        there. `is_within_cap` is 0 beyond the `caps`: how many rows of a unit count, by stage."""
        rows = self._choose_rows()
        stage = self._find_stage(rows)
        is_within_cap: Any = literal(1, Integer)
        if caps:
            rank = func.sum(case((is_live(rows), 1), else_=0)).over(
                partition_by=(stage, rows.c.unit), order_by=rows.c.at, rows=(None, 0)
            )
            cap = case(*((stage == index, most) for index, most in sorted(caps.items())), else_=_NO_CAP)
            is_within_cap = case((rank <= cap, 1), else_=0)
        counted = self._select_placed(rows).add_columns(is_within_cap.label("is_within_cap")).cte("counted_rows")
        numbers = range(len(self.dimensions) + 1)
        dimensions = union_all(*(select(literal(n, Integer).label("n")) for n in numbers)).cte("dimensions")
        values = [(dimensions.c.n == n + 1, self.read_dimension(counted, n)) for n in range(len(self.dimensions))]
        value = case(*values, else_=literal("")) if values else literal("")
        return (
            select(*counted.c, dimensions.c.n.label("dimension"), value.label("value"))
            .select_from(counted.join(dimensions, true()))
            .cte("rows_by_dimension")
        )

    def _choose_rows(self) -> CTE:
        return self._read.flagged if self._read.source.rows != "complaints" else self._keep_first_of_hour()

    def _select_placed(self, rows: CTE) -> Select[Any]:
        """The rows of the places, each with its stage and its bucket."""
        stage = self._find_stage(rows)
        prefix = build_bucket_prefix(self._read.window.tracked.rollout)
        return select(
            *rows.c,
            stage.label("stage"),
            func.substr(self._read.engine.hash_text(literal(prefix).concat(rows.c.unit)), 1, 2).label("bucket"),
        ).where(rows.c.place >= 0, self._is_first_cohort(rows, stage))

    def _find_stage(self, rows: FromClause) -> Expression:
        return case(
            *((rows.c.place == number, place.stage) for number, place in enumerate(self._read.places)), else_=-1
        )

    def _keep_first_of_hour(self) -> CTE:
        """The rows without those that come after another one of their unit, in the same hour, stage and arm.

        So a row that comes late never takes away what was counted. Copies stay, as they are counted as such.
        """
        rows = self._read.flagged
        live = case((is_live(rows), 1), else_=0)
        in_canary = rows.c.place.in_([number for number, place in enumerate(self._read.places) if place.arm == CANARY])
        hour = self._read.engine.find_hour(rows.c.at)
        alike = (self._find_stage(rows), case((in_canary, 1), else_=0), rows.c.unit, hour, live)
        turn = func.row_number().over(partition_by=alike, order_by=rows.c.at)
        numbered = select(*rows.c, live.label("is_live"), turn.label("turn")).cte("numbered_rows")
        kept = [numbered.c[one.name] for one in rows.c]
        return select(*kept).where(or_(numbered.c.is_live == 0, numbered.c.turn == 1)).cte("first_rows")

    def _is_first_cohort(self, rows: FromClause, stage: Expression) -> Condition:
        """The unit was not compared in another cohort's stage that began before."""
        window = self._read.window
        terms: list[Condition] = []
        for index in sorted(window.stages):
            earlier = list_earlier_cohorts(window.tracked, index)
            places = [
                n for n, place in enumerate(self._read.places) if place.stage in earlier and place.counts_for_split
            ]
            if places:
                other = self._read.flagged.alias(f"earlier_{index}")
                met = select(other.c.unit).where(other.c.place.in_(places), is_live(other))
                terms.append(or_(stage != index, rows.c.unit.not_in(met)))
        return and_(true(), *terms)

    def read_dimension(self, rows: FromClause, dimension: int) -> Expression:
        """The value of a row in a dimension; NULL where it has none that can be counted."""
        name = self.dimensions[dimension]
        names = list(self._read.source.segments)
        if name == FLOW and self._read.window.tracked.flows:
            branches = [
                (
                    and_(*(self._matches(rows, names, key, allowed) for key, allowed in flow.conditions.conditions)),
                    literal(flow.name),
                )
                for flow in self._read.window.tracked.flows
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
        length = self._read.engine.count_characters(value)
        fits = and_(length > 0, length <= MAX_TEXT)
        if self._read.engine.holds_nul is not None:
            fits = and_(fits, self._read.engine.holds_nul(value).is_(False))
        return case((fits, value))

    def name_values(self, counted: FromClause, names: Mapping[int, Sequence[str]]) -> Expression:
        """The value, or the name of all others where a dimension has more values than names."""
        branches = [
            (and_(counted.c.dimension == number + 1, counted.c.value.not_in(list(known))), literal(OTHER_NAME))
            for number, known in sorted(names.items())
        ]
        return case(*branches, else_=counted.c.value) if branches else counted.c.value


def is_counted(rows: FromClause) -> Condition:
    """The row counts in its stage: it is neither refused nor a copy, nor beyond the cap of its unit."""
    return and_(is_live(rows), rows.c.is_within_cap == 1)


def has_value(rows: FromClause) -> Condition:
    """The row is one of everybody's, or has a value in its dimension."""
    return or_(rows.c.dimension == 0, rows.c.value.is_not(None))
