"""Connections: reading that never blocks, and writing one at a time."""

import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Self

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from core.store.database.append_backend import Trips
from core.store.database.postgres_append import PostgresAppend, engine_of
from core.store.database.postgres_functions import APPEND_KEY
from core.store.database.sqlite_append import SqliteAppend
from core.store.database.sqlite_file import BEGIN, SqliteFile
from core.store.database.sqlite_lock import PATIENCE, Turns
from core.store.errors import LOCKED, Busy, StoreError, Unwritable

LOCK_TIMEOUT = f"{PATIENCE:g}s"
IDLE_TIMEOUT = "30s"
_APPENDING = "rampart_appending"
# The database is away: which of these it is depends on what was under way when the connection ended, and the last one
# says that every connection is waiting. Whether something was written is not known; the same command id finds out.
AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)

_SEVERAL_HOSTS = re.compile(
    r"(postgres(?:ql)?(?:\+psycopg)?://(?:[^@/?]*@)?)((?:[^@/?,:\[\]]+(?::[0-9]+)?,)+[^@/?,:\[\]]+(?::[0-9]+)?)(.*)",
    re.DOTALL,
)
READ_ONLY = "the database is read-only, perhaps a standby"
_NO_ROOM = "its disk is full"
_REFUSED = {
    "53100": _NO_ROOM,
    "58030": "its disk fails",
    "25006": READ_ONLY,
    "SQLITE_FULL": _NO_ROOM,
    "SQLITE_READONLY": "the file is read-only",
    "SQLITE_IOERR": "its disk takes nothing",
}
# Asked of the server in the same trip as the lock time-out: another one may answer at this address by now. The default
# is asked about as well: a connection of the pool says "read write" when it begins, and that of the appends does not.
_TAKES_NOTHING = (
    "pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
    " OR current_setting('default_transaction_read_only')::bool"
)

_GIVE_UP = {
    "connect_timeout": "10",  # seconds, as all of these but the last
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",  # milliseconds
}


def connect(url: str) -> "Database":
    """Open `sqlite:///path`, `postgres://…` or `postgresql://…`; StoreError for anything else. Creates no tables."""
    parsed = _parse(url)
    match parsed.get_backend_name():
        case "sqlite":
            file = SqliteFile.open(parsed)
            return Database(dialect="sqlite", engine=file.engine, file=file)
        case "postgres" | "postgresql":
            return _open_postgres(parsed)
        case other:
            raise StoreError(
                f"DATABASE_URL starts with {other}://, which is not supported: "
                "use sqlite:///rollout.db or postgresql://user@host/name."
            )


def refusal_of_writes(error: DBAPIError) -> str:
    """Why the database takes nothing new, if that is what this error says; else nothing."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or ""
    if code == "0A000" and "recovery" in str(error.orig):  # a standby lets no transaction begin that could write
        return READ_ONLY
    return _REFUSED.get(code) or next((why for known, why in _REFUSED.items() if code.startswith(f"{known}_")), "")


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
        appends: Engine | None = None,
        file: SqliteFile | None = None,
    ) -> None:
        self.dialect = dialect
        self.engine = engine
        self.path = file.path if file is not None else None
        self.warnings = file.warnings if file is not None else ()
        self._appends = appends
        self._file = file
        self._trips: Trips = SqliteAppend(engine) if appends is None else PostgresAppend(appends)
        self._turns = Turns(PATIENCE)
        self._inside = _Inside()
        # Also at interpreter exit: the last SQLite connection to close checkpoints, which must happen under the lock.
        self._closing = weakref.finalize(self, _close, file, self._trips, engine, self._turns)

    @property
    def far(self) -> bool:
        """Whether a trip to it costs more than deciding twice, now and then."""
        return self._appends is not None

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every pool of connections."""
        return (self.engine,) if self._appends is None else (self.engine, self._appends)

    def serve_alone(self) -> None:
        """Until this process ends, no other one may say this of the same SQLite file: StoreError there. The CLI and
        other programs may still read and write beside it. On Postgres any number may serve."""
        if self._file is not None:
            self._file.serve_alone()

    def serve_with_others(self, role: str) -> None:
        """StoreError on SQLite, where several processes that serve would not be safe."""
        if self._file is not None:
            raise StoreError(
                f"`rollout {role}` is one of several processes, and a SQLite file is for one. Run `rollout serve`, or "
                "set DATABASE_URL to a Postgres."
            )

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction under the append lock: committed at the end of the block, rolled back on any exception.

        Do no network calls inside. Busy when others hold the lock for over ten seconds.
        """
        with self._transaction(appending=True) as connection:
            yield connection

    @contextmanager
    def appending(self) -> Iterator[Trips]:
        """What `writing` gives, for the one path that must be quick: trips instead of a connection.

        The caller commits; what was not committed at the end of the block is undone. Busy as in `writing`, and also
        where other threads of this process are in front for that long.
        """
        with self._inside, self._turns if self._file is None else self._file.held():
            try:
                yield self._trips
            except OperationalError as error:
                if _is_lock_timeout(error):
                    raise Busy(LOCKED) from error
                raise
            finally:
                self._trips.roll_back()
            if self._file is not None:
                self._file.written()

    @contextmanager
    def plain_writing(self) -> Iterator[Connection]:
        """One transaction for tables other than the log: no append lock on Postgres, the same as writing on SQLite."""
        with self._transaction(appending=False) as connection:
            yield connection

    @contextmanager
    def reading_newest(self) -> Iterator[Connection]:
        """As `reading`, and never of a standby, which may be behind: Unwritable there."""
        with self.reading() if self._file is not None else self.plain_writing() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot. Waits for no writer, and no writer waits for it."""
        options: dict[str, Any] = {BEGIN: "BEGIN"}
        if self.dialect == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def renew(self) -> None:
        """Take new connections from now on: those there are may lead to a server that is not the one any more."""
        if self._file is None:
            self.engine.dispose()

    def close(self) -> None:
        """Close every connection; on SQLite fold the write-ahead log into the file first. Harmless when repeated."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self, *, appending: bool) -> Iterator[Connection]:
        options = {_APPENDING: appending, BEGIN: "BEGIN IMMEDIATE"}
        with self._inside, nullcontext() if self._file is None else self._file.held():
            with (
                self.engine.connect().execution_options(**options) as connection,
                self._begin(connection, appending),
            ):
                yield connection
            if self._file is not None:
                self._file.written()

    def _begin(self, connection: Connection, appending: bool) -> RootTransaction:
        try:
            transaction = connection.begin()
            if self.dialect == "postgresql":
                # A statement of its own: what is read under the lock needs a snapshot taken after it was granted.
                lock = f", pg_advisory_xact_lock({APPEND_KEY})" if appending else ""
                row = connection.exec_driver_sql(
                    f"SELECT {_TAKES_NOTHING}, set_config('lock_timeout', '{LOCK_TIMEOUT}', true),"
                    f" set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT}', true){lock}"
                ).one()
                if row[0]:
                    raise self._left_behind()
        except DBAPIError as error:
            if isinstance(error, OperationalError) and _is_lock_timeout(error):
                raise Busy(LOCKED) from error
            if refusal_of_writes(error) == READ_ONLY:
                raise self._left_behind() from error
            raise
        return transaction

    def _left_behind(self) -> Unwritable:
        """Other connections may lead to the same server, which is not the one that is written to any more."""
        self.renew()
        return Unwritable(f"Nothing was written: {READ_ONLY}.")


class _Inside(threading.local):
    """Around a writing transaction: a second one of the same thread would wait for the first one for ever."""

    _writing = False

    def __enter__(self) -> None:
        if self._writing:
            raise RuntimeError("This thread is already inside a writing transaction; pass its connection on instead.")
        self._writing = True

    def __exit__(self, *_: object) -> None:
        self._writing = False


def _parse(url: str) -> URL:
    """The address, also with several hosts as libpq writes them: `postgresql://user@one:5432,two:5432/name`."""
    several = _SEVERAL_HOSTS.fullmatch(url)
    try:
        if several is None:
            return make_url(url)
        before, hosts, after = several.groups()
        return make_url(before + after).update_query_pairs(("host", host) for host in hosts.split(","))
    except (ArgumentError, ValueError):  # which may show the password
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
            f"DATABASE_URL: {str(error).strip()}. What follows the question mark are options of libpq, such as "
            "sslmode, connect_timeout or options; take the others out."
        ) from None


def _open_postgres(url: URL) -> Database:
    _assert_known_options(url)
    # A network that swallows everything would keep whoever waits for an answer for hours; what the URL says goes first.
    url = url.set(drivername="postgresql+psycopg", query={**_GIVE_UP, **url.query})
    engine = create_engine(url, pool_size=5, max_overflow=15, pool_pre_ping=True, pool_timeout=30)
    appends = engine_of(url, LOCK_TIMEOUT, IDLE_TIMEOUT)
    return Database(dialect="postgresql", engine=engine, appends=appends)


def _is_lock_timeout(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "55P03" or "database is locked" in str(error.orig)


def _close(file: SqliteFile | None, trips: Trips, engine: Engine, turns: Turns) -> None:
    if file is not None:
        file.close(trips.drop)
        return
    try:
        with turns:
            trips.drop()
    except Busy:  # somebody is in the middle of a command: the end of the process closes it
        return
    engine.dispose()
