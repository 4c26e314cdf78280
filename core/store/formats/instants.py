"""Moments as they are stored: UTC to the microsecond, as text of one width so that text order is time order."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine


def text_of(moment: datetime) -> str:
    """`2026-11-23T08:00:00.000000Z`. A moment without a zone raises ValueError."""
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError(f"The moment {moment.isoformat()} has no time zone; pass an aware datetime.")
        moment = moment.astimezone(UTC)
    return _written(moment)


@lru_cache(maxsize=64)  # one command writes the same moment in many places
def _written(moment: datetime) -> str:
    """Of UTC alone: moments of another zone may be equal without being the same (`fold`)."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def of_text(text: str) -> datetime:
    """The moment that `text_of` wrote."""
    return datetime.fromisoformat(text)


class Instant(TypeDecorator[datetime]):
    """An aware datetime: TEXT on SQLite, timestamptz on Postgres; always comes back in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return text_of(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return of_text(value) if isinstance(value, str) else value.astimezone(UTC)
