"""A SQLite database file with one writer at a time, whose checkpoints never race a commit."""

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

from core.store.database.driver import check_out_connection
from core.store.database.sqlite.sqlite_lock import LOCK_WAIT_SECONDS, AppendLock, TimedLock
from core.store.errors import DatabaseBusy, StoreError

_log = logging.getLogger(__name__)

BEGIN_OPTION = "rampart_begin"  # execution option: the statement that begins a transaction
CHECKPOINT_EVERY = 200  # writing transactions, which is about 10 MB of write-ahead log
_WAL_TRUNCATE_BYTES = 64 * 1024 * 1024


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose a commit when a checkpoint races it (sqlite.org/wal.html#walresetbug)."""
    fixed_in_series = {(3, 44): 6, (3, 50): 7}
    patched_from = fixed_in_series.get((version[0], version[1]))
    if patched_from is not None and version[2] >= patched_from:
        return False
    return (3, 7, 0) <= version < (3, 51, 3)


class SqliteFile:
    """The database file, its connections and its lock file. `warnings` are messages for the operator."""

    def __init__(self, path: Path, engine: Engine, lock: AppendLock | None, warnings: tuple[str, ...]) -> None:
        self.path = path
        self.engine = engine
        self.warnings = warnings
        self._file_lock = lock
        self._write_lock = lock or TimedLock(LOCK_WAIT_SECONDS)
        self._write_count = 0
        self._server_lock_fd: int | None = None

    @classmethod
    def open(cls, url: URL) -> Self:
        """Open or create the file of a `sqlite:///` URL; StoreError if it cannot be a durable database."""
        name = url.database or ""
        if name in ("", ":memory:") or name.startswith("file:"):
            raise StoreError(
                "A SQLite database must be a file, as in sqlite:///rollout.db: a database in memory would lose "
                "the audit trail."
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
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin_transaction)
        _create_private_file(path)
        lock, warnings = _open_lock_file(path)
        file = cls(path, engine, lock, warnings)
        try:
            with file.write_locked():
                file._run_pragmas("PRAGMA journal_mode=" + ("WAL" if lock else "TRUNCATE"))
        except (sqlite3.Error, DBAPIError) as error:
            raise StoreError(
                f"{path} cannot be opened as a database to write to ({getattr(error, 'orig', error)}). Check that it "
                "is a SQLite file, that this user may write to it and to its folder, and that the disk is not full."
            ) from error
        return file

    def write_locked(self) -> AbstractContextManager[None]:
        """Hold the write lock: no other thread or process writes during the block. DatabaseBusy on time-out."""
        return self._write_lock

    def acquire_server_lock(self) -> None:
        """Make this process the only server of the file until it ends; StoreError if another process serves it."""
        if self._file_lock is None:
            return
        self._server_lock_fd = os.open(f"{self.path}.serving", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._server_lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._server_lock_fd, 20, 0).decode(errors="replace") or "unknown"
            os.close(self._server_lock_fd)
            self._server_lock_fd = None
            raise StoreError(
                f"Another process ({holder}) already serves {self.path}, and a SQLite file allows only one. "
                "Stop that one first, or set DATABASE_URL to a Postgres to run several."
            ) from error
        os.truncate(self._server_lock_fd, 0)
        os.pwrite(self._server_lock_fd, str(os.getpid()).encode(), 0)

    def checkpoint_if_due(self) -> None:
        """Count a writing transaction, and checkpoint after every `CHECKPOINT_EVERY` of them.

        Call it while still holding the write lock, so that no checkpoint races a commit. The write-ahead log is
        normally not truncated: overwriting it costs half as much as letting it grow again.
        """
        self._write_count += 1
        if self._file_lock is None or self._write_count % CHECKPOINT_EVERY:
            return
        wal = Path(f"{self.path}-wal")
        grown = wal.exists() and wal.stat().st_size > _WAL_TRUNCATE_BYTES  # a long reader prevented its reuse
        self._checkpoint_wal("TRUNCATE" if grown else "PASSIVE")

    def close(self, close_in_use: Callable[[], None]) -> None:
        """Checkpoint the write-ahead log and close every connection; do neither if others keep the file locked.

        In that case the next process to open the file checkpoints. Closing the last connection would also checkpoint,
        but without the lock. `close_in_use` closes the connections that are outside the pool.
        """
        try:
            with self.write_locked():
                if self._file_lock is not None:
                    self._checkpoint_wal("TRUNCATE")
                close_in_use()
                self.engine.dispose()
        except DatabaseBusy:
            return
        if self._file_lock is not None:
            self._file_lock.close()
        if self._server_lock_fd is not None:
            os.close(self._server_lock_fd)

    def _checkpoint_wal(self, mode: str) -> None:
        # Does not wait for readers: the next checkpoint does the rest.
        try:
            self._run_pragmas("PRAGMA busy_timeout=0", f"PRAGMA wal_checkpoint({mode})", "PRAGMA busy_timeout=10000")
        except (sqlite3.Error, DBAPIError) as error:
            # Committed data is safe; only the write-ahead log grows.
            _log.warning("The write-ahead log of %s could not be checkpointed, so it grows: %s", self.path, error)

    def _run_pragmas(self, *pragmas: str) -> None:
        raw = check_out_connection(self.engine)
        try:
            cursor = raw.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
                cursor.fetchall()
        except sqlite3.Error as error:
            raw.invalidate(error)  # its settings may have been left changed
            raise
        finally:
            raw.close()


def _create_private_file(path: Path) -> None:
    """Create the file readable by its owner only, as it will hold the sealing keys; SQLite gives its side files the
    same permissions."""
    with suppress(OSError):  # it exists already; or it cannot be created, which opening it will report
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _open_lock_file(path: Path) -> tuple[AppendLock | None, tuple[str, ...]]:
    """Open the lock file next to the database; (None, a warning) if the file system has no file locks."""
    try:
        return AppendLock(Path(f"{path}.lock"), LOCK_WAIT_SECONDS), ()
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise StoreError(f"The lock file {path}.lock could not be opened ({error.strerror}).") from error
    because = "this SQLite could lose commits in its faster mode without them"
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        because = "several processes could not take turns without them"
    return None, (f"The file system of {path} has no file locks, and {because}: writing is slower here.",)


def _set_pragmas(raw: sqlite3.Connection, _record: object) -> None:
    # The page size applies to new files only. It is small because a commit writes every page that it touched.
    for pragma in (
        "page_size=2048",
        "synchronous=FULL",
        "wal_autocheckpoint=0",
        "foreign_keys=ON",
        "secure_delete=FAST",
    ):
        raw.execute(f"PRAGMA {pragma}")


def _begin_transaction(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN_OPTION, "BEGIN"))
