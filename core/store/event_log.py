"""The append-only log: many streams, one order, every event chained to the one before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from core.rollout.events import Event
from core.store import chain, codec, instants
from core.store.database import assert_appending
from core.store.driver import fetch, insert_many

# Event ids follow from the command, so the same commands give the same log, byte for byte, on any database.
_EVENT_IDS = UUID("6f1f2f7c-3c53-4a39-9b0e-2a4f6d1c9e77")
COLUMNS = (*chain.HEADER, "body", "prev_hash", "hash")
CHANNEL = "rampart"  # NOTIFY on Postgres: a hint to look, never the truth
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM events"  # noqa: S608
_INSERT_ROWS = 500
_PAGE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event to be appended, and to which stream."""

    stream: str
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as it stands in the log. `at` is the clock handed in, `recorded_at` real time that never goes back."""

    position: int
    stream: str
    version: int
    event_id: str
    type: str
    schema_version: int
    command_id: str
    command_seq: int
    actor: str
    source: str
    cause_id: str | None
    correlation_id: str | None
    at: datetime
    recorded_at: datetime
    event: Event
    prev_hash: bytes
    hash: bytes


def append(
    connection: Connection,
    entries: Sequence[Entry],
    *,
    command_id: str,
    actor: str,
    at: datetime,
    recorded_at: datetime,
    source: str = "",
    cause_id: str | None = None,
    correlation_id: str | None = None,
) -> tuple[Recorded, ...]:
    """Add the events of one command, in order, to one or more streams; they exist once the transaction commits.

    `connection` comes from `Database.writing()`. A `recorded_at` before the newest one is lifted to it. NotStorable
    if an event cannot be kept; IntegrityError if this `command_id` has appended before.
    """
    assert_appending(connection)
    if not entries:
        return ()
    position, prev_hash, newest = _newest(connection)
    stamp = instants.text_of(max(recorded_at, newest or recorded_at))
    happened = instants.text_of(at)
    versions = {stream: _version(connection, stream) for stream in {entry.stream for entry in entries}}
    rows = []
    for seq, entry in enumerate(entries, start=1):
        position += 1
        versions[entry.stream] += 1
        kind, schema_version, body = codec.encode(entry.event)
        what = (position, entry.stream, versions[entry.stream], event_id(command_id, seq), kind, schema_version)
        header = (*what, command_id, seq, actor, source, cause_id, correlation_id, happened, stamp, None)
        following = chain.link(prev_hash, header, body)
        rows.append((*header, body, prev_hash, following))
        prev_hash = following
    insert(connection, rows)
    return tuple(_recorded(row, entry.event) for row, entry in zip(rows, entries, strict=True))


def stream(connection: Connection, name: str, after_version: int = 0) -> tuple[Recorded, ...]:
    """The events of one stream in order, from the version after `after_version` on."""
    return _read(connection, "WHERE stream = ? AND version > ? ORDER BY version", (name, after_version))


def after(connection: Connection, position: int, limit: int = 1000) -> tuple[Recorded, ...]:
    """The next events of the whole log after `position`. Positions have no gaps, so a reader cannot miss one."""
    return _read(connection, "WHERE position > ? ORDER BY position LIMIT ?", (position, limit))


def raw(connection: Connection, first: int = 1, last: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Rows of `COLUMNS` as they are hashed (times as text), unread and unchecked, in order, a page at a time.

    Text that a damaged file made unreadable comes out with surrogates in the place of its wrong bytes.
    """
    query = f"{_SELECT} WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?"
    until = last if last is not None else 2**63 - 1
    while page := _page(connection, query, (first, until, _PAGE)):
        if connection.dialect.name == "sqlite":
            yield from page
        else:
            for row in page:
                yield (*row[:12], instants.text_of(row[12]), instants.text_of(row[13]), *row[14:])
        first = page[-1][0] + 1


def _page(connection: Connection, query: str, parameters: tuple[Any, ...]) -> list[Any]:
    try:
        return fetch(connection, query, parameters)
    except OperationalError as error:
        if "Could not decode to UTF-8" not in str(error.orig):
            raise
    driver: Any = connection.connection.dbapi_connection
    driver.text_factory = lambda found: found.decode("utf-8", "surrogateescape")
    try:
        return fetch(connection, query, parameters)
    finally:
        driver.text_factory = str


def head(connection: Connection) -> tuple[int, bytes]:
    """Position and hash of the newest event; (0, 32 zero bytes) when there is none."""
    position, newest_hash, _ = _newest(connection)
    return position, newest_hash


def event_id(command_id: str, seq: int) -> str:
    """The id of the `seq`-th event (from 1) of a command."""
    return str(uuid5(_EVENT_IDS, f"{command_id}\x1f{seq}"))


def insert(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write finished rows (`COLUMNS`, times as text); the database refuses any that does not continue the chain."""
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(COLUMNS))
        insert_many(connection, f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({marks})", rows)  # noqa: S608
        return
    marks = ", ".join("?::timestamptz" if column in ("at", "recorded_at") else "?" for column in COLUMNS)
    for start in range(0, len(rows), _INSERT_ROWS):
        some = rows[start : start + _INSERT_ROWS]
        values = ", ".join([f"({marks})"] * len(some))
        fetch(
            connection,
            f"WITH added AS (INSERT INTO events ({', '.join(COLUMNS)}) VALUES {values} RETURNING position)"  # noqa: S608
            f" SELECT pg_notify('{CHANNEL}', max(position)::text) FROM added",
            [value for row in some for value in row],
        )


def _newest(connection: Connection) -> tuple[int, bytes, datetime | None]:
    rows = fetch(connection, "SELECT position, hash, recorded_at FROM events ORDER BY position DESC LIMIT 1", ())
    if not rows:
        return 0, chain.GENESIS, None
    return rows[0][0], bytes(rows[0][1]), _moment(rows[0][2])


def _version(connection: Connection, stream_name: str) -> int:
    version: int | None = fetch(connection, "SELECT max(version) FROM events WHERE stream = ?", (stream_name,))[0][0]
    return version or 0


def _read(connection: Connection, where: str, parameters: tuple[Any, ...]) -> tuple[Recorded, ...]:
    rows = fetch(connection, f"{_SELECT} {where}", parameters)
    return tuple(_recorded(row, codec.decode(row[4], row[5], row[15])) for row in rows)


def _recorded(row: Sequence[Any], event: Event) -> Recorded:
    return Recorded(
        position=row[0],
        stream=row[1],
        version=row[2],
        event_id=row[3],
        type=row[4],
        schema_version=row[5],
        command_id=row[6],
        command_seq=row[7],
        actor=row[8],
        source=row[9],
        cause_id=row[10],
        correlation_id=row[11],
        at=_moment(row[12]),
        recorded_at=_moment(row[13]),
        event=event,
        prev_hash=bytes(row[16]),
        hash=bytes(row[17]),
    )


def _moment(stored: str | datetime) -> datetime:
    return instants.of_text(stored) if isinstance(stored, str) else stored.astimezone(UTC)
