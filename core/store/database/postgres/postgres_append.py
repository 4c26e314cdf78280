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

from core.store.database.append_backend import AppendRequest, AppendState
from core.store.database.append_rows import PendingWrites
from core.store.database.driver import DedicatedConnection
from core.store.database.postgres.postgres_functions import CALL_APPEND, CALL_APPEND_ONCE, CALL_OPEN
from core.store.errors import DatabaseUnwritable
from core.store.formats.instants import format_instant

PreparedStep = tuple[bytes, Sequence[str | int | bytes | datetime | None]]  # name of a prepared statement, parameters

_PREPARED_STATEMENTS = {
    b"begin": "BEGIN",
    b"open": CALL_OPEN,
    b"append": CALL_APPEND,
    b"commit": "COMMIT",
    b"undo": "ROLLBACK",
    b"once": CALL_APPEND_ONCE,
}
_RESPONSE_TIMEOUT_SECONDS = 60  # longer than the wait for the append lock
_MIXED_UP_STATEMENTS = ("26000", "42P05")  # a prepared statement that is not there, or is there already
_FATAL_SEVERITIES = (b"FATAL", b"PANIC")  # after these the server closes the connection
_OK_STATUSES = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.PIPELINE_SYNC)


class ConnectionLost(psycopg.OperationalError):
    """The connection was lost, so the outcome of the running statements is unknown."""


def create_append_engine(url: URL, lock_timeout: str, idle_timeout: str) -> Engine:
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
            for name, sql in _PREPARED_STATEMENTS.items():
                _check_result(raw.pgconn, raw.pgconn.prepare(name, sql.encode()))
        except psycopg.Error as error:
            raw.close()  # it is in no pool yet
            _raise_if_pooled(error)
            raise

    return engine


class PostgresAppendBackend:
    """Implements `AppendBackend`."""

    def __init__(self, engine: Engine) -> None:
        self._dedicated = DedicatedConnection(engine)
        self._in_transaction = False

    def begin(self, request: AppendRequest) -> AppendState:
        name, due_at, token = request.claim or (None, None, None)
        steps: list[PreparedStep] = [
            (b"begin", ()),
            (
                b"open",
                (request.command_id, request.after_position, request.event_limit, request.person, name, due_at, token),
            ),
        ]
        try:
            row = self._run_steps(steps)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The idle connection was lost (restart, failover). Nothing had begun, so retry on a new one.
            row = self._run_steps(steps)
        self._in_transaction = True
        answer, news, key, finished = row
        found = orjson.loads(key) if key is not None else None
        return AppendState(
            answer_row=orjson.loads(answer) if answer is not None else None,
            new_event_rows=[_parse_event_row(fields) for fields in orjson.loads(news)] if news is not None else [],
            key_row=(found[0], bytes.fromhex(found[1])) if found is not None else None,
            is_claim_valid=finished != b"f",
        )

    def commit(self, writes: PendingWrites) -> None:
        self._run_steps([*([(b"append", writes.postgres_arrays())] if writes else []), (b"commit", ())])
        self._in_transaction = False

    def try_optimistic_commit(self, request: AppendRequest, writes: PendingWrites) -> bool:
        name, due_at, token = request.claim or (None, None, None)
        (done,) = self._run_steps(
            [(b"once", (request.command_id, request.head_hash, name, due_at, token, *writes.postgres_arrays()))]
        )
        return done == b"t"

    def roll_back(self) -> None:
        if self._in_transaction:
            self._run_steps([(b"undo", ())])
            self._in_transaction = False

    def close_connection(self) -> None:
        self._dedicated.discard()

    def _run_steps(self, steps: Sequence[PreparedStep]) -> Sequence[bytes | None]:
        """Run the steps in one round trip, and return the row of the last step that gave one.

        DBAPIError if one failed; the connection is then discarded.
        """
        raw: Any = self._dedicated.get_or_open().dbapi_connection
        try:
            return run_pipeline(raw, steps)
        except psycopg.Error as error:
            lost, dialect = isinstance(error, ConnectionLost) or bool(raw.closed), self._dedicated.engine.dialect
            self._dedicated.discard(error)
            self._in_transaction = False
            _raise_if_pooled(error)
            raise DBAPIError.instance(
                steps[-1][0].decode(), None, error, psycopg.Error, connection_invalidated=lost, dialect=dialect
            ) from error
        except BaseException as error:  # interrupted midway: the next caller would read the results of this one
            self._dedicated.discard(error)
            self._in_transaction = False
            raise


def _raise_if_pooled(error: psycopg.Error) -> None:
    """DatabaseUnwritable if a pooler has mixed up the prepared statements of several connections; nothing has begun."""
    if error.sqlstate in _MIXED_UP_STATEMENTS:
        raise DatabaseUnwritable(
            f"Nothing can be written through this pooler ({error}): it has to allow prepared statements, as PgBouncer "
            "does from 1.21 on with max_prepared_statements above 0. Set that, or name Postgres itself in DATABASE_URL."
        ) from error


def run_pipeline(raw: "psycopg.Connection[Any]", steps: Sequence[PreparedStep]) -> Sequence[bytes | None]:
    """Run the steps in one round trip, and return the row of the last step that gave one.

    psycopg.Error if one failed; the connection is then unusable.
    """
    libpq = raw.pgconn
    parameters = [[_encode_parameter(value) for value in values] for _, values in steps]
    libpq.enter_pipeline_mode()
    for (name, _), values in zip(steps, parameters, strict=True):
        libpq.send_query_prepared(name, values)
    libpq.pipeline_sync()
    arriving = select.poll()
    _flush_output(libpq, arriving)
    row: Sequence[bytes | None] = ()
    for _ in steps:
        result = _check_result(libpq, _next_result(libpq, arriving))
        if result.ntuples:
            row = [result.get_value(0, column) for column in range(result.nfields)]
        _next_result(libpq, arriving)  # None: the end of this step
    # the end of the pipeline, where a single statement is committed
    _check_result(libpq, _next_result(libpq, arriving))
    libpq.exit_pipeline_mode()
    return row


def _flush_output(libpq: Any, arriving: select.poll) -> None:
    """Send everything that is buffered, waiting for the server to read when the socket is full."""
    arriving.register(libpq.socket, select.POLLIN | select.POLLOUT)
    while libpq.flush():
        _wait_for_socket(libpq, arriving)
    arriving.modify(libpq.socket, select.POLLIN)


def _next_result(libpq: Any, arriving: select.poll) -> Any:
    """Wait for the next result, letting other threads run, which libpq's own waiting would not."""
    while libpq.is_busy():
        _wait_for_socket(libpq, arriving)
    return libpq.get_result()


def _wait_for_socket(libpq: Any, arriving: select.poll) -> None:
    found = arriving.poll(_RESPONSE_TIMEOUT_SECONDS * 1000)
    if not found:
        raise ConnectionLost(f"the connection is lost: no answer for {_RESPONSE_TIMEOUT_SECONDS} s")
    if found[0][1] & ~select.POLLOUT:
        libpq.consume_input()


def _check_result(libpq: Any, result: Any) -> Any:
    fatal = result is not None and result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) in _FATAL_SEVERITIES
    if result is None or fatal or libpq.status == ConnStatus.BAD:
        raise ConnectionLost(f"the connection is lost: {libpq.error_message.decode(errors='replace').strip()}")
    if result.status not in _OK_STATUSES:
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"XX000").decode()
        said = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or result.error_message).decode(errors="replace")
        try:
            kind: type[psycopg.Error] = errors.lookup(state)
        except KeyError:
            kind = psycopg.DatabaseError
        raise kind(said)
    return result


def _encode_parameter(value: str | int | bytes | datetime | None) -> bytes | None:
    """Encode a parameter as text; DataError if it contains a NUL, where libpq would cut it off."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    written = (format_instant(value) if isinstance(value, datetime) else str(value)).encode()
    if b"\0" in written:
        raise psycopg.DataError("Postgres cannot keep text with a NUL character (U+0000) in it")
    return written


def _parse_event_row(fields: Sequence[Any]) -> tuple[Any, ...]:
    """A row of `append_queries.SELECT_EVENTS` from its JSON form, in which bytes are hex."""
    secret = bytes.fromhex(fields[18]) if fields[18] is not None else None
    return (*fields[:16], bytes.fromhex(fields[16]), bytes.fromhex(fields[17]), secret)
