"""The append backend for SQLite: statements straight to the driver, under the file's write lock."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from core.store.database.append_backend import AppendRequest, AppendState
from core.store.database.append_queries import FINISH_TIMER, SELECT_ANSWER, SELECT_EVENTS, SELECT_KEY
from core.store.database.append_rows import PendingWrites
from core.store.database.driver import DedicatedConnection
from core.store.formats.instants import format_instant

_SELECT_NEW_EVENTS = f"{SELECT_EVENTS} WHERE position > ? ORDER BY position LIMIT ?"


class SqliteAppendBackend:
    """Implements `AppendBackend`."""

    def __init__(self, engine: Engine) -> None:
        self._dedicated = DedicatedConnection(engine)
        self._active_connection: PoolProxiedConnection | None = None
        self._cursor: Any = None

    def begin(self, request: AppendRequest) -> AppendState:
        self._begin_transaction()
        answer = self._execute(SELECT_ANSWER, (request.command_id,))
        news = self._execute(_SELECT_NEW_EVENTS, (request.after_position, request.event_limit))
        key = self._execute(SELECT_KEY, (request.person,)) if request.person else None
        finished = True
        if request.claim is not None:
            name, due_at, token = request.claim
            finished = bool(self._execute(FINISH_TIMER, (name, format_instant(due_at), token)))
        return AppendState(
            answer_row=answer[0] if answer else None,
            new_event_rows=news,
            key_row=key[0] if key else None,
            is_claim_valid=finished,
        )

    def commit(self, writes: PendingWrites) -> None:
        for sql, parameters in writes.sqlite_statements():
            self._execute(sql, parameters)
        self._execute("COMMIT")
        self._active_connection = None

    def try_optimistic_commit(self, request: AppendRequest, writes: PendingWrites) -> bool:
        return False  # the database is local: an optimistic attempt would save nothing

    def roll_back(self) -> None:
        if self._active_connection is None:
            return
        try:
            self._active_connection.rollback()
        except sqlite3.Error as error:
            self.close_connection(error)
        self._active_connection = None

    def close_connection(self, error: BaseException | None = None) -> None:
        self._dedicated.discard(error)

    def _begin_transaction(self) -> None:
        self._active_connection = self._dedicated.get_or_open()
        self._cursor = self._active_connection.cursor()
        self._execute("BEGIN IMMEDIATE")

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        try:
            self._cursor.execute(sql, parameters)
            found: list[Any] = self._cursor.fetchall()
        except sqlite3.Error as error:
            dialect = self._dedicated.engine.dialect
            raise DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=dialect) from error
        return found
