"""Where the rows of a source are, which columns it names, and the statements that try both."""

from typing import Any, TypeAlias

from sqlalchemy import func, literal, select, text
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.expression import FromClause, Select, column, table

from bot.sources.sql.engines import SqlEngine
from bot.sources.stage_range import StageRange
from core.rollout.state.sources import SqlRows

Statement: TypeAlias = "Select[*tuple[Any, ...]]"


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
