"""A SQLite database: one file, one writer at a time, and no checkpoint that could race a commit."""

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from core.store.database.driver import checked_out
from core.store.database.sqlite_lock import PATIENCE, AppendLock, Turns
from core.store.errors import Busy, StoreError

_log = logging.getLogger(__name__)

BEGIN = "rampart_begin"  # an execution option: how a transaction begins
CHECKPOINT_EVERY = 200  # writing transactions; some 10 MB of write-ahead log
_WAL_BYTES = 64 * 1024 * 1024


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose a commit when a checkpoint races it (sqlite.org/wal.html#walresetbug)."""
    fixed_in_series = {(3, 44): 6, (3, 50): 7}
    patched_from = fixed_in_series.get((version[0], version[1]))
    if patched_from is not None and version[2] >= patched_from:
        return False
    return (3, 7, 0) <= version < (3, 51, 3)


class SqliteFile:
    """The file, its connections, and the lock beside it. `warnings` holds what an operator should be told."""

    def __init__(self, path: Path, engine: Engine, lock: AppendLock | None, warnings: tuple[str, ...]) -> None:
        self.path = path
        self.engine = engine
        self.warnings = warnings
        self._lock = lock
        self._turns = lock or Turns(PATIENCE)
        self._written = 0
        self._serving: int | None = None

    @classmethod
    def open(cls, url: URL) -> Self:
        """StoreError where this cannot be a durable database."""
        name = url.database or ""
        if name in ("", ":memory:") or name.startswith("file:"):
            raise StoreError(
                "A SQLite database must be a file, as in sqlite:///rollout.db: memory forgets the audit trail."
            )
        path = Path(name).resolve()
        if not path.parent.is_dir():
            raise StoreError(f"The folder {path.parent} for the database does not exist: create it first.")
        engine = create_engine(
            f"sqlite:///{path}",
            pool_size=5,
            max_overflow=59,
            connect_args={"check_same_thread": False, "timeout": 10, "isolation_level": None, "cached_statements": 256},
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        _create_private(path)
        lock, warnings = _lock_beside(path)
        file = cls(path, engine, lock, warnings)
        try:
            with file.held():
                file._run("PRAGMA journal_mode=" + ("WAL" if lock else "TRUNCATE"))
        except (sqlite3.Error, DBAPIError) as error:
            raise StoreError(
                f"{path} cannot be opened as a database to write to ({getattr(error, 'orig', error)}). Check that it "
                "is a SQLite file, that this user may write to it and to its folder, and that the disk is not full."
            ) from error
        return file

    def held(self) -> AbstractContextManager[None]:
        """Alone: no other thread or process writes during the block. Busy if others write for too long."""
        return self._turns

    def serve_alone(self) -> None:
        """Until this process ends; StoreError if another one serves this file."""
        if self._lock is None:
            return
        self._serving = os.open(f"{self.path}.serving", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._serving, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._serving, 20, 0).decode(errors="replace") or "unknown"
            os.close(self._serving)
            self._serving = None
            raise StoreError(
                f"Another process ({holder}) serves {self.path} already, and a SQLite file is for one. Stop that one "
                "first, or set DATABASE_URL to a Postgres for several."
            ) from error
        os.truncate(self._serving, 0)
        os.pwrite(self._serving, str(os.getpid()).encode(), 0)

    def written(self) -> None:
        """After a writing transaction, still alone, so that no checkpoint can race a commit.

        The write-ahead log is folded in but not cut: to write over it costs half of what it costs to let it grow.
        """
        self._written += 1
        if self._lock is None or self._written % CHECKPOINT_EVERY:
            return
        wal = Path(f"{self.path}-wal")
        grown = wal.exists() and wal.stat().st_size > _WAL_BYTES  # a long reader kept it from being used again
        self._checkpoint("TRUNCATE" if grown else "PASSIVE")

    def close(self, drop: Callable[[], None]) -> None:
        """Fold the write-ahead log in, and close every connection; where others keep the file locked, neither.

        Whoever opens it next folds in what is left. The last connection to close would checkpoint, too, and alone.
        `drop` closes those that are in use.
        """
        try:
            with self.held():
                if self._lock is not None:
                    self._checkpoint("TRUNCATE")
                drop()
                self.engine.dispose()
        except Busy:
            return
        if self._lock is not None:
            self._lock.close()
        if self._serving is not None:
            os.close(self._serving)

    def _checkpoint(self, mode: str) -> None:
        # A reader that is in the way is not waited for: the next checkpoint does the rest.
        try:
            self._run("PRAGMA busy_timeout=0", f"PRAGMA wal_checkpoint({mode})", "PRAGMA busy_timeout=10000")
        except (sqlite3.Error, DBAPIError) as error:
            # What was committed is safe; only the file grows.
            _log.warning("The write-ahead log of %s could not be folded in, and grows: %s", self.path, error)

    def _run(self, *pragmas: str) -> None:
        raw = checked_out(self.engine)
        try:
            cursor = raw.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
                cursor.fetchall()
        except sqlite3.Error as error:
            raw.invalidate(error)  # it may be left in another mood than it was taken in
            raise
        finally:
            raw.close()


def _create_private(path: Path) -> None:
    """A new file that its owner alone may read, as it will hold the keys that words are sealed with; SQLite gives the
    files beside it the same rights."""
    with suppress(OSError):  # it is there already, or cannot be created, which is said below
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _lock_beside(path: Path) -> tuple[AppendLock | None, tuple[str, ...]]:
    try:
        return AppendLock(Path(f"{path}.lock"), PATIENCE), ()
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise StoreError(f"The lock file {path}.lock could not be opened ({error.strerror}).") from error
    because = "this SQLite could lose commits in its faster mode without them"
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        because = "several processes could not take turns without them"
    return None, (f"The file system of {path} has no file locks, and {because}: writing is slower here.",)


def _prepare(raw: sqlite3.Connection, _record: object) -> None:
    # The page size is that of a new file: a commit writes every page that it touched, and few events need more.
    for pragma in (
        "page_size=2048",
        "synchronous=FULL",
        "wal_autocheckpoint=0",
        "foreign_keys=ON",
        "secure_delete=FAST",
    ):
        raw.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))
