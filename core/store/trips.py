"""One transaction in as few trips to the database as it allows: each `go` is one, however many statements it has."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from core.store.instants import text_of


class Statement(NamedTuple):
    """SQL with `?` marks, and what stands for them."""

    sql: str
    parameters: Sequence[Any] = ()


class Trips:
    """Begins with the first `go` and ends with `commit` or `roll_back`. Postgres takes the statements of a trip as one
    pipeline; SQLite, which is no trip away, one after the other.

    Errors are SQLAlchemy's DBAPIError, as everywhere, `connection_invalidated` telling whether the connection was lost.
    """

    def __init__(self, engine: Engine, begin: Sequence[Statement]) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._begin = tuple(begin)
        self._checked_out: PoolProxiedConnection | None = None

    def go(self, statements: Sequence[Statement]) -> list[list[Any]]:
        """Run them all in this order; the rows of each."""
        if self._checked_out is not None:
            return self._go(self._checked_out, statements)
        beginning = (*self._begin, *statements)
        self._checked_out = self._engine.raw_connection()
        try:
            found = self._go(self._checked_out, beginning)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # It was lost while it lay in the pool (a restart, a failover): nothing had begun, so begin on a new one.
            self._checked_out = self._engine.raw_connection()
            found = self._go(self._checked_out, beginning)
        return found[len(self._begin) :]

    def commit(self, statements: Sequence[Statement]) -> list[list[Any]]:
        """Run them and commit, in the same trip; the rows of each."""
        found = self.go((*statements, Statement("COMMIT")))
        self._give_back()
        return found[:-1]

    def roll_back(self) -> None:
        """Undo what was not committed; harmless when it was, or when nothing had begun."""
        if self._checked_out is None:
            return
        try:
            self._go(self._checked_out, (Statement("ROLLBACK"),))
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        self._give_back()

    def _go(self, connection: PoolProxiedConnection, statements: Sequence[Statement]) -> list[list[Any]]:
        dbapi = self._engine.dialect.loaded_dbapi
        try:
            return self._in_turn(connection, statements) if self._sqlite else self._piped(connection, statements)
        except dbapi.Error as error:
            raw = connection.dbapi_connection
            lost = self._engine.dialect.is_disconnect(error, raw, None)
            if not self._sqlite:
                # What a pipeline had prepared when it broke off is not known any more: never use that one again.
                connection.invalidate(error)
                self._checked_out = None
            raise DBAPIError.instance(
                statements[-1].sql, None, error, dbapi.Error, connection_invalidated=lost, dialect=self._engine.dialect
            ) from error

    def _in_turn(self, connection: PoolProxiedConnection, statements: Sequence[Statement]) -> list[list[Any]]:
        cursor = connection.cursor()
        found = []
        for sql, parameters in statements:
            cursor.execute(sql, [text_of(p) if isinstance(p, datetime) else p for p in parameters])
            found.append(list(cursor.fetchall()))
        return found

    def _piped(self, connection: PoolProxiedConnection, statements: Sequence[Statement]) -> list[list[Any]]:
        raw: Any = connection.dbapi_connection
        with raw.pipeline():
            cursors = [raw.execute(sql.replace("?", "%s"), parameters) for sql, parameters in statements]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def _give_back(self) -> None:
        if self._checked_out is not None:
            self._checked_out.close()
        self._checked_out = None
