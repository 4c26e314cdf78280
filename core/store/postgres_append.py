"""A command's transaction on Postgres: two functions there, so that each trip is a single message."""

from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, PoolProxiedConnection, create_engine
from sqlalchemy.exc import DBAPIError

from core.store.driver import checked_out
from core.store.postgres_functions import APPENDING, OPENING
from core.store.two_trips import Ask, Found
from core.store.writes import Writes


def engine_of(url: URL) -> Engine:
    """Connections for appends. These take turns, so few are enough; nor are they asked whether they live, which would
    cost a trip: the first trip notices, and takes another one."""
    how = {"autocommit": True, "cursor_factory": psycopg.ClientCursor}
    return create_engine(
        url, pool_size=2, max_overflow=18, pool_timeout=30, pool_reset_on_return=None, connect_args=how
    )


class PostgresAppend:
    """See `TwoTrips`. `patience` is how long to wait for the append lock, as Postgres writes it."""

    def __init__(self, engine: Engine, patience: str) -> None:
        self._engine = engine
        self._patience = patience
        self._connection: PoolProxiedConnection | None = None

    def open(self, ask: Ask) -> Found:
        name, slot, token = ask.claim or (None, None, None)
        asked = (ask.command_id, ask.after, ask.at_most, ask.person, name, slot, token, self._patience)
        self._connection = checked_out(self._engine)
        try:
            cursor = self._run(OPENING, asked)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # It was lost while it lay in the pool (a restart, a failover): nothing had begun, so begin on a new one.
            self._connection = checked_out(self._engine)
            cursor = self._run(OPENING, asked)
        cursor.nextset()
        answer, news, key, finished = cursor.fetchone()
        return Found(
            answer=answer,
            news=[_event(fields) for fields in news or ()],
            key=(key[0], bytes.fromhex(key[1])) if key is not None else None,
            finished=finished is not False,
        )

    def commit(self, writes: Writes) -> None:
        if writes:
            self._run(APPENDING, writes.arrays())
        else:
            self._run("COMMIT", None)
        self._give_back()

    def roll_back(self) -> None:
        if self._connection is not None:
            self._run("ROLLBACK", None)
            self._give_back()

    def _run(self, sql: str, parameters: Sequence[Any] | None) -> Any:
        assert self._connection is not None
        raw: Any = self._connection.dbapi_connection
        try:
            return raw.execute(sql, parameters)
        except psycopg.Error as error:
            dialect = self._engine.dialect
            lost = dialect.is_disconnect(error, raw, None)  # type: ignore[arg-type]
            # Whatever state it is in: closing it undoes what was not committed.
            self._connection.invalidate(error)
            self._connection = None
            raise DBAPIError.instance(
                sql, None, error, psycopg.Error, connection_invalidated=lost, dialect=dialect
            ) from error

    def _give_back(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _event(fields: Sequence[Any]) -> tuple[Any, ...]:
    """A row of `queries.OPENED` from its form in JSON, where bytes are hex."""
    secret = bytes.fromhex(fields[18]) if fields[18] is not None else None
    return (*fields[:16], bytes.fromhex(fields[16]), bytes.fromhex(fields[17]), secret)
