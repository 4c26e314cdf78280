"""The SQL tables, with the same columns on SQLite and Postgres.

What people and reports read is a class with typed columns; docs/data.md says what each means. The rest, and all that
writes, uses plain tables.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, Session, SQLModel
from sqlmodel.sql.expression import SelectOfScalar

from core.store.formats.instants import Instant

metadata = MetaData()
_Read = TypeVar("_Read")

_BIG = BigInteger().with_variant(Integer, "sqlite")
_SMALL = SmallInteger().with_variant(Integer, "sqlite")
_REAL: TypeEngine[float] = Double().with_variant(REAL, "sqlite")
_Text = Annotated[str, Field(sa_type=Text)]
_TextOrNone = Annotated[str | None, Field(sa_type=Text)]
_Moment = Annotated[datetime, Field(sa_type=Instant)]
_MomentOrNone = Annotated[datetime | None, Field(sa_type=Instant)]
_BigInt = Annotated[int, Field(sa_type=_BIG)]
_Key = Annotated[str, Field(sa_type=Text, primary_key=True)]


class ReadableTable(SQLModel):
    """Base of the tables that people and reports read."""

    metadata: ClassVar[MetaData] = metadata
    __table__: ClassVar[Table]
    model_config = {"defer_build": True}  # rows come from the database, which most starts of a process never ask


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT statement that supports ON CONFLICT on both databases."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def read_all(connection: Connection, statement: SelectOfScalar[_Read]) -> tuple[_Read, ...]:
    """What a query of a class or of one column finds, in the transaction of `connection`."""
    with Session(connection) as session:
        return tuple(session.exec(statement))


events = Table(
    "events",
    metadata,
    Column("position", _BIG, primary_key=True, autoincrement=False),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("event_id", Text, nullable=False),  # derived from (command_id, command_seq), which is unique
    Column("type", Text, nullable=False),
    Column("schema_version", _SMALL, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("command_seq", _SMALL, nullable=False),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("cause_id", Text),
    Column("correlation_id", Text),
    Column("at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("pii_ref", Text),
    Column("body", Text, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("stream", "version", name="events_stream_version"),
    UniqueConstraint("command_id", "command_seq", name="events_command"),
    CheckConstraint("version >= 1", name="events_version_from_one"),
    sqlite_strict=True,
)

commands = Table(
    "commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("first_position", _BIG),
    Column("last_position", _BIG),
    Column("result", Text, nullable=False),
    Column("at", Instant, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


class OutboxEntry(ReadableTable, table=True):
    """A message or a flag change that is to be sent, is being sent, or was."""

    __tablename__ = "outbox"
    __table_args__: ClassVar[Any] = (
        CheckConstraint("state IN ('pending', 'leased', 'done', 'dead')", name="outbox_state"),
        {"sqlite_strict": True},
    )

    id: Annotated[int, Field(sa_type=_BIG, primary_key=True, sa_column_kwargs={"autoincrement": True})]
    position: Annotated[int, Field(sa_type=_BIG, foreign_key="events.position")]
    kind: _Text
    ordering_key: _Text
    idempotency_key: Annotated[str, Field(sa_type=Text, unique=True)]
    supersede_key: _TextOrNone = None
    request: _Text
    state: _Text
    attempt: int
    due_at: _Moment
    lease_until: _MomentOrNone = None
    lease_token: _TextOrNone = None
    response: _TextOrNone = None
    last_error: _TextOrNone = None


outbox = OutboxEntry.__table__
# Literals, not bound parameters: the partial index is used only if a query repeats its condition literally.
_UNFINISHED_STATES: tuple[ColumnElement[str], ...] = (literal_column("'pending'"), literal_column("'leased'"))


def is_unfinished(rows: FromClause) -> ColumnElement[bool]:
    """The SQL condition that a row of `outbox` (or of an alias of it) is pending or leased."""
    return rows.c.state.in_(_UNFINISHED_STATES)


Index(
    "outbox_unfinished",
    outbox.c.ordering_key,
    outbox.c.id,
    sqlite_where=is_unfinished(outbox),
    postgresql_where=is_unfinished(outbox),
)
_DEAD = text("state = 'dead'")
Index("outbox_dead", outbox.c.id, sqlite_where=_DEAD, postgresql_where=_DEAD)
_SUPERSEDABLE = text("supersede_key IS NOT NULL AND state = 'pending'")
Index("outbox_superseded", outbox.c.supersede_key, sqlite_where=_SUPERSEDABLE, postgresql_where=_SUPERSEDABLE)


class TimerRow(ReadableTable, table=True):
    """A moment at which something is to be done once, and whether it is."""

    __tablename__ = "timer"
    __table_args__: ClassVar[Any] = (
        CheckConstraint("state IN ('leased', 'done')", name="timer_state"),
        {"sqlite_strict": True},
    )

    name: _Key
    slot: Annotated[datetime, Field(sa_type=Instant, primary_key=True)]
    state: _Text
    attempt: int
    lease_until: _Moment
    lease_token: _Text


class ProcessReport(ReadableTable, table=True):
    """The newest report of a process. `reached_at` is when it first reported its position, `seen_at` when it last
    reported. Both are real time by its own clock, so they cannot be compared across machines."""

    __tablename__ = "process"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    process_id: _Key
    role: _Text
    position: _BigInt
    reached_at: _Moment
    seen_at: _Moment


timer, process = TimerRow.__table__, ProcessReport.__table__

projection = Table(
    "projection",
    metadata,
    Column("name", Text, primary_key=True),
    Column("code_hash", Text, nullable=False),
    sqlite_strict=True,
)


class RolloutRow(ReadableTable, table=True):
    """A rollout as it stands, derived from the log."""

    __tablename__ = "rollout_view"
    __table_args__: ClassVar[Any] = (
        Index("rollout_view_surface", "surface", "state"),
        {"sqlite_strict": True, "sqlite_with_rowid": False},
    )

    id: _Key
    name: _Text
    surface: _Text
    state: _Text
    stage: int | None = None
    stage_name: _TextOrNone = None
    percent: Annotated[float | None, Field(sa_type=_REAL)] = None
    from_version: _TextOrNone = None
    to_version: _TextOrNone = None
    owner: _TextOrNone = None
    waiting_for: _TextOrNone = None
    title: _TextOrNone = None
    applied_at: _MomentOrNone = None
    started_at: _MomentOrNone = None
    ended_at: _MomentOrNone = None
    position: _BigInt


rollout_view = RolloutRow.__table__


def _build_cell_table(name: str, *of: Column[str]) -> Table:
    """One row per (rollout, `of`, stage, arm, segment, metric); `buckets` packs 256 (weight, value) pairs.

    So a batch of observations touches tens of rows instead of thousands, and a look reads kilobytes in one query.
    """
    return Table(
        name,
        metadata,
        Column("rollout", Text, primary_key=True),
        *of,
        Column("stage", Integer, primary_key=True),
        Column("arm", Text, primary_key=True),
        Column("segment", Text, primary_key=True),
        Column("metric", Text, primary_key=True),
        Column("buckets", LargeBinary, nullable=False),
        Column("histogram", LargeBinary),
        sqlite_strict=True,
    )


cell = _build_cell_table("cell")

exposure = Table(
    "exposure",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("unit_hash", _BIG, primary_key=True, autoincrement=False),
    Column("arm", Text, nullable=False),  # as last reported
    Column("counted_arm", Text),  # where the unit counts in the split; NULL in rows of before: in `arm`
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Units that were served a new version, for as long as the policy keeps them; each id encrypted with its rollout's key.
served_unit = Table(
    "served_unit",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("unit_hash", _BIG, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("requests", _BIG, nullable=False),
    sqlite_strict=True,
)

exposure_count = Table(
    "exposure_count",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("units", _BIG, nullable=False),
    sqlite_strict=True,
)

# Sums that a source computed of its own rows. Stages that are read again are replaced, so nothing is ever added twice.
pulled_cell = _build_cell_table("pulled_cell", Column("source", Text, primary_key=True))

pulled_exposure_count = Table(
    "pulled_exposure_count",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("units", _BIG, nullable=False),
    sqlite_strict=True,
)

# How the newest pull of a source went. `memory` is what the next one needs; `metrics` are those that it feeds.
source_pull = Table(
    "source_pull",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("metrics", Text, nullable=False),
    Column("memory", Text, nullable=False),
    Column("pulled_at", Instant),  # the newest pull that succeeded, and the moment up to which it read
    Column("upto", Instant),
    Column("newest_row", Instant),
    Column("read_rows", _BIG, nullable=False),
    Column("counted_rows", _BIG, nullable=False),
    Column("failing_since", Instant),  # the first failure since then; empty while it works
    Column("holds_from", Instant),  # when looks begin to hold because of it
    Column("failure", Text, nullable=False),
    sqlite_strict=True,
)

intake_batch = Table(
    "intake_batch",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text),
    Column("at", Instant, nullable=False),
    sqlite_strict=True,
)
Index("intake_batch_at", intake_batch.c.at)

intake_item = Table(
    "intake_item",
    metadata,
    Column("surface", Text, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    sqlite_strict=True,
)
Index("intake_item_at", intake_item.c.at)

# Parts of traces that came in and are not counted yet, as more of the same request may follow.
trace_part = Table(
    "trace_part",
    metadata,
    Column("trace", Text, primary_key=True),
    Column("digest", Text, primary_key=True),  # of the part: the same one sent again is there already
    Column("has_root", Integer, nullable=False),  # 1 if the outermost span of its process is in it
    Column("at", Instant, nullable=False),
    Column("part", Text, nullable=False),
    sqlite_strict=True,
)

# Traces that were counted, for as long as more of them may come: whom they were counted for, and what was seen.
counted_trace = Table(
    "counted_trace",
    metadata,
    Column("trace", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("counted", Text, nullable=False),
    sqlite_strict=True,
)
Index("counted_trace_at", counted_trace.c.at)


# Sampled answers for a judge, and what it said. `sealed` holds the unit, the question and the answer.
shadow_sample = Table(
    "shadow_sample",
    metadata,
    Column("id", Text, primary_key=True),  # random
    Column("rollout", Text, nullable=False),
    Column("surface", Text, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("arm", Text, nullable=False),
    Column("judge", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("is_judged_twice", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),  # waiting | leased | judged | failed
    Column("attempt", Integer, nullable=False),
    Column("lease_until", Instant),
    Column("passed", Integer),
    Column("score", _REAL),
    Column("passed_again", Integer),
    Column("anchor", Text),  # which anchor of the judge it is, and in which round; empty for an answer
    Column("round", Integer),
    # what its newest lease is expected to cost, in millionths of a dollar
    Column("charged", _BIG, nullable=False, server_default="0"),
    sqlite_strict=True,
)
Index("shadow_sample_rollout", shadow_sample.c.rollout, shadow_sample.c.arm)
Index("shadow_sample_expires", shadow_sample.c.expires_at)
_OPEN = text("state IN ('waiting', 'leased')")
Index("shadow_sample_open", shadow_sample.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)

# What judging a rollout has cost, in millionths of a dollar: `told` is what the judge said of `told_of` judgements.
judging_account = Table(
    "judging_account",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("spent", _BIG, nullable=False),
    Column("judged", _BIG, nullable=False),
    Column("told", _BIG, nullable=False),
    Column("told_of", _BIG, nullable=False),
    sqlite_strict=True,
)

# The cells of judged metrics as they were at the last look that trusted the judge; what came since can be set aside.
marked_cell = _build_cell_table("marked_cell")


class LookRow(ReadableTable, table=True):
    """A look at a running rollout that showed something new."""

    __tablename__ = "look"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    rollout: _Key
    number: Annotated[int, Field(primary_key=True, sa_column_kwargs={"autoincrement": False})]
    at: _Moment
    look: bytes  # compressed JSON: a rollout takes one every few seconds for weeks
    state: bytes | None = None
    sums_hash: _Text
    # looks so far, including those with nothing new
    made: Annotated[int, Field(sa_column_kwargs={"server_default": "0"})]
    repeated_at: _MomentOrNone = None  # time of the newest later look that showed nothing new


look = LookRow.__table__

# Heads of the log that were published outside the database, where its owner cannot change them.
anchor = Table(
    "anchor",
    metadata,
    Column("position", _BIG, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("place", Text, nullable=False),
    Column("at", Instant, nullable=False),
    sqlite_strict=True,
)

# A person's text in the log is encrypted with their key: deleting the row erases the text and keeps the chain valid.
person_key = Table(
    "person_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("person", Text, nullable=False, unique=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_strict=True,
)

# The folded world at some positions, so that a start need not read the whole log; the log holds the hash of each.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("position", _BIG, primary_key=True, autoincrement=False),
    Column("code", Text, primary_key=True),
    Column("world", LargeBinary, nullable=False),  # compressed JSON
    sqlite_strict=True,
)
