"""The append-only log: many streams in one global order, each event hash-chained to the one before it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from operator import attrgetter
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from core.rollout.state.events import Event, NewEvent
from core.store.database.append_queries import EVENT_COLUMNS, SELECT_EVENTS, instant_as_text
from core.store.database.append_rows import INSERTS_BY_TABLE
from core.store.database.connections import assert_append_lock_held
from core.store.database.driver import execute, fetch_all, insert_many, stream_pages
from core.store.formats import chain, codec, instants
from core.store.formats.sealing import SealingKey

# Event ids are derived from the command, so the same commands give the same log, byte for byte, on any database.
_EVENT_IDS = UUID("6f1f2f7c-3c53-4a39-9b0e-2a4f6d1c9e77").bytes
_SELECT = f"SELECT {', '.join(EVENT_COLUMNS)} FROM events"  # noqa: S608
# Postgres
_SELECT_AS_TEXT = _SELECT.replace(" at, recorded_at,", f" {instant_as_text('at')}, {instant_as_text('recorded_at')},")
_SELECT_NEXT_POSITION = "SELECT min(position) FROM events WHERE position >= ? AND position <= ?"
_IN_ORDER = "WHERE position >= ? AND position <= ? ORDER BY position"
_column_values = attrgetter(*EVENT_COLUMNS)
_INSERT_ROWS = 500
_PAGE_ROWS = 500  # few enough to stay in the processor cache while they are worked on
# rows of one Postgres query: few enough to be sorted quickly, whatever the query plan
_POSTGRES_QUERY_ROWS = 5 * _PAGE_ROWS


class StoredEvent(NamedTuple):
    """An event of the log, with its stored columns. `at` is the injected clock, `recorded_at` real time, monotone.

    A named tuple because it is twice as fast to create as a dataclass, and a long stream needs many.
    """

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
    pii_ref: str | None
    body: str
    event: Event
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTail:
    """The end of the log: position, hash and recording time of its newest event."""

    position: int = 0
    hash: bytes = chain.GENESIS_HASH
    recorded_at: datetime | None = None

    @classmethod
    def from_event(cls, event: StoredEvent) -> Self:
        """The end of a log whose newest event is this one."""
        return cls(position=event.position, hash=event.hash, recorded_at=event.recorded_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOrigin:
    """The columns that all events of one command share. `at` is the injected clock, `recorded_at` real time."""

    command_id: str
    actor: str
    at: datetime
    recorded_at: datetime
    source: str = ""
    cause_id: str | None = None
    correlation_id: str | None = None


def chain_events(
    tail: LogTail,
    newest_version_of: Callable[[str], int],
    entries: Sequence[NewEvent],
    origin: EventOrigin,
    key: SealingKey | None,
) -> tuple[StoredEvent, ...]:
    """Chain the events of one command to the log after `tail`; `newest_version_of` gives the version of a stream.

    Personal text is sealed with `key`. A `recorded_at` before that of the tail is raised to it. NotStorable if an event
    would not read back.
    """
    recorded_at = max(origin.recorded_at, tail.recorded_at or origin.recorded_at)
    stamp, happened = instants.format_instant(recorded_at), instants.format_instant(origin.at)
    versions: dict[str, int] = {}
    position, prev_hash = tail.position, tail.hash
    found = []
    for seq, entry in enumerate(entries, start=1):
        position += 1
        name = entry.stream
        versions[name] = versions.get(name) or newest_version_of(name)
        versions[name] += 1
        id_ = derive_event_id(origin.command_id, seq)
        sealed_by = key if key is not None and codec.holds_personal_text(entry.event) else None
        kind, schema_version, body = codec.encode(entry.event, id_, sealed_by)
        what = (position, name, versions[name], id_, kind, schema_version, origin.command_id, seq, origin.actor)
        why = (origin.source, origin.cause_id, origin.correlation_id, happened, stamp)
        header = (*what, *why, sealed_by.key_id if sealed_by is not None else None)
        hash_ = chain.hash_event(prev_hash, header, body)
        found.append(_build_stored_event((*header, body, prev_hash, hash_, None), entry.event))
        prev_hash = hash_
    return tuple(found)


def build_row(recorded: StoredEvent) -> tuple[Any, ...]:
    """The row of an event, in the order of `EVENT_COLUMNS`."""
    values: tuple[Any, ...] = _column_values(recorded)
    return values


def read_stream(connection: Connection, name: str, *, types: Sequence[str] = ()) -> tuple[StoredEvent, ...]:
    """The events of one stream, in order; with `types`, only of these."""
    only = f" AND type IN ({', '.join('?' * len(types))})" if types else ""
    return parse_rows(
        fetch_all(
            connection,
            f"{SELECT_EVENTS} WHERE stream = ?{only} ORDER BY version",
            (name, *types),
        )
    )


def read_after(connection: Connection, position: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
    """The next events of the whole log after `position`. Positions have no gaps, so a reader cannot miss an event."""
    return parse_rows(
        fetch_all(connection, f"{SELECT_EVENTS} WHERE position > ? ORDER BY position LIMIT ?", (position, limit))
    )


def parse_rows(rows: Iterable[Sequence[Any]]) -> tuple[StoredEvent, ...]:
    """Parse rows of `SELECT_EVENTS`. UnknownEvent for an event that this program does not know."""
    return tuple(_build_stored_event(row, _parse_event(row)) for row in rows)


def iterate_raw_rows(connection: Connection, first: int = 1, last: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `EVENT_COLUMNS` in order, as they are hashed (times as text), neither decoded nor checked.

    Invalid UTF-8 from a damaged file comes back with surrogate escapes.
    """
    for page in iterate_raw_pages(connection, first, last):
        yield from page


def iterate_raw_pages(
    connection: Connection, first: int = 1, last: int | None = None
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield what `iterate_raw_rows` does, in pages.

    `connection` must not be used for anything else meanwhile: Postgres reads ahead while a page is worked on.
    """
    until = last if last is not None else 2**63 - 1
    width, read = (
        (_POSTGRES_QUERY_ROWS, _stream_pages) if connection.dialect.name == "postgresql" else (_PAGE_ROWS, _read_page)
    )
    following = first
    while (start := fetch_all(connection, _SELECT_NEXT_POSITION, (following, until))[0][0]) is not None:
        following = start + width
        yield from read(connection, start, min(following - 1, until))


def _stream_pages(connection: Connection, first: int, until: int) -> Iterator[list[tuple[Any, ...]]]:
    return stream_pages(connection, f"{_SELECT_AS_TEXT} {_IN_ORDER}", (first, until), _PAGE_ROWS)


def _read_page(connection: Connection, first: int, until: int) -> Iterator[list[tuple[Any, ...]]]:
    query = f"{_SELECT} {_IN_ORDER}"
    try:
        yield fetch_all(connection, query, (first, until))
    except OperationalError as error:
        if "Could not decode to UTF-8" not in str(error.orig):
            raise
        yield _fetch_with_surrogates(connection, query, (first, until))


def _fetch_with_surrogates(connection: Connection, query: str, parameters: tuple[Any, ...]) -> list[Any]:
    driver: Any = connection.connection.dbapi_connection
    driver.text_factory = lambda found: found.decode("utf-8", "surrogateescape")
    try:
        return fetch_all(connection, query, parameters)
    finally:
        driver.text_factory = str


def read_head(connection: Connection) -> tuple[int, bytes]:
    """(position, hash) of the newest event; (0, 32 zero bytes) if there is none."""
    rows = fetch_all(connection, "SELECT position, hash FROM events ORDER BY position DESC LIMIT 1", ())
    return (rows[0][0], bytes(rows[0][1])) if rows else (0, chain.GENESIS_HASH)


def read_newest_version(connection: Connection, stream: str) -> int:
    """The version of a stream's newest event; 0 if it has none."""
    rows = fetch_all(connection, "SELECT max(version) FROM events WHERE stream = ?", (stream,))
    return rows[0][0] or 0


def derive_event_id(command_id: str, seq: int) -> str:
    """The id of the `seq`-th event (from 1) of a command: a UUID version 5 (RFC 9562) of both.

    Takes a third of the time of the standard library's `uuid5`.
    """
    digest = bytearray(sha1(_EVENT_IDS + f"{command_id}\x1f{seq}".encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    hex_ = digest.hex()
    return f"{hex_[:8]}-{hex_[8:12]}-{hex_[12:16]}-{hex_[16:20]}-{hex_[20:]}"


def insert_rows(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert finished rows (`EVENT_COLUMNS`, times as text); triggers refuse any that breaks the chain."""
    assert_append_lock_held(connection)
    if connection.dialect.name == "sqlite":
        insert_many(connection, INSERTS_BY_TABLE["events"], rows)
        return
    marks = ", ".join("?::timestamptz" if column in ("at", "recorded_at") else "?" for column in EVENT_COLUMNS)
    for start in range(0, len(rows), _INSERT_ROWS):
        some = rows[start : start + _INSERT_ROWS]
        values = ", ".join([f"({marks})"] * len(some))
        execute(
            connection,
            f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES {values}",  # noqa: S608
            [value for row in some for value in row],
        )


def _parse_event(row: Sequence[Any]) -> Event:
    opening = codec.Unsealing(row[3], row[18]) if row[14] is not None else None
    return codec.decode(row[4], row[5], row[15], opening)


def _build_stored_event(row: Sequence[Any], event: Event) -> StoredEvent:
    return StoredEvent(
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
        at=_to_utc(row[12]),
        recorded_at=_to_utc(row[13]),
        pii_ref=row[14],
        body=row[15],
        event=event,
        prev_hash=bytes(row[16]),
        hash=bytes(row[17]),
    )


def _to_utc(stored: str | datetime) -> datetime:
    return instants.parse_instant(stored) if isinstance(stored, str) else stored.astimezone(UTC)
