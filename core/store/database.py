"""Connections: reading that never blocks, and writing one at a time."""

import errno
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError

from core.store.append_lock import AppendLock
from core.store.errors import Busy, StoreError

# Any fixed number; everyone who appends to a log in this database must use the same one.
_APPEND_KEY = 0x52414D50
_LOCK_TIMEOUT = "10s"
_IDLE_TIMEOUT = "30s"
_CHECKPOINT_BYTES = 4 * 1024 * 1024
_APPENDING = "rampart_appending"
_BEGIN = "rampart_begin"


def connect(url: str) -> "Database":
    """Open `sqlite:///path`, `postgres://…` or `postgresql://…`; StoreError for anything else. Creates no tables."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(
            "DATABASE_URL is not a database address: use sqlite:///rollout.db or postgresql://user@host/name."
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgres" | "postgresql":
            return _open_postgres(parsed)
        case other:
            raise StoreError(
                f"DATABASE_URL starts with {other}://, which is not supported: "
                "use sqlite:///rollout.db or postgresql://user@host/name."
            )


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose a commit when a checkpoint races it (sqlite.org/wal.html#walresetbug)."""
    fixed_in_series = {(3, 44): 6, (3, 50): 7}
    patched_from = fixed_in_series.get((version[0], version[1]))
    if patched_from is not None and version[2] >= patched_from:
        return False
    return (3, 7, 0) <= version < (3, 51, 3)


def assert_appending(connection: Connection) -> None:
    """Refuse to touch the log outside `Database.writing()`, where two appends could interleave."""
    if not connection.get_execution_options().get(_APPENDING):
        raise RuntimeError("The log is only appended to inside Database.writing(), which holds the append lock.")


class Database:
    """One database, shared by the threads of a process. `warnings` holds what an operator should be told."""

    def __init__(
        self,
        *,
        dialect: Literal["sqlite", "postgresql"],
        engine: Engine,
        path: Path | None = None,
        lock: AppendLock | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.dialect = dialect
        self.engine = engine
        self.path = path
        self.warnings = warnings
        self._lock = lock
        self._checkpoint_at = _CHECKPOINT_BYTES
        self._inside = threading.local()
        # Also at interpreter exit: the last SQLite connection to close checkpoints, which must happen under the lock.
        self._closing = weakref.finalize(self, _shut, engine, lock)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction under the append lock: committed at the end of the block, rolled back on any exception.

        Do no network calls inside. Busy when others hold the lock for over ten seconds (Postgres).
        """
        with self._transaction(appending=True) as connection:
            yield connection

    @contextmanager
    def plain_writing(self) -> Iterator[Connection]:
        """One transaction for tables other than the log: no append lock on Postgres, the same as writing on SQLite."""
        with self._transaction(appending=False) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot. Waits for no writer, and no writer waits for it."""
        options: dict[str, Any] = {_BEGIN: "BEGIN"}
        if self.dialect == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every connection; on SQLite fold the write-ahead log into the file first. Harmless when repeated."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self, *, appending: bool) -> Iterator[Connection]:
        if getattr(self._inside, "writing", False):
            raise RuntimeError("This thread is already inside a writing transaction; pass its connection on instead.")
        self._inside.writing = True
        try:
            with self._lock.held() if self._lock else nullcontext():
                options = {_APPENDING: appending, _BEGIN: "BEGIN IMMEDIATE"}
                with (
                    self.engine.connect().execution_options(**options) as connection,
                    self._begin(connection, appending),
                ):
                    yield connection
                self._checkpoint_when_large()
        finally:
            self._inside.writing = False

    def _begin(self, connection: Connection, appending: bool) -> RootTransaction:
        try:
            transaction = connection.begin()
            if self.dialect == "postgresql":
                # A statement of its own: what is read under the lock needs a snapshot taken after it was granted.
                connection.execute(_LOCK_APPENDS if appending else _LIMIT_WAITS)
        except OperationalError as error:
            if _is_lock_timeout(error):
                raise Busy(
                    "The database stayed locked by another program for too long, so nothing was written. "
                    "Try again; if it persists, look for a stopped process or an open transaction."
                ) from error
            raise
        return transaction

    def _checkpoint_when_large(self) -> None:
        """Called with the lock held, between transactions, so that no checkpoint can race a commit."""
        if self.path is None or self._lock is None:
            return
        wal = Path(f"{self.path}-wal")
        if not wal.exists() or wal.stat().st_size < self._checkpoint_at:
            return
        _checkpoint(self.engine)
        # A reader may keep the file from shrinking: then wait for as much again instead of trying at every commit.
        self._checkpoint_at = wal.stat().st_size + _CHECKPOINT_BYTES


_LIMIT_WAITS = text(
    f"SELECT set_config('lock_timeout', '{_LOCK_TIMEOUT}', true),"
    f" set_config('idle_in_transaction_session_timeout', '{_IDLE_TIMEOUT}', true)"
)
_LOCK_APPENDS = text(f"{_LIMIT_WAITS.text}, pg_advisory_xact_lock({_APPEND_KEY})")


def _open_postgres(url: URL) -> Database:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"), pool_size=5, max_overflow=15, pool_pre_ping=True, pool_timeout=30
    )
    return Database(dialect="postgresql", engine=engine)


def _open_sqlite(url: URL) -> Database:
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
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    lock, warnings = _lock_beside(path)
    with lock.held() if lock else nullcontext():
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode=" + ("WAL" if lock else "TRUNCATE"))
        finally:
            raw.close()
    return Database(dialect="sqlite", engine=engine, path=path, lock=lock, warnings=warnings)


def _lock_beside(path: Path) -> tuple[AppendLock | None, tuple[str, ...]]:
    try:
        return AppendLock(Path(f"{path}.lock")), ()
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise StoreError(f"The lock file {path}.lock could not be opened ({error.strerror}).") from error
    because = "this SQLite could lose commits in its faster mode without them"
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        because = "several processes could not take turns without them"
    return None, (f"The file system of {path} has no file locks, and {because}: writing is slower here.",)


def _prepare_sqlite(raw: sqlite3.Connection, _record: object) -> None:
    for pragma in ("synchronous=FULL", "wal_autocheckpoint=0", "foreign_keys=ON"):
        raw.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _is_lock_timeout(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "55P03" or "database is locked" in str(error.orig)


def _checkpoint(engine: Engine) -> None:
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA busy_timeout=0")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.fetchall()
        cursor.execute("PRAGMA busy_timeout=10000")
    finally:
        raw.close()


def _shut(engine: Engine, lock: AppendLock | None) -> None:
    if lock is None:
        engine.dispose()
        return
    with lock.held():
        _checkpoint(engine)
        engine.dispose()
    lock.close()
