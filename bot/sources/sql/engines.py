"""How each SQL engine says what the pull needs: a hash, a text, a number, a moment and a logarithm."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log
from typing import Any

from sqlalchemy import BigInteger, Double, Integer, String, case, cast, func, literal
from sqlalchemy.sql.expression import ColumnElement

from core.stats.quantile import GAMMA, LOWEST_BIN

_TOLERANCE = 1e-9  # as in `core.stats.quantile.bin_index`
_LOG_GAMMA = log(GAMMA)

Expression = ColumnElement[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlEngine:
    """One engine. `hash_text` gives SHA-256 as 64 lower-case hex digits; `to_moment` makes a column and a bound value
    comparable; `count_characters` counts code points.
    """

    name: str
    hash_text: Callable[[Expression], Expression]
    to_text: Callable[[Expression], Expression]
    to_number: Callable[[Expression, bool], Expression]  # the column, and whether it is boolean
    to_moment: Callable[[Expression], Expression]
    bind_moment: Callable[[datetime], Expression]
    find_hour: Callable[[Expression], Expression]  # in UTC, of a column of a time
    count_characters: Callable[[Expression], Expression]
    natural_log: Callable[[Expression], Expression]
    is_boolean: Callable[[Any], bool]  # of the type that the driver tells of a column
    is_date: Callable[[Any], bool] = lambda _: False  # of the same type: a day, without a time
    holds_nul: Callable[[Expression], Expression] | None = None  # None where a text cannot hold NUL

    def find_bin(self, value: Expression) -> Expression:
        """The log-histogram bin of a value that is at least 0, as in `core.stats.quantile.bin_index`."""
        lowest = literal(LOWEST_BIN)
        # The smallest positive float lies below the lowest bin: its logarithm exists on every engine.
        place = cast(func.ceil(self.natural_log(value) / literal(_LOG_GAMMA, Double) - _TOLERANCE), BigInteger)
        return case((value <= 0, lowest), (place < lowest, lowest), else_=place)


def to_double(value: Expression, is_boolean: bool) -> Expression:
    """The column as a number; 0 and 1 for false and true."""
    return cast(cast(value, Integer), Double) if is_boolean else cast(value, Double)


def _as_is(value: Expression) -> Expression:
    return value


def _truncate_to_hour(moment: Expression) -> Expression:
    """The hour of a time, in the zone of the session, which is UTC."""
    return func.date_trunc("hour", moment)


def _bind_utc(moment: datetime) -> Expression:
    return literal(moment.astimezone(UTC))


POSTGRES = SqlEngine(
    name="postgresql",
    hash_text=lambda text: func.encode(func.sha256(func.convert_to(text, "UTF8")), "hex").collate("C"),
    to_text=lambda value: cast(value, String),
    to_number=to_double,
    to_moment=_as_is,
    bind_moment=_bind_utc,
    find_hour=_truncate_to_hour,
    count_characters=func.char_length,
    natural_log=func.ln,
    is_boolean=lambda kind: kind == 16,  # the OID of bool
    is_date=lambda kind: kind == 1082,  # the OID of date
)

DUCKDB = SqlEngine(
    name="duckdb",
    hash_text=func.sha256,
    to_text=lambda value: cast(value, String),
    to_number=to_double,
    to_moment=_as_is,
    bind_moment=_bind_utc,
    find_hour=_truncate_to_hour,
    count_characters=func.length,
    natural_log=func.ln,
    is_boolean=lambda kind: str(kind).upper() in ("BOOLEAN", "BOOL"),
    is_date=lambda kind: str(kind).upper() == "DATE",
    holds_nul=lambda text: func.instr(text, func.chr(0)) > 0,
)


def _read_sqlite_number(value: Expression, _: bool) -> Expression:
    """SQLite would read a text as 0, which no row said: -1 is no valid value of any metric."""
    return case(
        (func.typeof(value).in_(["integer", "real"]), cast(value, Double)), (value.is_(None), None), else_=literal(-1.0)
    )


def to_microseconds(moment: object) -> int | None:
    """Microseconds since 1970 of ISO 8601 text (UTC if it names no zone) or seconds since 1970; None for others, such
    as a day without a time."""
    try:
        match moment:
            case str() if len(moment) > _LONGEST_DAY:
                at = datetime.fromisoformat(moment)
                at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
                return round((at - _EPOCH).total_seconds() * 1e6)
            case int() | float() if abs(moment) < _MOST_SECONDS:
                return round(moment * 1e6)
    except (ValueError, OverflowError):
        return None
    return None


def is_day(moment: object) -> bool:
    """Whether it is the ISO 8601 text of a day without a time."""
    if not isinstance(moment, str) or len(moment) > _LONGEST_DAY:
        return False
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return False
    return True


_LONGEST_DAY = len("2026-11-30")
_HOUR_IN_MICROSECONDS = 3_600_000_000
_MOST_SECONDS = 1e12  # far beyond the year 9999, and what SQLite can hold in microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The functions named rampart_… are registered on each connection; see `connection`.
SQLITE = SqlEngine(
    name="sqlite",
    hash_text=func.rampart_sha256,
    to_text=lambda value: cast(value, String),
    to_number=_read_sqlite_number,
    to_moment=lambda value: func.rampart_moment(value, type_=BigInteger),
    bind_moment=lambda moment: literal(to_microseconds(moment.isoformat()), BigInteger),
    find_hour=lambda value: func.rampart_moment(value, type_=BigInteger).op("/")(_HOUR_IN_MICROSECONDS),
    count_characters=func.length,
    natural_log=func.rampart_ln,
    is_boolean=lambda _: False,
    holds_nul=lambda text: func.instr(text, func.char(0)) > 0,
)


def _bind_clickhouse(moment: datetime) -> Expression:
    """As a number: a moment that a driver formats would be read in the server's zone."""
    return func.fromUnixTimestamp64Micro(func.toInt64(literal(to_microseconds(moment.isoformat()), BigInteger)), "UTC")


CLICKHOUSE = SqlEngine(
    name="clickhouse",
    hash_text=lambda text: func.lower(func.hex(func.SHA256(text))),
    to_text=func.toString,
    to_number=lambda value, _: func.toFloat64(value),
    to_moment=_as_is,
    bind_moment=_bind_clickhouse,
    find_hour=lambda value: func.toStartOfHour(value, "UTC"),
    count_characters=func.lengthUTF8,
    natural_log=func.log,
    is_boolean=lambda kind: "Bool" in str(kind),
    is_date=lambda kind: re.search(r"\bDate(32)?\b", str(kind)) is not None,
    holds_nul=lambda text: func.position(text, func.char(0)) > 0,
)
