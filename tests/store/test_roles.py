"""A role that can only add: the database itself refuses it everything else."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.rollout import commands as c
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import connect
from core.store.database.postgres import postgres_roles
from core.store.database.postgres.postgres_roles import RoleRefused
from core.store.maintenance import retention
from core.store.models import metadata
from core.store.schema import migrations
from tests.journey import processes
from tests.service.conftest import Desk
from tests.store.test_migrations import LATER_TABLES


@pytest.fixture
def adder(roles_of_postgres):
    """The database as the bound role sees it, with a rollout in it that this role wrote."""
    with connect(roles_of_postgres.owner_url) as owner:
        for _ in range(2):
            with owner.writing() as connection:
                postgres_roles.grant_append_only(connection, roles_of_postgres.name)
    with connect(roles_of_postgres.url) as database:
        Desk(RolloutService(database)).start().say(c.RollBack(reason="seen enough"))
        yield database


WAYS = [
    "UPDATE events SET actor = 'x'",
    "DELETE FROM events",
    "TRUNCATE events CASCADE",
    "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET actor = 'x'",
    "MERGE INTO events USING commands ON true WHEN MATCHED THEN UPDATE SET actor = 'x'",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events DISABLE TRIGGER events_never_change",
    "DROP TRIGGER events_never_change ON events",
    "CREATE OR REPLACE TRIGGER events_never_change AFTER INSERT ON events EXECUTE FUNCTION events_never_change()",
    "CREATE OR REPLACE FUNCTION events_never_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE RULE quiet AS ON INSERT TO events DO INSTEAD NOTHING",
    "ALTER TABLE events RENAME TO old",
    "ALTER TABLE events ADD COLUMN remark TEXT",
    "ALTER TABLE events OWNER TO CURRENT_USER",
    "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
    "DROP TABLE events CASCADE",
    "CREATE TABLE remark (id TEXT)",
    "SET session_replication_role = replica",
    "SET ROLE postgres",
    "SELECT set_config('session_replication_role', 'replica', false)",
    "UPDATE commands SET result = '{}'",
    "DELETE FROM commands",
    "DELETE FROM outbox",
    "UPDATE anchor SET place = 'x'",
    "DELETE FROM anchor",
    "UPDATE person_key SET secret = ''",
    "UPDATE alembic_version SET version_num = '0001'",
    "DELETE FROM look",
    "COPY events FROM PROGRAM 'true'",
    "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
]


@pytest.mark.parametrize("way", WAYS)
def test_the_database_refuses_it_everything_but_adding(adder, way):
    refused = r"permission denied|must be owner|must be able to SET ROLE"
    with pytest.raises(DBAPIError, match=refused), adder.writing() as connection:
        connection.exec_driver_sql(way)
    with adder.reading() as connection:
        assert verify(connection).problems == ()


def test_what_it_adds_must_continue_the_chain(adder):
    forged = (1, "s", 1, "e", "t", 1, "c", 1, "a", "", None, None, "now", "now", None, "{}", b"", b"h")
    with (
        pytest.raises(psycopg.errors.RaiseException, match="events: the position does not follow"),
        adder.writing() as connection,
        connection.connection.cursor() as cursor,
        cursor.copy("COPY events FROM STDIN") as copy,
    ):
        copy.write_row(forged)


def test_every_table_has_its_rights_and_no_table_is_forgotten():
    assert postgres_roles.GRANTS.keys() == {*metadata.tables, "alembic_version"}
    assert postgres_roles.GRANTS["events"] == ("SELECT", "INSERT")


def test_rights_that_were_too_many_are_taken_away(roles_of_postgres):
    with connect(roles_of_postgres.owner_url) as owner:
        with owner.writing() as connection:
            connection.exec_driver_sql(f"GRANT ALL ON events, commands TO {roles_of_postgres.name}")
            postgres_roles.grant_append_only(connection, roles_of_postgres.name)
        with owner.reading() as connection:
            for right in ("UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                asked = text("SELECT has_table_privilege(:role, 'events', :right)")
                assert not connection.execute(asked, {"role": roles_of_postgres.name, "right": right}).scalar_one()


def test_a_role_that_no_right_could_bind_is_refused(roles_of_postgres):
    with connect(roles_of_postgres.owner_url) as owner:
        with owner.writing() as connection:
            connection.exec_driver_sql(f"GRANT postgres TO {roles_of_postgres.name}")
        for role, why in [
            ("nobody_here", "There is no role nobody_here.*CREATE ROLE"),
            ("postgres", "is a superuser"),
            (roles_of_postgres.name, "act as its owner"),
        ]:
            with pytest.raises(RoleRefused, match=why), owner.writing() as connection:
                postgres_roles.grant_append_only(connection, role)


def test_sqlite_has_no_roles(sqlite_url):
    told = processes.run("migrate", "--app-role", "app", DATABASE_URL=sqlite_url)
    assert (told.returncode, told.stderr.startswith("rollout: SQLite has no roles")) == (2, True)


def test_the_doctor_says_when_the_program_could_change_the_log(roles_of_postgres):
    as_owner = processes.run("doctor", DATABASE_URL=roles_of_postgres.owner_url)
    assert "ok    database role: this database role is a superuser" in as_owner.stdout
    processes.run("migrate", "--app-role", roles_of_postgres.name, DATABASE_URL=roles_of_postgres.owner_url)
    bound = processes.run("doctor", DATABASE_URL=roles_of_postgres.url)
    assert "database role" not in bound.stdout
    assert "ok    schema: up to date" in bound.stdout
    with connect(roles_of_postgres.url) as database, database.reading() as connection:
        assert postgres_roles.explain_excess_rights(connection) is None


def test_what_is_old_goes_through_the_owners_function_alone(adder):
    with adder.writing_outside_log() as connection:
        assert not retention.delete_old(connection, datetime.now(UTC) - timedelta(days=30), ()).has_any


def test_what_needs_the_owner_says_so(roles_of_postgres, tmp_path):
    with connect(roles_of_postgres.owner_url) as owner, owner.writing() as connection:
        postgres_roles.grant_append_only(connection, roles_of_postgres.name)
    file = tmp_path / "rampart.backup"
    assert processes.run("backup", str(file), DATABASE_URL=roles_of_postgres.url).returncode == 0
    tried = processes.run("restore", str(file), DATABASE_URL=roles_of_postgres.url)
    assert (tried.returncode, "may not restore a backup" in tried.stderr) == (2, True)
    with connect(roles_of_postgres.owner_url) as owner, owner.writing() as connection:
        connection.execute(text("DROP INDEX outbox_superseded, outbox_dead"))
        connection.execute(text(f"DROP TABLE {', '.join(sorted(LATER_TABLES))}"))
        connection.execute(text("ALTER TABLE look DROP COLUMN made, DROP COLUMN repeated_at"))
        connection.execute(text("ALTER TABLE exposure DROP COLUMN counted_arm"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    tried = processes.run("serve", DATABASE_URL=roles_of_postgres.url, PORT="0")
    assert (tried.returncode, "may not create, upgrade or protect the tables" in tried.stderr) == (2, True)
    with connect(roles_of_postgres.owner_url) as owner:
        migrations.migrate(owner)
