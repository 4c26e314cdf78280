"""Every way around the triggers that we know of: closed by the database, or seen by `audit verify`."""

import sqlite3

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from core.store.audit.verify import verify
from core.store.database.append_queries import EVENT_COLUMNS
from core.store.database.connections import connect
from core.store.formats import chain
from core.store.log import event_log
from core.store.schema import migrations
from tests.store.test_tampering import five  # noqa: F401 - a fixture

ALL = ", ".join(EVENT_COLUMNS)
AGAIN = f"SELECT {ALL} FROM events WHERE position = 2"
# The next event as the chain wants it, but for the `changed` column, which repeats that of an older event.
NEXT = {
    "position": "6",
    "stream": "'surface:new'",
    "version": "1",
    "event_id": "'e-6'",
    "type": "type",
    "schema_version": "1",
    "command_id": "'c9'",
    "command_seq": "1",
    "prev_hash": "hash",
    "hash": "randomblob(32)",
}


def next_one(**changed):
    values = {**{name: name for name in EVENT_COLUMNS}, **NEXT, **changed}
    return f"SELECT {', '.join(values[name] for name in EVENT_COLUMNS)} FROM events WHERE position = 5"


@pytest.fixture
def sqlite(sqlite_url):
    """The file as any other program opens it."""
    raw = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    yield raw
    raw.close()


@pytest.fixture
def database(request, sqlite_url):
    """SQLite, or Postgres for the tests that ask for its owner."""
    url = request.getfixturevalue("own_postgres") if "owner" in request.fixturenames else sqlite_url
    with connect(url) as opened:
        yield opened


@pytest.fixture
def owner(own_postgres):
    """A superuser's own session."""
    with psycopg.connect(own_postgres, autocommit=True) as raw:
        yield raw


def found(database):
    with database.reading() as connection:
        return [(p.position, p.what) for p in verify(connection).problems]


def missing(name):
    return (None, f"the trigger {name} is missing or altered")


EVERY_TRIGGER = [missing(n) for n in ("events_continue_the_chain", "events_never_change", "events_never_go")]


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    "way",
    [
        f"INSERT OR REPLACE INTO events ({ALL}) {AGAIN}",
        f"REPLACE INTO events ({ALL}) {AGAIN}",
        f"PRAGMA recursive_triggers = OFF; INSERT OR REPLACE INTO events ({ALL}) {AGAIN}",
        f"INSERT OR IGNORE INTO events ({ALL}) {AGAIN}",
        f"INSERT INTO events ({ALL}) {AGAIN} AND true ON CONFLICT (position) DO UPDATE SET actor = 'x'",
        "UPDATE events SET actor = 'x'",
        "UPDATE OR REPLACE events SET position = 1 WHERE position = 2",
        "UPDATE OR IGNORE events SET actor = 'x'",
        "PRAGMA recursive_triggers = OFF; UPDATE OR REPLACE events SET position = 1 WHERE position = 2",
        "PRAGMA ignore_check_constraints = ON; UPDATE events SET version = -version",
        "PRAGMA foreign_keys = OFF; DELETE FROM events",
        "DELETE FROM events WHERE position = 5",
        f"INSERT INTO events ({ALL}) {next_one(position='-1')}",
        # SQLite would delete the row that is in the way without asking the trigger that forbids it
        "INSERT OR REPLACE INTO events (" + ALL + ") " + next_one(command_id="'c1'", command_seq="1"),
    ],
)
def test_sqlite_refuses(database, sqlite, way):
    with pytest.raises(sqlite3.IntegrityError, match="events: "):
        sqlite.executescript(way)
    assert found(database) == []


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("way", "where"),
    [
        # a row that continues the chain in form, with a hash that is none
        (f"INSERT INTO events ({ALL}) {next_one()}", 6),
        (
            f"DROP TRIGGER events_continue_the_chain; INSERT INTO events ({ALL}) {next_one(position='-1')}",
            -1,
        ),
        ("DROP TRIGGER events_never_change; UPDATE events SET actor = 'x' WHERE position = 3", 3),
        ("DROP TRIGGER events_never_go; DELETE FROM events WHERE position = 3", 3),
        (
            "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE type = 'trigger';"
            "PRAGMA writable_schema = RESET; UPDATE events SET actor = 'x' WHERE position = 3",
            3,
        ),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TRIGGER events_never_change"
            " BEFORE UPDATE ON events BEGIN SELECT 1; END' WHERE name = 'events_never_change';"
            "PRAGMA writable_schema = RESET; UPDATE events SET actor = 'x' WHERE position = 3",
            3,
        ),
        (
            "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; ALTER TABLE events RENAME TO old;"
            "CREATE TABLE events AS SELECT * FROM old; UPDATE events SET actor = 'x' WHERE position = 3",
            3,
        ),
        ("PRAGMA foreign_keys = OFF; DROP TABLE events; CREATE TABLE events AS SELECT 1 AS position", None),
    ],
)
def test_what_sqlite_lets_a_stranger_do_is_seen(database, sqlite, way, where):
    sqlite.executescript(way)
    with connect(f"sqlite:///{database.path}") as fresh:
        if "DROP TABLE" in way:
            with pytest.raises(migrations.SchemaMismatch, match="not protected"):
                migrations.assert_current(fresh)
            return
        seen = [position for position, what in found(fresh) if position is not None]
        assert seen
        assert where is None or seen[0] == where


@pytest.mark.usefixtures("five")
def test_a_migration_that_copies_the_table_loses_its_triggers_and_that_is_seen_and_mended(database):
    """Alembic's batch mode on SQLite builds a new table, and says nothing about what it leaves behind."""
    with database.writing() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("events", recreate="always") as batch:
            batch.alter_column("source", nullable=True)
    assert found(database)[:3] == EVERY_TRIGGER
    with pytest.raises(migrations.SchemaMismatch, match="not protected"):
        migrations.assert_current(database)
    migrations.migrate(database)
    assert found(database) == []


REPLICA = "SET session_replication_role = replica; "


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("as_who", ["", REPLICA])  # a replica is also what logical replication applies as
@pytest.mark.parametrize(
    "way",
    [
        "UPDATE events SET actor = 'x'",
        "DELETE FROM events WHERE position = 5",
        "TRUNCATE events CASCADE",
        "TRUNCATE events, outbox",
        f"INSERT INTO events ({ALL}) {AGAIN}",
        f"INSERT INTO events ({ALL}) {AGAIN} ON CONFLICT (position) DO UPDATE SET actor = 'x'",
        "MERGE INTO events USING commands ON position = 2 AND commands.command_id = 'c1'"
        " WHEN MATCHED THEN UPDATE SET actor = 'x'",
        "MERGE INTO events USING commands ON position = 5 AND commands.command_id = 'c1' WHEN MATCHED THEN DELETE",
        f"WITH gone AS (DELETE FROM events WHERE position = 5 RETURNING *) SELECT {ALL} FROM gone",
    ],
)
def test_postgres_refuses_even_a_superuser(database, owner, as_who, way):
    with pytest.raises(psycopg.errors.RaiseException, match="events: "):
        owner.execute(as_who + way)
    assert found(database) == []


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("as_who", ["", REPLICA])
def test_postgres_refuses_a_copy_that_does_not_continue_the_chain(database, owner, as_who):
    owner.execute(as_who or "SELECT 1")
    rows = owner.execute("SELECT * FROM events WHERE position = 2").fetchall()
    with (
        pytest.raises(psycopg.errors.RaiseException, match="events: the position does not follow"),
        owner.cursor() as cursor,
        cursor.copy("COPY events FROM STDIN") as copy,
    ):
        copy.write_row(rows[0])
    assert found(database) == []


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("way", "where", "trigger"),
    [
        ("ALTER TABLE events DISABLE TRIGGER ALL; UPDATE events SET actor = 'x' WHERE position = 3", 3, True),
        (
            "DROP TRIGGER events_never_change ON events; DELETE FROM outbox; DELETE FROM events WHERE position = 3",
            3,
            True,
        ),
        ("ALTER TABLE events ENABLE REPLICA TRIGGER events_never_change", None, True),
        ("ALTER TABLE events ENABLE TRIGGER events_never_change", None, True),
        (
            "CREATE OR REPLACE FUNCTION events_never_change() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RETURN NEW; END'; UPDATE events SET actor = 'x' WHERE position = 3",
            3,
            True,
        ),
        ("SET allow_system_table_mods = on; UPDATE pg_trigger SET tgenabled = 'D'", None, True),
        # rows of a child are rows of its parent, and triggers are not inherited
        (f"CREATE TABLE extra () INHERITS (events); INSERT INTO extra ({ALL}) {AGAIN.replace('2', '5')}", 5, False),
    ],
)
def test_what_postgres_lets_its_owner_do_is_seen(database, owner, way, where, trigger):
    owner.execute(way)
    seen = found(database)
    assert any(position is None and "trigger" in what for position, what in seen) is trigger
    positions = [position for position, _ in seen if position is not None]
    assert positions[:1] == ([where] if where else [])


@pytest.mark.usefixtures("five")
def test_a_table_that_was_put_in_the_place_of_the_log_is_seen(database, owner):
    owner.execute("ALTER TABLE events RENAME TO kept; CREATE TABLE events AS TABLE kept")
    assert found(database) == EVERY_TRIGGER
    with pytest.raises(migrations.SchemaMismatch, match="not protected"):
        migrations.assert_current(database)


@pytest.mark.usefixtures("five")
def test_a_command_carried_out_twice_is_seen_where_no_constraint_is_left(database, owner):
    owner.execute("ALTER TABLE events DROP CONSTRAINT events_command")
    with database.writing() as connection:
        *_, newest = event_log.iterate_raw_rows(connection)
        again = (6, newest[1], newest[2] + 1, *newest[3:6], "c1", 1, *newest[8:15])
        stored, prev_hash = newest[15], newest[17]
        event_log.insert_rows(connection, [(*again, stored, prev_hash, chain.hash_event(prev_hash, again, stored))])
    assert found(database) == [(1, "has a duplicate: the command c1 was carried out twice")]


@pytest.mark.parametrize("position", [500, 2500])
def test_a_repeated_position_is_seen_even_where_a_page_of_the_log_ends(database, owner, append, entry, position):
    append("c1", [entry()] * 2503)
    again = AGAIN.replace("2", str(position))
    owner.execute(f"CREATE TABLE extra () INHERITS (events); INSERT INTO extra ({ALL}) {again}")
    assert found(database) == [(position, "occurs more than once")]
