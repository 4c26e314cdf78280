"""Opens a source to be read only: one transaction that cannot write, with a deadline, to an address that is allowed."""

import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import ceil, log
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from bot.outbound.addresses import is_public
from bot.outbound.transport import CallRefused, HostUnresolved, ResolveHost, find_allowed_addresses, resolve_host
from bot.sources.errors import SourceFailure
from bot.sources.sql.engines import CLICKHOUSE, DUCKDB, POSTGRES, SQLITE, SqlEngine, to_microseconds
from bot.sources.sql.hosted_engines import BIGQUERY, SNOWFLAKE, explain_bigquery, open_bigquery, open_snowflake
from bot.sources.sql.statements.source_rows import Statement

CONNECT_TIMEOUT = 10  # seconds
LOCAL = "localhost"
"""The name under which ALLOW_PRIVATE_HOSTS allows a socket of this machine."""
_POSTGRES_OPTIONS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "host"})
_EXTRAS = {"clickhousedb": "clickhouse"}
_NOT_ENCODED = "its address cannot be read: characters such as @ : / in its password must be written as %40 %3A %2F"
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})


class SourceConnection:
    """A read-only transaction of a source. Everything that is asked shares one deadline."""

    def __init__(self, connection: Connection, engine: SqlEngine, timeout: float) -> None:
        self.engine = engine
        self._connection = connection
        self._deadline = time.monotonic() + timeout

    def fetch(self, statement: Statement, most: int) -> Sequence[Any]:
        """All rows of a statement, at most `most`; `SourceFailure` otherwise, or if the deadline passes."""
        with self._in_time():
            found = self._connection.execute(statement).fetchmany(most + 1)
        if len(found) > most:
            raise SourceFailure(f"it answers with more than {most:,} rows: do the columns mean what they should?")
        return found

    def describe(self, statement: Statement) -> Sequence[tuple[str, Any]]:
        """(name, the driver's type) of each column of a statement's rows. `SourceFailure` if it cannot be run."""
        with self._in_time():
            result = self._connection.execute(statement)
            described = result.cursor.description if result.cursor is not None else ()
            result.close()
        return [(column[0], column[1]) for column in described]

    def explain(self, statement: Statement) -> Sequence[str]:
        """The engine's own plan of a statement, as lines."""
        compiled = statement.compile(dialect=self._connection.dialect, compile_kwargs={"literal_binds": True})
        prefix = "EXPLAIN QUERY PLAN " if self.engine is SQLITE else "EXPLAIN "
        with self._in_time():
            rows = self._connection.exec_driver_sql(f"{prefix}{compiled}".replace("%", "%%")).fetchall()
        return [line for row in rows for line in str(row[-1]).splitlines()]

    def render(self, statement: Statement) -> str:
        """The statement as the engine gets it, with its values."""
        return str(statement.compile(dialect=self._connection.dialect, compile_kwargs={"literal_binds": True}))

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise SourceFailure("it takes longer than its timeout")
        began = time.monotonic()
        raw = self._connection.connection.dbapi_connection
        interrupt: Callable[[], object] | None = getattr(raw, "interrupt", None)
        if self.engine is DUCKDB:
            interrupt = getattr(getattr(raw, "_ConnectionWrapper__c", raw), "interrupt", None)
        watchdog = threading.Timer(left, interrupt) if interrupt is not None else None
        try:
            if self.engine is POSTGRES:
                self._connection.exec_driver_sql(f"SET LOCAL statement_timeout = {ceil(left * 1000)}")
            elif self.engine is SNOWFLAKE:
                self._connection.exec_driver_sql(f"ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = {ceil(left)}")
            if watchdog is not None:
                watchdog.start()
            yield
        except DBAPIError as error:
            if time.monotonic() - began >= left or getattr(error.orig, "sqlstate", "") == "57014":
                raise SourceFailure("it takes longer than its timeout") from None
            if self.engine is BIGQUERY:
                raise explain_bigquery(str(error.orig)) from None
            raise explain_failure(error) from None
        finally:
            if watchdog is not None:
                watchdog.cancel()


def explain_failure(error: DBAPIError) -> SourceFailure:
    """What went wrong, without what a row holds. What is missing or forbidden lasts."""
    original = error.orig
    state = getattr(original, "sqlstate", None) or ""
    kind = type(original).__name__
    first = str(original).strip().splitlines()[0] if str(original).strip() else kind
    # 42: unknown tables and columns, types that do not fit, missing rights. Their texts name columns, never values.
    if state.startswith("42") or kind in ("BinderException", "CatalogException", "ParserException"):
        return SourceFailure(f"it refuses the query: {first}", is_lasting=True)
    if kind == "OperationalError" and first.startswith(("no such ", "near ")):
        return SourceFailure(f"it refuses the query: {first}", is_lasting=True)
    if kind == "DatabaseError" and (code := re.match(r"Code: (\d+)", first)):
        return _explain_clickhouse(int(code[1]), first)
    if state == "25006":
        return SourceFailure("its query would write, and it is only ever read", is_lasting=True)
    if state.startswith("22") or kind in ("ConversionException", "InvalidInputException", "OutOfRangeException"):
        return SourceFailure(f"a value cannot be read as what its column should be ({kind})", is_lasting=True)
    if error.connection_invalidated or state.startswith(("08", "57")):
        return SourceFailure(f"the connection was lost ({kind})")
    return SourceFailure(f"the query failed ({kind}{f', {state}' if state else ''})")


def _explain_clickhouse(code: int, first: str) -> SourceFailure:
    """By ClickHouse's own code. What names columns and rights may be told; what quotes values may not."""
    match code:
        case 159:
            return SourceFailure("it takes longer than its timeout")
        case 164:
            return SourceFailure("its query would write, and it is only ever read", is_lasting=True)
        case 16 | 36 | 42 | 43 | 46 | 47 | 60 | 62 | 81 | 497:
            return SourceFailure(f"it refuses the query: {first}", is_lasting=True)
        case 192 | 193 | 194 | 516:
            return SourceFailure("it refuses the user or the password", is_lasting=True)
        case _:
            return SourceFailure(f"the query failed (code {code})")


@contextmanager
def open_source(
    address: str,
    private_hosts: Collection[str],
    timeout: float,
    resolve: ResolveHost = resolve_host,
) -> Iterator[SourceConnection]:
    """A connection to the database at `address`, closed afterwards. `SourceFailure` if it cannot be opened."""
    url = _parse_address(address)
    opened, kind = _create_engine(url, private_hosts, timeout, resolve)
    try:
        with opened.connect() as connection:
            _prepare(connection, kind, timeout)
            source = SourceConnection(connection, kind, timeout)
            try:
                yield source
            finally:
                connection.rollback()
    except DBAPIError as error:
        text = str(error.orig).strip()
        if getattr(error.orig, "sqlstate", "") in ("28000", "28P01") or "authentication failed" in text:
            raise SourceFailure("it refuses the user or the password", is_lasting=True) from None
        if kind is DUCKDB and "Could not set lock" in text:
            raise SourceFailure(
                "another program has its file open to write, which DuckDB allows to one alone: let that close it, or "
                "read a copy"
            ) from None
        if kind is DUCKDB and "not a valid DuckDB" in text:
            raise SourceFailure("its file is none of DuckDB", is_lasting=True) from None
        raise SourceFailure(f"it cannot be reached ({type(error.orig).__name__})") from None
    finally:
        opened.dispose()


def _parse_address(address: str) -> URL:
    """The parts of an address. No error names any of them: a password that is not encoded ends up in the others."""
    try:
        url = make_url(address)
    except ArgumentError:
        raise SourceFailure("its address is no database URL, such as postgresql://…", is_lasting=True) from None
    except ValueError:  # what should be the port is no number
        raise SourceFailure(_NOT_ENCODED, is_lasting=True) from None
    if url.host and address.count("@") > 1:
        raise SourceFailure(_NOT_ENCODED, is_lasting=True)
    return url


def _create_engine(
    url: URL, private_hosts: Collection[str], timeout: float, resolve: ResolveHost
) -> tuple[Engine, SqlEngine]:
    backend = url.get_backend_name()
    try:
        match backend:
            case "postgres" | "postgresql":
                arguments = _guard_postgres(url, private_hosts, timeout, resolve)
                plain = url.set(drivername="postgresql+psycopg", host=None, port=None, query={})
                return create_engine(
                    plain, poolclass=NullPool, enable_from_linting=False, connect_args=arguments
                ), POSTGRES
            case "duckdb":
                options: Mapping[str, Any] = {
                    "read_only": True,
                    "config": {"enable_external_access": False, "autoinstall_known_extensions": False},
                }
                path = _find_file(url)
                address = URL.create("duckdb", database=str(path))
                return create_engine(
                    address, poolclass=NullPool, enable_from_linting=False, connect_args=options
                ), DUCKDB
            case "clickhouse" | "clickhousedb":
                return create_engine(
                    _guard_clickhouse(url, private_hosts, timeout, resolve),
                    poolclass=NullPool,
                    enable_from_linting=False,
                ), CLICKHOUSE
            case "sqlite":
                path = _find_file(url)
                file = f"sqlite+pysqlite:///file:{path}?mode=ro&uri=true"
                return create_engine(
                    file, poolclass=NullPool, enable_from_linting=False, connect_args={"check_same_thread": False}
                ), SQLITE
            case "bigquery":
                return open_bigquery(url, timeout), BIGQUERY
            case "snowflake":
                return open_snowflake(url, timeout), SNOWFLAKE
    except (NoSuchModuleError, ImportError):
        raise SourceFailure(
            f"the driver of {backend} is not installed. In the checkout, run: "
            f"pip install -e '.[{_EXTRAS.get(backend, backend)}]'",
            is_lasting=True,
        ) from None
    raise SourceFailure(f"{backend} is no engine that can be pulled from", is_lasting=True)


def _guard_postgres(url: URL, private_hosts: Collection[str], timeout: float, resolve: ResolveHost) -> dict[str, Any]:
    """The arguments of a connection that goes to a checked address only, encrypted if it is a public one."""
    query = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    if unknown := sorted(query.keys() - _POSTGRES_OPTIONS):
        raise SourceFailure(f"its address has the option {unknown[0]}, which is not known here", is_lasting=True)
    host = query.pop("host", "") or url.host or ""
    found: dict[str, Any] = {**query, "connect_timeout": min(CONNECT_TIMEOUT, max(2, ceil(timeout)))}
    if not host or host.startswith("/"):
        if LOCAL not in private_hosts:
            raise SourceFailure(
                f"it is a socket of this machine: if that is intended, name {LOCAL} in ALLOW_PRIVATE_HOSTS",
                is_lasting=True,
            )
        return {**found, **({"host": host} if host else {}), **({"port": url.port} if url.port else {})}
    port = url.port or 5432
    addresses = _find_addresses(host, port, private_hosts, resolve)
    if any(is_public(one) for one in addresses):
        if query.get("sslmode", "require") not in _ENCRYPTED:
            raise SourceFailure(f"{host} is public: its address needs sslmode=require or stricter", is_lasting=True)
        found["sslmode"] = query.get("sslmode", "require")
    named = ",".join([host] * len(addresses))
    return {**found, "host": named, "hostaddr": ",".join(addresses), "port": port}


def _guard_clickhouse(url: URL, private_hosts: Collection[str], timeout: float, resolve: ResolveHost) -> URL:
    """The address with the host checked and pinned: a public one over HTTPS, and without what the URL may ask for."""
    query = dict(url.query)
    if query.get("interface") == "chdb":  # the engine itself, in this process
        if LOCAL not in private_hosts or query.keys() != {"interface"}:
            raise SourceFailure(
                f"it runs here: if that is intended, name {LOCAL} in ALLOW_PRIVATE_HOSTS", is_lasting=True
            )
        return url.set(drivername="clickhousedb")
    if unknown := sorted(query.keys() - {"secure"}):
        raise SourceFailure(f"its address has the option {unknown[0]}, which is not known here", is_lasting=True)
    host = url.host or ""
    addresses = _find_addresses(host, url.port or 8443, private_hosts, resolve)
    is_secure = query.get("secure", "true") == "true"
    if not is_secure and any(is_public(one) for one in addresses):
        raise SourceFailure(f"{host} is public: its address cannot say secure=false", is_lasting=True)
    pinned = {
        "interface": "https" if is_secure else "http",
        "server_host_name": host,
        "connect_timeout": str(min(CONNECT_TIMEOUT, max(2, ceil(timeout)))),
        "send_receive_timeout": str(ceil(timeout)),
        "query_retries": "0",
    }
    return url.set(
        drivername="clickhousedb", host=addresses[0], port=url.port or (8443 if is_secure else 8123), query=pinned
    )


def _find_addresses(host: str, port: int, private_hosts: Collection[str], resolve: ResolveHost) -> Sequence[str]:
    try:
        return find_allowed_addresses(host, port, private_hosts, resolve)
    except CallRefused as refused:
        raise SourceFailure(str(refused), is_lasting=True) from None
    except HostUnresolved as unresolved:
        raise SourceFailure(str(unresolved)) from None


def _find_file(url: URL) -> Path:
    path = Path(url.database or "").absolute()
    if url.host or url.query or not url.database or not path.is_file():
        raise SourceFailure(
            f"its address names no file of this machine, as in {url.get_backend_name()}:////data/requests.db",
            is_lasting=True,
        )
    return path


def _prepare(connection: Connection, kind: SqlEngine, timeout: float) -> None:
    """Begin a transaction that cannot write and sees one state of the rows, in UTC."""
    if kind is POSTGRES:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
    elif kind is DUCKDB:
        connection.exec_driver_sql("SET TimeZone = 'UTC'")
        connection.exec_driver_sql("SET lock_configuration = true")
    elif kind is CLICKHOUSE:
        client = getattr(connection.connection.dbapi_connection, "client")  # noqa: B009 - the driver's own
        # The lock comes last: once it is set, no statement changes a setting, not even this one.
        for setting, value in (("max_execution_time", ceil(timeout)), ("readonly", 1)):
            client.set_client_setting(setting, value)
    elif kind is SQLITE:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.create_function("rampart_sha256", 1, _hash_text, deterministic=True)
        raw.create_function("rampart_ln", 1, log, deterministic=True)
        raw.create_function("rampart_moment", 1, to_microseconds, deterministic=True)
        raw.create_function("ceil", 1, ceil, deterministic=True)
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif kind is SNOWFLAKE:
        connection.exec_driver_sql("ALTER SESSION SET TIMEZONE = 'UTC'")


def _hash_text(text: str | None) -> str | None:
    return None if text is None else sha256(text.encode()).hexdigest()
