"""A trace as a source tells it, whatever the system: when it was, and its facts by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Fact = str | float | bool
PAGE = 100
"""Traces that are asked for at once: as many as every system gives."""
MAX_DEPTH = 4  # of what is flattened


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedTrace:
    """One request. `facts` are named as surface files name them: `user`, `latency_ms`, `metadata.exposure`, …"""

    id: str
    at: datetime
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePage:
    """Some traces in the order of their time, and how many entries beside them could not be read as one."""

    traces: tuple[SourcedTrace, ...] = ()
    unreadable: int = 0


def parse_moment(text: Any) -> datetime:
    """A time in ISO 8601, in UTC. ValueError if it is none."""
    if not isinstance(text, str):
        raise ValueError("a time is a text")  # noqa: TRY004 - to its caller it is a value that cannot be read
    found = datetime.fromisoformat(text)
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time lies outside of the years 1 to 9999") from None


def flatten(prefix: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Fact]]:
    """Every text, number and truth value inside of a JSON value, by its dotted name. Lists are left out."""
    match value:
        case dict() if depth < MAX_DEPTH:
            for key, inside in value.items():
                yield from flatten(f"{prefix}.{key}" if prefix else str(key), inside, depth + 1)
        case str() | bool() | int() | float():
            yield prefix, value
