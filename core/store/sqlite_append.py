"""A command's transaction on SQLite: straight to the driver, under the file's lock."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError

from core.store.driver import checked_out
from core.store.instants import text_of
from core.store.queries import ANSWER, FINISH, KEY, OPENED
from core.store.two_trips import Ask, Found
from core.store.writes import Writes


class SqliteAppend:
    """See `TwoTrips`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None
        self._cursor: Any = None

    def open(self, ask: Ask) -> Found:
        self._connection = checked_out(self._engine)
        self._cursor = self._connection.cursor()
        self._run("BEGIN IMMEDIATE")
        answer = self._run(ANSWER, ask.command_id)
        news = self._run(f"{OPENED} WHERE position > ? ORDER BY position LIMIT ?", ask.after, ask.at_most)
        key = self._run(KEY, ask.person)
        finished = True
        if ask.claim is not None:
            name, slot, token = ask.claim
            finished = bool(self._run(FINISH, name, text_of(slot), token))
        return Found(answer=answer[0] if answer else None, news=news, key=key[0] if key else None, finished=finished)

    def commit(self, writes: Writes) -> None:
        for sql, parameters in writes.statements():
            self._run(sql, *parameters)
        self._run("COMMIT")
        self._give_back()

    def roll_back(self) -> None:
        if self._connection is not None:
            self._connection.rollback()
            self._give_back()

    def _run(self, sql: str, *parameters: Any) -> Sequence[Any]:
        assert self._cursor is not None
        try:
            self._cursor.execute(sql, parameters)
            found: list[Any] = self._cursor.fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=self._engine.dialect) from error
        return found

    def _give_back(self) -> None:
        if self._connection is not None:
            self._cursor.close()
            self._connection.close()
        self._connection = self._cursor = None
