"""Migrations: an old database with a log in it comes up to date whole or not at all, and nobody runs on a newer one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from core.rollout import commands as c
from core.service.service import RolloutService
from core.store.audit.export import import_events
from core.store.audit.verify import verify
from core.store.database.connections import connect
from core.store.models import metadata
from core.store.schema import migrations, triggers
from tests.forks import start_program
from tests.journey import processes
from tests.service.conftest import Desk

ROOT = Path(__file__).parents[2]
# a rollout that was rolled back, as a database of 0001 held it
OLD_LOG = Path(__file__).with_name("old") / "0001.jsonl"


@pytest.fixture
def old(bare_url):
    """A database that the first revision made, with a real log in it."""
    with connect(bare_url) as database:
        with database.writing() as connection:
            migrations.upgrade(connection, "0001")
            triggers.install(connection)
        with OLD_LOG.open(encoding="utf-8") as lines:
            assert import_events(database, lines) > 40
        yield database


def start(*arguments):
    return start_program("tests.store.migrator", *arguments)


FIRST_TABLES = {
    "cell",
    "commands",
    "events",
    "exposure",
    "exposure_count",
    "intake_batch",
    "intake_item",
    "look",
    "outbox",
    "process",
    "projection",
    "rollout_view",
    "timer",
}
LATER_TABLES = metadata.tables.keys() - FIRST_TABLES
"""Tables that revisions after the first one add."""


def found(database):
    """(revision, the tables of later revisions that are there)."""
    tables = set(inspect(database.engine).get_table_names())
    with database.reading() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return revision, tables & LATER_TABLES


def problems(database):
    with database.reading() as connection:
        return verify(connection).problems


def test_an_old_database_comes_up_to_date_with_its_log_intact(old):
    assert found(old) == ("0001", set())
    assert problems(old) == ()
    with pytest.raises(
        migrations.SchemaMismatch,
        match=f"has schema 0001, this program needs {migrations.REVISION}: run `rollout migrate`",
    ):
        migrations.assert_current(old)
    migrations.migrate(old)
    migrations.assert_current(old)
    assert found(old) == (migrations.REVISION, LATER_TABLES)
    assert problems(old) == ()


def test_two_processes_that_upgrade_at_the_same_moment_take_turns(old, bare_url):
    both = [start(bare_url) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert (found(old)[0], problems(old)) == (migrations.REVISION, ())


def test_a_process_killed_at_any_moment_of_an_upgrade_leaves_the_database_as_it_was(old, bare_url):
    changes = 1
    while (ended := start(bare_url, str(changes)).wait(60)) == -signal.SIGKILL:
        assert found(old) == ("0001", set()), f"killed at change {changes}"
        changes += 1
    assert ended == 0
    assert changes - 1 >= 5, "two tables, an index, the revision, the commit"
    assert found(old) == (migrations.REVISION, LATER_TABLES)
    assert problems(old) == ()


@pytest.mark.parametrize("command", ["serve", "web", "worker", "migrate"])
def test_no_process_starts_on_a_database_of_a_newer_program(sqlite_url, command):
    with connect(sqlite_url) as database, database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    ended = processes.run(command, DATABASE_URL=sqlite_url, PORT="0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"rollout: The database has schema 9999, this program knows up to {migrations.REVISION}: a newer program has "
        "upgraded it. Upgrade this one before it runs again.\n"
    )


def test_a_process_that_runs_goes_on_deciding_while_the_schema_moves_a_revision_ahead(bare_url):
    with connect(bare_url) as running, connect(bare_url) as newer:
        migrations.migrate(running)
        desk = Desk(RolloutService(running)).start()
        for _ in range(6):  # until the driver has prepared every statement
            _pause_and_resume(desk)
        with newer.writing() as connection:
            for table in ("commands", "outbox", "timer", "process", "rollout_view"):
                connection.execute(text(f"ALTER TABLE {table} ADD COLUMN remark TEXT"))
            connection.execute(text("CREATE TABLE remark (id TEXT PRIMARY KEY)"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
        for _ in range(2):
            _pause_and_resume(desk)
        desk.say(c.RollBack(reason="seen enough"))
        assert problems(running) == ()
        assert str(RolloutService(newer).load_world().rollouts["R-1"].state) == "rolled_back"


def _pause_and_resume(desk):
    desk.later(seconds=1).say(c.Pause(reason="a look"))
    desk.later(seconds=1).say(c.Resume(reason="looked"))


def test_migrating_twice_changes_nothing_and_a_fresh_database_is_refused_before(tmp_path):
    with connect(f"sqlite:///{tmp_path}/new.db") as database:
        with pytest.raises(migrations.SchemaMismatch, match="rollout migrate"):
            migrations.assert_current(database)
        migrations.migrate(database)
        migrations.migrate(database)
        migrations.assert_current(database)


def test_a_database_of_a_newer_program_is_refused(database):
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(migrations.SchemaMismatch, match="newer program"):
        migrations.assert_current(database)
    with pytest.raises(migrations.SchemaMismatch, match="newer program"):
        migrations.migrate(database)


def test_the_migrations_give_exactly_the_tables_of_the_program(database):
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from core.store.models import metadata

    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.REVISION


def test_a_start_with_nothing_to_upgrade_loads_neither_the_migration_tool_nor_the_other_driver(sqlite_url):
    code = (
        "import sys\nfrom core.store.schema import migrations\nfrom core.store.database.connections import connect\n"
        f"with connect({sqlite_url!r}) as database: migrations.migrate(database); migrations.assert_current(database)\n"
        "assert not {'alembic', 'pandas', 'matplotlib', 'psycopg', 'scipy.stats'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)


def test_processes_that_create_the_tables_at_the_same_moment_take_turns(bare_url):
    both = [start(bare_url) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
