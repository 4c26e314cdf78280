"""The SQL tables, with the same columns on SQLite and Postgres."""

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Double,
    ForeignKey,
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

from core.store.formats.instants import Instant

metadata = MetaData()

_BIG = BigInteger().with_variant(Integer, "sqlite")
_SMALL = SmallInteger().with_variant(Integer, "sqlite")
_REAL: TypeEngine[float] = Double().with_variant(REAL, "sqlite")


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT statement that supports ON CONFLICT on both databases."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


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

outbox = Table(
    "outbox",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("position", _BIG, ForeignKey("events.position"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("ordering_key", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("supersede_key", Text),
    Column("request", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("lease_token", Text),
    Column("response", Text),
    Column("last_error", Text),
    CheckConstraint("state IN ('pending', 'leased', 'done', 'dead')", name="outbox_state"),
    sqlite_strict=True,
)
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

timer = Table(
    "timer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("lease_token", Text, nullable=False),
    CheckConstraint("state IN ('leased', 'done')", name="timer_state"),
    sqlite_strict=True,
)

process = Table(
    "process",
    metadata,
    Column("process_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("position", _BIG, nullable=False),
    Column("reached_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    sqlite_strict=True,
)

projection = Table(
    "projection",
    metadata,
    Column("name", Text, primary_key=True),
    Column("code_hash", Text, nullable=False),
    sqlite_strict=True,
)

rollout_view = Table(
    "rollout_view",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("surface", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Integer),
    Column("stage_name", Text),
    Column("percent", _REAL),
    Column("from_version", Text),
    Column("to_version", Text),
    Column("owner", Text),
    Column("waiting_for", Text),
    Column("title", Text),
    Column("applied_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("position", _BIG, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("rollout_view_surface", rollout_view.c.surface, rollout_view.c.state)

# One row per (rollout, stage, arm, segment, metric); `buckets` packs 256 (weight, value) pairs, so a batch of
# observations touches tens of rows instead of thousands, and a look reads kilobytes in one query.
cell = Table(
    "cell",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("buckets", LargeBinary, nullable=False),
    Column("histogram", LargeBinary),
    sqlite_strict=True,
)

exposure = Table(
    "exposure",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("unit_hash", _BIG, primary_key=True, autoincrement=False),
    Column("arm", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
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

look = Table(
    "look",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("look", LargeBinary, nullable=False),  # compressed JSON: a rollout takes one every few seconds for weeks
    Column("state", LargeBinary),
    Column("sums_hash", Text, nullable=False),
    Column("made", Integer, nullable=False, server_default="0"),  # looks so far, including those with nothing new
    Column("repeated_at", Instant),  # time of the newest later look that showed nothing new
    sqlite_strict=True,
)

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
