"""Opening a database: which addresses are taken, and what keeps SQLite safe."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from core.store.database.connections import connect
from core.store.database.sqlite.sqlite_file import has_wal_reset_bug
from core.store.errors import StoreError


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url):
    with pytest.raises(StoreError, match="must be a file"):
        connect(url)


@pytest.mark.parametrize("url", ["mysql://u@h/d", "rollout.db", ""])
def test_another_kind_of_address_is_refused_with_what_to_write(url):
    with pytest.raises(StoreError, match=r"use sqlite:///rollout\.db or postgresql://"):
        connect(url)


@pytest.mark.parametrize("url", ["postgres://u:secret@h:port/db", "postgresql://u:secret@h1:5432,h2:x/db"])
def test_a_port_that_is_a_word_is_refused_and_the_password_is_not_shown(url):
    with pytest.raises(StoreError, match="not a database address") as refused, connect(url):
        pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("option", ["schema=public", "pgbouncer=true"])
def test_an_option_that_postgres_does_not_know_is_named(option):
    with pytest.raises(StoreError, match=f'invalid connection option "{option.partition("=")[0]}"'):
        connect(f"postgresql://u:secret@127.0.0.1/db?{option}")


def test_several_hosts_are_tried_as_libpq_does():
    url = "postgres://u:p%40w@one:5433,two:5432/name?target_session_attrs=read-write"
    with connect(url) as database:
        _, arguments = database.engine.dialect.create_connect_args(database.engine.url)
    assert (arguments["host"], arguments["port"]) == ("one,two", "5433,5432")
    assert (arguments["user"], arguments["password"], arguments["dbname"]) == ("u", "p@w", "name")
    assert arguments["target_session_attrs"] == "read-write"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        connect(f"sqlite:///{tmp_path}/nowhere/rollout.db")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgres_is_taken(new_postgres, scheme):
    with connect(new_postgres().replace("postgresql", scheme, 1)) as database, database.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_versions_with_the_wal_reset_bug_are_known(version, affected):
    assert has_wal_reset_bug(version) is affected


def test_sqlite_is_durable_and_never_checkpoints_on_its_own(sqlite_in_earnest, sqlite_database):
    with sqlite_database.reading() as connection:
        pragmas = ("journal_mode", "synchronous", "wal_autocheckpoint", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
    assert found == ["wal", 2, 0, 1]


def test_the_write_ahead_log_is_folded_in_now_and_then_and_on_close(sqlite_url, monkeypatch):
    monkeypatch.setattr("core.store.database.sqlite.sqlite_file.CHECKPOINT_EVERY", 10)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    wal, largest = Path(f"{path}-wal"), 0
    with connect(sqlite_url) as database:
        for number in range(40):
            with database.writing() as connection:
                connection.execute(
                    text("INSERT INTO projection VALUES (:n, :h)"), {"n": str(number), "h": "x" * 20_000}
                )
            largest = max(largest, wal.stat().st_size)
    assert 0 < largest < 500_000
    assert not wal.exists() or wal.stat().st_size == 0
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM projection WHERE length(code_hash) = 20000").fetchone() == (40,)
    raw.close()


def test_a_program_that_forgets_to_close_leaves_a_whole_file(sqlite_url):
    code = (
        "from core.store.database.connections import connect\n"
        f"database = connect({sqlite_url!r})\n"
        "with database.writing() as c: c.exec_driver_sql(\"INSERT INTO projection VALUES ('a', 'b')\")\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, env={"PYTHONPATH": str(root)}, check=True)
    assert not Path(sqlite_url.removeprefix("sqlite:///") + "-wal").exists()
