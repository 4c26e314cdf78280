"""The append backend for Postgres: each round trip is one pipeline of prepared statements, sent straight to libpq.

It uses psycopg's low-level `pq` module: the layer above takes several times as long as the round trip itself.
"""

import select
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from sqlalchemy import URL, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from core.store.database.append_backend import Ask, Found
from core.store.database.append_rows import Writes
from core.store.database.driver import Standing
from core.store.database.postgres_functions import APPENDING, AT_ONCE, OPENING
from core.store.formats.instants import text_of

Message = tuple[bytes, Sequence[str | int | bytes | datetime | None]]  # name of a prepared statement, parameters

_PREPARED = {
    b"begin": "BEGIN",
    b"open": OPENING,
    b"append": APPENDING,
    b"commit": "COMMIT",
    b"undo": "ROLLBACK",
    b"once": AT_ONCE,
}
_SILENT_AFTER = 60  # longer than the wait for the append lock
_FATAL = (b"FATAL", b"PANIC")  # after these the server closes the connection
_GOOD = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.PIPELINE_SYNC)


class Lost(psycopg.OperationalError):
    """The connection was lost, so the outcome of the running statements is unknown."""


def engine_of(url: URL, lock_timeout: str, idle_timeout: str) -> Engine:
    """Create the engine for appends, whose connections come with the time-outs set and the statements prepared.

    Appends run one at a time, so there is no pool, and no ping: the first round trip notices a dead connection and
    opens a new one. Time-outs are Postgres durations, such as `10s`.
    """
    how = {"autocommit": True, "client_encoding": "utf8"}
    engine = create_engine(url, poolclass=NullPool, pool_reset_on_return=None, connect_args=how)

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _record: object) -> None:
        raw.execute(
            f"SELECT set_config('lock_timeout', '{lock_timeout}', false),"
            f" set_config('idle_in_transaction_session_timeout', '{idle_timeout}', false),"
            # What is read under the lock needs a snapshot taken after the lock was granted.
            " set_config('default_transaction_isolation', 'read committed', false)"
        )
        try:
            for name, sql in _PREPARED.items():
                _checked(raw.pgconn, raw.pgconn.prepare(name, sql.encode()))
        except psycopg.Error:
            raw.close()  # it is in no pool yet
            raise

    return engine


class PostgresAppend:
    """Implements `AppendBackend`."""

    def __init__(self, engine: Engine) -> None:
        self._standing = Standing(engine)
        self._begun = False

    def open(self, ask: Ask) -> Found:
        name, slot, token = ask.claim or (None, None, None)
        steps: list[Message] = [
            (b"begin", ()),
            (b"open", (ask.command_id, ask.after, ask.at_most, ask.person, name, slot, token)),
        ]
        try:
            row = self._go(steps)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The idle connection was lost (restart, failover). Nothing had begun, so retry on a new one.
            row = self._go(steps)
        self._begun = True
        answer, news, key, finished = row
        found = orjson.loads(key) if key is not None else None
        return Found(
            answer=orjson.loads(answer) if answer is not None else None,
            news=[_event(fields) for fields in orjson.loads(news)] if news is not None else [],
            key=(found[0], bytes.fromhex(found[1])) if found is not None else None,
            finished=finished != b"f",
        )

    def commit(self, writes: Writes) -> None:
        self._go([*([(b"append", writes.arrays())] if writes else []), (b"commit", ())])
        self._begun = False

    def at_once(self, ask: Ask, writes: Writes) -> bool:
        name, slot, token = ask.claim or (None, None, None)
        (done,) = self._go([(b"once", (ask.command_id, ask.newest, name, slot, token, *writes.arrays()))])
        return done == b"t"

    def roll_back(self) -> None:
        if self._begun:
            self._go([(b"undo", ())])
            self._begun = False

    def drop(self) -> None:
        self._standing.drop()

    def _go(self, steps: Sequence[Message]) -> Sequence[bytes | None]:
        """Run the steps in one round trip, and return the row of the last step that gave one.

        DBAPIError if one failed; the connection is then discarded.
        """
        raw: Any = self._standing.connection().dbapi_connection
        try:
            return pipe(raw, steps)
        except psycopg.Error as error:
            lost, dialect = isinstance(error, Lost) or bool(raw.closed), self._standing.engine.dialect
            self._standing.drop(error)
            self._begun = False
            raise DBAPIError.instance(
                steps[-1][0].decode(), None, error, psycopg.Error, connection_invalidated=lost, dialect=dialect
            ) from error
        except BaseException as error:  # interrupted midway: the next caller would read the results of this one
            self._standing.drop(error)
            self._begun = False
            raise


def pipe(raw: "psycopg.Connection[Any]", steps: Sequence[Message]) -> Sequence[bytes | None]:
    """Run the steps in one round trip, and return the row of the last step that gave one.

    psycopg.Error if one failed; the connection is then unusable.
    """
    libpq = raw.pgconn
    parameters = [[_written(value) for value in values] for _, values in steps]
    libpq.enter_pipeline_mode()
    for (name, _), values in zip(steps, parameters, strict=True):
        libpq.send_query_prepared(name, values)
    libpq.pipeline_sync()
    arriving = select.poll()
    _send(libpq, arriving)
    row: Sequence[bytes | None] = ()
    for _ in steps:
        result = _checked(libpq, _next(libpq, arriving))
        if result.ntuples:
            row = [result.get_value(0, column) for column in range(result.nfields)]
        _next(libpq, arriving)  # None: the end of this step
    _checked(libpq, _next(libpq, arriving))  # the end of the pipeline, where a single statement is committed
    libpq.exit_pipeline_mode()
    return row


def _send(libpq: Any, arriving: select.poll) -> None:
    """Send everything that is buffered, waiting for the server to read when the socket is full."""
    arriving.register(libpq.socket, select.POLLIN | select.POLLOUT)
    while libpq.flush():
        _wait(libpq, arriving)
    arriving.modify(libpq.socket, select.POLLIN)


def _next(libpq: Any, arriving: select.poll) -> Any:
    """Wait for the next result, letting other threads run, which libpq's own waiting would not."""
    while libpq.is_busy():
        _wait(libpq, arriving)
    return libpq.get_result()


def _wait(libpq: Any, arriving: select.poll) -> None:
    found = arriving.poll(_SILENT_AFTER * 1000)
    if not found:
        raise Lost(f"the connection is lost: nothing came for {_SILENT_AFTER} s")
    if found[0][1] & ~select.POLLOUT:
        libpq.consume_input()


def _checked(libpq: Any, result: Any) -> Any:
    fatal = result is not None and result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) in _FATAL
    if result is None or fatal or libpq.status == ConnStatus.BAD:
        raise Lost(f"the connection is lost: {libpq.error_message.decode(errors='replace').strip()}")
    if result.status not in _GOOD:
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"XX000").decode()
        said = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or result.error_message).decode(errors="replace")
        try:
            kind: type[psycopg.Error] = errors.lookup(state)
        except KeyError:
            kind = psycopg.DatabaseError
        raise kind(said)
    return result


def _written(value: str | int | bytes | datetime | None) -> bytes | None:
    """Encode a parameter as text; DataError if it contains a NUL, where libpq would cut it off."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    written = (text_of(value) if isinstance(value, datetime) else str(value)).encode()
    if b"\0" in written:
        raise psycopg.DataError("Postgres cannot keep text with a NUL character (U+0000) in it")
    return written


def _event(fields: Sequence[Any]) -> tuple[Any, ...]:
    """A row of `append_queries.SELECT_EVENTS` from its JSON form, in which bytes are hex."""
    secret = bytes.fromhex(fields[18]) if fields[18] is not None else None
    return (*fields[:16], bytes.fromhex(fields[16]), bytes.fromhex(fields[17]), secret)
