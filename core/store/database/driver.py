"""Statements straight to the driver, for the few paths where a layer in between costs more than the statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from core.store.formats.instants import text_of


def checked_out(engine: Engine) -> PoolProxiedConnection:
    """A connection of the pool, for those who speak to the driver themselves; errors as in `fetch`."""
    dbapi = engine.dialect.loaded_dbapi
    try:
        return engine.raw_connection()
    except dbapi.Error as error:
        raise DBAPIError.instance(
            "", None, error, dbapi.Error, connection_invalidated=False, dialect=engine.dialect
        ) from error


class Standing:
    """One connection of its owner's own, kept from use to use: the pool's part in each would cost as much as a
    statement. Not safe for threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection: PoolProxiedConnection | None = None

    def connection(self) -> PoolProxiedConnection:
        """It, made anew where there is none. Errors as in `checked_out`."""
        if self._connection is None:
            self._connection = checked_out(self.engine)
        return self._connection

    def drop(self, error: BaseException | None = None) -> None:
        """Close it, whatever state it is in: that undoes what was not committed."""
        if self._connection is not None:
            self._connection.invalidate(error)
        self._connection = None


def fetch(connection: Connection, query: str, parameters: Sequence[Any]) -> list[Any]:
    """Run a statement with `?` marks in the transaction of `connection`; all its rows.

    Errors are SQLAlchemy's DBAPIError, `connection_invalidated` telling whether the connection was lost.
    """
    with _ran(connection, query, parameters) as cursor:
        return list(cursor.fetchall())


def streamed(connection: Connection, query: str, parameters: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """The rows of a statement with `?` marks, `size` at a time, while the server already reads those behind them.

    Postgres only. Nothing else may be asked of `connection` before the last of them. Errors as in `fetch`.
    """
    query = query.replace("?", "%s")
    with _translated(connection, query) as cursor:
        rows = cursor.stream(query, parameters, size=size)
        while some := list(islice(rows, size)):
            yield some


def execute(connection: Connection, query: str, parameters: Sequence[Any]) -> int:
    """Run a statement with `?` marks that gives no rows; how many rows it touched. Errors as in `fetch`."""
    with _ran(connection, query, parameters) as cursor:
        return int(cursor.rowcount)


@contextmanager
def _ran(connection: Connection, query: str, parameters: Sequence[Any]) -> Iterator[Any]:
    if connection.dialect.name == "postgresql":
        query = query.replace("?", "%s")
    else:
        parameters = [text_of(p) if isinstance(p, datetime) else p for p in parameters]
    with _translated(connection, query) as cursor:
        cursor.execute(query, parameters)
        yield cursor


def insert_many(connection: Connection, query: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run one insert, with `?` marks, for many rows; SQLite only, where this beats one long statement."""
    with _translated(connection, query) as cursor:
        cursor.executemany(query, rows)


@contextmanager
def _translated(connection: Connection, query: str) -> Iterator[Any]:
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
