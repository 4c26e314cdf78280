"""Finds the column that a query cannot read, where the engine names none."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import func, select
from sqlalchemy.sql.expression import column

from bot.sources.errors import SourceFailure
from bot.sources.sql.connection import SourceConnection
from bot.sources.sql.engines import Expression
from bot.sources.sql.statements import source_rows
from bot.sources.stage_range import StageRange
from core.rollout.state.sources import SqlRows

_NUMBER, _TIME, _TEXT = "a number", "a time (timestamp)", "a text"


def name_column(
    open_again: Callable[[], AbstractContextManager[SourceConnection]],
    rows: SqlRows,
    window: StageRange,
    failure: SourceFailure,
) -> SourceFailure:
    """The failure with the first column that cannot be read by itself; the failure as it is if there is none.

    Each column is tried in a connection of its own, as a statement that fails ends its transaction.
    """
    if not failure.is_lasting or any(f'"{name}"' in str(failure) for name in source_rows.list_column_names(rows)):
        return failure
    for name, meaning in _list_meanings(rows):
        try:
            with open_again() as source:
                booleans = {
                    one
                    for one, kind in source.describe(source_rows.build_probe(rows))
                    if source.engine.is_boolean(kind)
                }
                if meaning == _TIME:
                    tried = source_rows.build_trial_of_time(source.engine, rows, window)
                else:
                    read = _read(source, column(source_rows.quote(name)), meaning, is_boolean=name in booleans)
                    tried = select(func.count(), func.max(read)).select_from(source_rows.build_origin(rows))
                source.fetch(tried, 1)
        except SourceFailure as own:
            if own.is_lasting:
                return SourceFailure(f'the column "{name}" cannot be read as {meaning}: {own}', is_lasting=True)
    return failure


def _read(source: SourceConnection, value: Expression, meaning: str, *, is_boolean: bool) -> Expression:
    return source.engine.to_number(value, is_boolean) if meaning == _NUMBER else source.engine.to_text(value)


def _list_meanings(rows: SqlRows) -> Iterator[tuple[str, str]]:
    """Each column, with what it is read as."""
    yield rows.columns.at, _TIME
    numbers = [*rows.metrics.values()]
    for pair in (rows.ratios or {}).values():
        numbers += [pair.numerator, pair.denominator]
    yield from ((name, _NUMBER) for name in dict.fromkeys(numbers))
    yield from (
        (name, _TEXT) for name in source_rows.list_column_names(rows) if name not in {rows.columns.at, *numbers}
    )
