"""Statements sent straight to the DBAPI driver, for the hot paths where SQLAlchemy costs more than the statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from core.store.formats.instants import format_instant


def check_out_connection(engine: Engine) -> PoolProxiedConnection:
    """Check a raw DBAPI connection out of the pool. Errors as in `fetch_all`."""
    dbapi = engine.dialect.loaded_dbapi
    try:
        return engine.raw_connection()
    except dbapi.Error as error:
        raise DBAPIError.instance(
            "", None, error, dbapi.Error, connection_invalidated=False, dialect=engine.dialect
        ) from error


class DedicatedConnection:
    """One connection that is kept between uses: going through the pool each time would cost as much as a statement.

    Not thread-safe.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection: PoolProxiedConnection | None = None

    def get_or_open(self) -> PoolProxiedConnection:
        """The connection, opened if there is none. Errors as in `check_out_connection`."""
        if self._connection is None:
            self._connection = check_out_connection(self.engine)
        return self._connection

    def discard(self, error: BaseException | None = None) -> None:
        """Close the connection in whatever state it is, which undoes what was not committed."""
        if self._connection is not None:
            self._connection.invalidate(error)
        self._connection = None


def fetch_all(connection: Connection, query: str, parameters: Sequence[Any]) -> list[Any]:
    """Run a statement with `?` placeholders in the transaction of `connection`, and return all its rows.

    Errors are SQLAlchemy's DBAPIError; `connection_invalidated` says whether the connection was lost.
    """
    with _run_statement(connection, query, parameters) as cursor:
        return list(cursor.fetchall())


def stream_pages(connection: Connection, query: str, parameters: Sequence[Any], page_size: int) -> Iterator[list[Any]]:
    """Yield the rows of a statement with `?` placeholders in pages of `page_size`, while the server reads ahead.

    Postgres only. `connection` must not be used for anything else before the last page. Errors as in `fetch_all`.
    """
    query = query.replace("?", "%s")
    with _translate_errors(connection, query) as cursor:
        rows = cursor.stream(query, parameters, size=page_size)
        while some := list(islice(rows, page_size)):
            yield some


def execute(connection: Connection, query: str, parameters: Sequence[Any]) -> int:
    """Run a statement with `?` placeholders that returns no rows; the number of rows it affected.

    Errors as in `fetch_all`.
    """
    with _run_statement(connection, query, parameters) as cursor:
        return int(cursor.rowcount)


@contextmanager
def _run_statement(connection: Connection, query: str, parameters: Sequence[Any]) -> Iterator[Any]:
    if connection.dialect.name == "postgresql":
        query = query.replace("?", "%s")
    else:
        parameters = [format_instant(p) if isinstance(p, datetime) else p for p in parameters]
    with _translate_errors(connection, query) as cursor:
        cursor.execute(query, parameters)
        yield cursor


def insert_many(connection: Connection, query: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run one INSERT with `?` placeholders for many rows. SQLite only, where this is faster than one long statement."""
    with _translate_errors(connection, query) as cursor:
        cursor.executemany(query, rows)


@contextmanager
def _translate_errors(connection: Connection, query: str) -> Iterator[Any]:
    dialect = connection.dialect
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            query, None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
        ) from error
    finally:
        cursor.close()
