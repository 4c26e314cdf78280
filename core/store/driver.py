"""Statements straight to the driver, for the few paths where a layer in between costs more than the statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def fetch(connection: Connection, query: str, parameters: Sequence[Any]) -> list[Any]:
    """Run a statement with `?` marks in the transaction of `connection`; all its rows.

    Errors are SQLAlchemy's DBAPIError, `connection_invalidated` telling whether the connection was lost.
    """
    if connection.dialect.name == "postgresql":
        query = query.replace("?", "%s")
    with _translated(connection, query) as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


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
