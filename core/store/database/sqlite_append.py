"""The append backend for SQLite: statements straight to the driver, under the file's write lock."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from core.store.database.append_backend import Ask, Found
from core.store.database.append_queries import ANSWER, FINISH, KEY, OPENED
from core.store.database.append_rows import Writes
from core.store.database.driver import Standing
from core.store.formats.instants import text_of

_NEWS = f"{OPENED} WHERE position > ? ORDER BY position LIMIT ?"


class SqliteAppend:
    """Implements `AppendBackend`."""

    def __init__(self, engine: Engine) -> None:
        self._standing = Standing(engine)
        self._begun: PoolProxiedConnection | None = None
        self._cursor: Any = None

    def open(self, ask: Ask) -> Found:
        self._begin()
        answer = self._run(ANSWER, (ask.command_id,))
        news = self._run(_NEWS, (ask.after, ask.at_most))
        key = self._run(KEY, (ask.person,)) if ask.person else None
        finished = True
        if ask.claim is not None:
            name, slot, token = ask.claim
            finished = bool(self._run(FINISH, (name, text_of(slot), token)))
        return Found(answer=answer[0] if answer else None, news=news, key=key[0] if key else None, finished=finished)

    def commit(self, writes: Writes) -> None:
        for sql, parameters in writes.statements():
            self._run(sql, parameters)
        self._run("COMMIT")
        self._begun = None

    def at_once(self, ask: Ask, writes: Writes) -> bool:
        return False  # the database is local: an optimistic attempt would save nothing

    def roll_back(self) -> None:
        if self._begun is None:
            return
        try:
            self._begun.rollback()
        except sqlite3.Error as error:
            self.drop(error)
        self._begun = None

    def drop(self, error: BaseException | None = None) -> None:
        self._standing.drop(error)

    def _begin(self) -> None:
        self._begun = self._standing.connection()
        self._cursor = self._begun.cursor()
        self._run("BEGIN IMMEDIATE")

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        try:
            self._cursor.execute(sql, parameters)
            found: list[Any] = self._cursor.fetchall()
        except sqlite3.Error as error:
            dialect = self._standing.engine.dialect
            raise DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=dialect) from error
        return found
