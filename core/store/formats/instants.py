"""The stored form of timestamps: UTC with microseconds, as text of fixed width, so that text order is time order."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine


def format_instant(moment: datetime) -> str:
    """Format a datetime as `2026-11-23T08:00:00.000000Z`; ValueError if it has no time zone."""
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError(f"The moment {moment.isoformat()} has no time zone; pass an aware datetime.")
        moment = moment.astimezone(UTC)
    return _format_utc(moment)


@lru_cache(maxsize=64)  # one command writes the same time in many places
def _format_utc(moment: datetime) -> str:
    """Takes UTC only, since the cache compares by equality: times of other zones may be equal but differ (`fold`)."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_instant(text: str) -> datetime:
    """Parse the text that `format_instant` wrote."""
    return datetime.fromisoformat(text)


class Instant(TypeDecorator[datetime]):
    """Column type of an aware datetime: TEXT on SQLite, timestamptz on Postgres; always read back in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return format_instant(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return parse_instant(value) if isinstance(value, str) else value.astimezone(UTC)
