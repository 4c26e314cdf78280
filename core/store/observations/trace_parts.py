"""Parts of traces that wait until a request is complete, and traces that were counted."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from core.store.database.append_rows import format_array
from core.store.database.driver import execute, fetch_all, insert_many
from core.store.formats.instants import format_instant
from core.store.models import trace_part

QUIET = timedelta(seconds=5)
"""A trace whose outermost span has come is counted after so long without more of it."""
PATIENCE = timedelta(seconds=60)
"""A trace without its outermost span is counted after so long without more of it."""
MAX_WAIT = timedelta(minutes=10)
"""A trace is counted so long after its first part, whatever still comes."""
REMEMBERED = timedelta(hours=2)
"""How long a counted trace is known: longer than reports of it would be accepted."""

_CHUNK = 500  # rows of one statement
_T = TypeVar("_T")


class StoredPart(NamedTuple):
    """One part as it is stored: `part` is JSON."""

    trace: str
    has_root: bool
    part: str


_INSERT = "INSERT INTO trace_part (trace, digest, has_root, at, part) {} ON CONFLICT (trace, digest) DO NOTHING"
_INSERT_SQLITE = _INSERT.format("VALUES (?, ?, ?, ?, ?)")
_INSERT_POSTGRES = _INSERT.format("SELECT * FROM unnest(?::text[], ?::text[], ?::int[], ?::timestamptz[], ?::text[])")
_SAVE = "INSERT INTO counted_trace (trace, at, counted) {} ON CONFLICT (trace) DO UPDATE SET counted = excluded.counted"
_SAVE_SQLITE = _SAVE.format("VALUES (?, ?, ?)")
_SAVE_POSTGRES = _SAVE.format("SELECT * FROM unnest(?::text[], ?::timestamptz[], ?::text[])")


def add_parts(connection: Connection, parts: Sequence[StoredPart], at: datetime) -> None:
    """Keep parts until their trace is counted, in a writing transaction. A part that is there already stays one."""
    moment = format_instant(at)
    rows = [
        (part.trace, blake2b(part.part.encode(), digest_size=16).hexdigest(), int(part.has_root), moment, part.part)
        for part in parts
    ]
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        # In a fixed order, so that two batches with the same parts wait for each other instead of deadlocking.
        columns = zip(*sorted(rows), strict=True)
        execute(connection, _INSERT_POSTGRES, [format_array(column) for column in columns])
    else:
        insert_many(connection, _INSERT_SQLITE, rows)


def count_parts(connection: Connection) -> int:
    """How many parts wait."""
    return connection.execute(select(func.count()).select_from(trace_part)).scalar_one()


def take_due(connection: Connection, now: datetime, most: int) -> dict[str, list[str]]:
    """Remove and return the parts of traces that are due, at most `most` traces, in a writing transaction.

    One process takes at a time, so that a trace is never divided between two; for the others nothing is due.
    """
    if connection.dialect.name == "postgresql":
        ((is_first,),) = fetch_all(connection, "SELECT pg_try_advisory_xact_lock(2, 1)", ())
        if not is_first:
            return {}
    newest, oldest = func.max(trace_part.c.at), func.min(trace_part.c.at)
    due = (
        select(trace_part.c.trace)
        .group_by(trace_part.c.trace)
        .having(
            ((newest <= now - QUIET) & (func.max(trace_part.c.has_root) == 1))
            | (newest <= now - PATIENCE)
            | (oldest <= now - MAX_WAIT)
        )
        .order_by(oldest, trace_part.c.trace)
        .limit(most)
    )
    taken: dict[str, list[str]] = {}
    for some in _split_chunks(connection.execute(due).scalars().all()):
        query = f"DELETE FROM trace_part WHERE trace {_format_in(connection, some)} RETURNING trace, part"  # noqa: S608
        for trace, part in fetch_all(connection, query, _list_parameters(connection, some)):
            taken.setdefault(trace, []).append(part)
    return taken


def load_counted(connection: Connection, traces: Iterable[str]) -> dict[str, str]:
    """What is known (JSON) of those traces that were counted before."""
    known: dict[str, str] = {}
    for some in _split_chunks(sorted(traces)):
        query = f"SELECT trace, counted FROM counted_trace WHERE trace {_format_in(connection, some)}"  # noqa: S608
        known.update(fetch_all(connection, query, _list_parameters(connection, some)))
    return known


def save_counted(connection: Connection, counted: Mapping[str, str], at: datetime) -> None:
    """Remember traces as counted, each with what has to be known (JSON) if more of it comes."""
    if not counted:
        return
    moment = format_instant(at)
    rows = [(trace, moment, known) for trace, known in sorted(counted.items())]
    if connection.dialect.name == "postgresql":
        execute(connection, _SAVE_POSTGRES, [format_array(column) for column in zip(*rows, strict=True)])
    else:
        insert_many(connection, _SAVE_SQLITE, rows)


def delete_expired(connection: Connection, now: datetime) -> None:
    """Delete what is known of traces that were counted long ago."""
    fetch_all(connection, "DELETE FROM counted_trace WHERE at < ? RETURNING 1", (now - REMEMBERED,))


def _format_in(connection: Connection, values: Sequence[str]) -> str:
    """The condition that a column has one of these values; with `_list_parameters` as its parameters."""
    return "= ANY(?::text[])" if connection.dialect.name == "postgresql" else f"IN ({', '.join('?' * len(values))})"


def _list_parameters(connection: Connection, values: Sequence[str]) -> Sequence[str]:
    return [format_array(values)] if connection.dialect.name == "postgresql" else values


def _split_chunks(items: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
