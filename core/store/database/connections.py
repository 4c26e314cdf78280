"""Connecting to the database: reads that never block, and one writer at a time."""

import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Self

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from core.store.database.append_backend import AppendBackend, AppendRequest
from core.store.database.postgres.postgres_functions import APPEND_LOCK_KEY
from core.store.database.sqlite.sqlite_append import SqliteAppendBackend
from core.store.database.sqlite.sqlite_file import BEGIN_OPTION, SqliteFile
from core.store.database.sqlite.sqlite_lock import LOCK_WAIT_SECONDS, TimedLock
from core.store.errors import LOCKED_MESSAGE, DatabaseBusy, DatabaseUnwritable, StoreError

LOCK_TIMEOUT = f"{LOCK_WAIT_SECONDS:g}s"
IDLE_TIMEOUT = "30s"
_APPENDING_OPTION = "rampart_appending"
# The connection was lost, or (the last one) none became free. Which error it is depends on what was running when the
# connection ended. Whether anything was written is unknown; a retry with the same command id finds out.
CONNECTION_ERRORS = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)

_MULTI_HOST_URL = re.compile(
    r"(postgres(?:ql)?(?:\+psycopg)?://(?:[^@/?]*@)?)((?:[^@/?,:\[\]]+(?::[0-9]+)?,)+[^@/?,:\[\]]+(?::[0-9]+)?)(.*)",
    re.DOTALL,
)
READ_ONLY_REASON = "the database is read-only, perhaps a standby"
_DISK_FULL_REASON = "its disk is full"
_WRITE_REFUSAL_REASONS = {
    "53100": _DISK_FULL_REASON,
    "58030": "its disk is failing",
    "25006": READ_ONLY_REASON,
    "SQLITE_FULL": _DISK_FULL_REASON,
    "SQLITE_READONLY": "the file is read-only",
    "SQLITE_IOERR": "its disk cannot be written to",
}
# Checked in the same round trip that sets the lock time-out, since another server may answer at this address by now.
# The default is checked too: pooled connections begin "read write" explicitly, the append connection does not.
_IS_READ_ONLY_SQL = (
    "pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
    " OR current_setting('default_transaction_read_only')::bool"
)

_CONNECTION_TIMEOUTS = {
    "connect_timeout": "10",  # in seconds, like all but the last
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",  # milliseconds
}


def connect(url: str) -> "Database":
    """Open `sqlite:///path`, `postgres://…` or `postgresql://…`, without creating tables; StoreError for other URLs."""
    parsed = _parse_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            file = SqliteFile.open(parsed)
            backend = SqliteAppendBackend(file.engine)
            return Database(dialect="sqlite", engine=file.engine, append_backend=backend, file=file)
        case "postgres" | "postgresql":
            return _open_postgres(parsed)
        case other:
            raise StoreError(
                f"DATABASE_URL starts with {other}://, which is not supported: "
                "use sqlite:///rollout.db or postgresql://user@host/name."
            )


def explain_write_refusal(error: DBAPIError) -> str:
    """Why the database cannot be written, if that is the cause of this error; else an empty string."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or ""
    if code == "0A000" and "recovery" in str(error.orig):  # a standby refuses to begin a transaction that could write
        return READ_ONLY_REASON
    return _WRITE_REFUSAL_REASONS.get(code) or next(
        (why for known, why in _WRITE_REFUSAL_REASONS.items() if code.startswith(f"{known}_")), ""
    )


def assert_append_lock_held(connection: Connection) -> None:
    """RuntimeError outside `Database.writing()`, where two appends could interleave."""
    if not connection.get_execution_options().get(_APPENDING_OPTION):
        raise RuntimeError("The log is only appended to inside Database.writing(), which holds the append lock.")


class Database:
    """One database, shared by the threads of a process. `warnings` are messages for the operator."""

    def __init__(
        self,
        *,
        dialect: Literal["sqlite", "postgresql"],
        engine: Engine,
        append_backend: AppendBackend,
        append_engine: Engine | None = None,
        file: SqliteFile | None = None,
    ) -> None:
        self.dialect = dialect
        self.engine = engine
        self.path = file.path if file is not None else None
        self.warnings = file.warnings if file is not None else ()
        self._append_engine = append_engine
        self._file = file
        self._append_backend = append_backend
        self._append_mutex = TimedLock(LOCK_WAIT_SECONDS)
        self._reentry_guard = _ReentryGuard()
        # Also runs at interpreter exit: the last SQLite connection to close checkpoints, which needs the lock.
        self._finalizer = weakref.finalize(
            self, _close_database, file, self._append_backend, engine, self._append_mutex
        )

    @property
    def is_remote(self) -> bool:
        """Whether a round trip costs so much that deciding optimistically, and sometimes twice, pays off."""
        return self._append_engine is not None

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every SQLAlchemy engine of this database."""
        return (self.engine,) if self._append_engine is None else (self.engine, self._append_engine)

    def acquire_server_lock(self) -> None:
        """Make this process the only server of a SQLite file until it ends; StoreError if another process serves it.

        The command line and other programs may still read and write. On Postgres any number of processes may serve.
        """
        if self._file is not None:
            self._file.acquire_server_lock()

    def assert_multiple_servers_allowed(self, role: str) -> None:
        """StoreError on SQLite, where several server processes would not be safe."""
        if self._file is not None:
            raise StoreError(
                f"`rollout {role}` runs beside other processes, but a SQLite file allows only one. Run `rollout "
                "serve`, or set DATABASE_URL to a Postgres."
            )

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction under the append lock: committed at the end of the block, rolled back on any exception.

        Make no network calls inside. DatabaseBusy if others hold the lock for more than ten seconds.
        """
        with self._transaction(appending=True) as connection:
            yield connection

    @contextmanager
    def appending(self) -> Iterator[AppendBackend]:
        """The fast path of `writing` for commands: an append backend instead of a connection.

        The caller commits; what is not committed at the end of the block is undone. DatabaseBusy as in `writing`, and
        also if other threads of this process go first for that long.
        """
        with self._reentry_guard, self._append_mutex if self._file is None else self._file.write_locked():
            try:
                yield self._append_backend
            except OperationalError as error:
                if _is_lock_timeout(error):
                    raise DatabaseBusy(LOCKED_MESSAGE) from error
                raise
            finally:
                self._append_backend.roll_back()
            if self._file is not None:
                self._file.checkpoint_if_due()

    def try_append(self) -> None:
        """Begin what a command begins, and undo it. Raises what a command would: DatabaseBusy, DBAPIError."""
        nothing = AppendRequest(command_id="", after_position=0, head_hash=b"", event_limit=0, person="")
        with self.appending() as backend:
            backend.begin(nothing)

    @contextmanager
    def writing_outside_log(self) -> Iterator[Connection]:
        """One transaction for tables outside the log: without the append lock on Postgres, like `writing` on SQLite."""
        with self._transaction(appending=False) as connection:
            yield connection

    @contextmanager
    def reading_primary(self) -> Iterator[Connection]:
        """As `reading`, but never from a standby, which may lag behind: DatabaseUnwritable there."""
        with self.reading() if self._file is not None else self.writing_outside_log() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction on one consistent snapshot. It never blocks writers, and they never block it."""
        options: dict[str, Any] = {BEGIN_OPTION: "BEGIN"}
        if self.dialect == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def reconnect(self) -> None:
        """Replace the pooled connections, which may lead to a server that is no longer the primary."""
        if self._file is None:
            self.engine.dispose()

    def close(self) -> None:
        """Close every connection; on SQLite, checkpoint the write-ahead log first. Safe to repeat."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self, *, appending: bool) -> Iterator[Connection]:
        options = {_APPENDING_OPTION: appending, BEGIN_OPTION: "BEGIN IMMEDIATE"}
        with self._reentry_guard, nullcontext() if self._file is None else self._file.write_locked():
            with (
                self.engine.connect().execution_options(**options) as connection,
                self._begin_transaction(connection, appending),
            ):
                yield connection
            if self._file is not None:
                self._file.checkpoint_if_due()

    def _begin_transaction(self, connection: Connection, appending: bool) -> RootTransaction:
        try:
            transaction = connection.begin()
            if self.dialect == "postgresql":
                # A separate statement: what is read under the lock needs a snapshot taken after the lock was granted.
                lock = f", pg_advisory_xact_lock({APPEND_LOCK_KEY})" if appending else ""
                row = connection.exec_driver_sql(
                    f"SELECT {_IS_READ_ONLY_SQL}, set_config('lock_timeout', '{LOCK_TIMEOUT}', true),"
                    f" set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT}', true){lock}"
                ).one()
                if row[0]:
                    raise self._read_only_error()
        except DBAPIError as error:
            if isinstance(error, OperationalError) and _is_lock_timeout(error):
                raise DatabaseBusy(LOCKED_MESSAGE) from error
            if explain_write_refusal(error) == READ_ONLY_REASON:
                raise self._read_only_error() from error
            raise
        return transaction

    def _read_only_error(self) -> DatabaseUnwritable:
        """The error for a server that became read-only; also drops the pooled connections, which may lead there too."""
        self.reconnect()
        return DatabaseUnwritable(f"Nothing was written: {READ_ONLY_REASON}.")


class _ReentryGuard(threading.local):
    """Forbids nested writing transactions in one thread, since the inner one would wait for the outer one for ever."""

    _writing = False

    def __enter__(self) -> None:
        if self._writing:
            raise RuntimeError("This thread is already inside a writing transaction; pass its connection on instead.")
        self._writing = True

    def __exit__(self, *_: object) -> None:
        self._writing = False


def _parse_url(url: str) -> URL:
    """Parse a database URL, including several hosts in libpq's form: `postgresql://user@one:5432,two:5432/name`."""
    several = _MULTI_HOST_URL.fullmatch(url)
    try:
        if several is None:
            return make_url(url)
        before, hosts, after = several.groups()
        return make_url(before + after).update_query_pairs(("host", host) for host in hosts.split(","))
    except (ArgumentError, ValueError):  # not chained: its message may contain the password
        raise StoreError(
            "DATABASE_URL is not a database address: use sqlite:///rollout.db or postgresql://user@host:5432/name."
        ) from None


def _assert_known_options(url: URL) -> None:
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    try:
        make_conninfo("", **{name: "" for name in url.query if name not in ("host", "port")})
    except ProgrammingError as error:
        raise StoreError(
            f"DATABASE_URL: {str(error).strip()}. After the question mark, only options of libpq are possible, "
            "such as sslmode, connect_timeout or options; remove the others."
        ) from None


def _open_postgres(url: URL) -> Database:
    # Imported here because its driver takes as long to load as SQLModel does; on SQLite nobody needs it.
    from core.store.database.postgres.postgres_append import PostgresAppendBackend, create_append_engine

    _assert_known_options(url)
    # Without time-outs, a network that drops packets would block callers for hours. Options in the URL take precedence.
    url = url.set(drivername="postgresql+psycopg", query={**_CONNECTION_TIMEOUTS, **url.query})
    engine = create_engine(url, pool_size=5, max_overflow=15, pool_pre_ping=True, pool_timeout=30)
    appends = create_append_engine(url, LOCK_TIMEOUT, IDLE_TIMEOUT)
    backend = PostgresAppendBackend(appends)
    return Database(dialect="postgresql", engine=engine, append_backend=backend, append_engine=appends)


def _is_lock_timeout(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "55P03" or "database is locked" in str(error.orig)


def _close_database(
    file: SqliteFile | None, append_backend: AppendBackend, engine: Engine, append_mutex: TimedLock
) -> None:
    if file is not None:
        file.close(append_backend.close_connection)
        return
    try:
        with append_mutex:
            append_backend.close_connection()
    except DatabaseBusy:  # a command is still running: the end of the process closes its connection
        return
    engine.dispose()
