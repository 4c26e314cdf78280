"""A database whose driver fails on demand: the n-th call is refused, or carried out and its answer lost."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import event

from core.store.database.connections import Database, connect
from core.store.database.postgres import postgres_append

Way = Literal["refused", "lost"]
"""`refused`: nothing was done. `lost`: it was done, then the connection broke (SQLite: then it reported an error)."""


@dataclass(slots=True)
class Trouble:
    """Counts every call of the driver, on any connection, and lets the chosen one fail."""

    way: Way = "refused"
    at: int = 0  # 0: never
    only: str = ""  # count only calls of this kind, as `commit`
    calls: int = 0
    failed: str = ""  # what the call was that failed

    def plan(self, at: int, way: Way, only: str = "") -> None:
        """Let the `at`-th call from now on fail."""
        self.at, self.way, self.only, self.calls, self.failed = at, way, only, 0, ""

    def calm(self) -> None:
        self.at = 0

    def around(
        self, what: str, call: Callable[[], Any], broken: Callable[[], Exception], lose: Callable[[], None]
    ) -> Any:
        if self.only and self.only not in what.lower():
            return call()
        self.calls += 1
        if self.calls != self.at:
            return call()
        self.failed = what
        if self.way == "lost":
            call()
            lose()
        raise broken()


_PIPE = postgres_append.run_pipeline
_PIPES: WeakKeyDictionary[Any, Callable[..., Any]] = WeakKeyDictionary()


def _pipe(raw: Any, steps: Any) -> Any:
    """Commands go past the driver's cursors, to libpq: each trip of theirs is a call too."""
    if raw not in _PIPES:
        return _PIPE(raw, steps)
    what = " ".join(name.decode() for name, _ in steps).replace("once", "once and commit")
    return _PIPES[raw](what, lambda: _PIPE(raw, steps), raw)


postgres_append.run_pipeline = _pipe


def troubled(url: str) -> tuple[Database, Trouble]:
    """The database at `url`, and the trouble it can be put to."""
    trouble = Trouble()
    database = connect(url)
    join = _sqlite(trouble) if database.dialect == "sqlite" else _postgres(trouble)
    for engine in database.engines:
        engine.dispose()  # connections from before are not in trouble's hands
        event.listen(engine, "do_connect", join)
    return database, trouble


def _sqlite(trouble: Trouble) -> Callable[..., Any]:
    def broken() -> Exception:
        return sqlite3.OperationalError("disk I/O error")

    def around(what: str, call: Callable[[], Any]) -> Any:
        return trouble.around(what, call, broken, lambda: None)

    class Cursor(sqlite3.Cursor):
        def execute(self, query: str, *parameters: Any) -> Any:
            return around(query, lambda: super(Cursor, self).execute(query, *parameters))

        def executemany(self, query: str, *parameters: Any) -> Any:
            return around(query, lambda: super(Cursor, self).executemany(query, *parameters))

        def fetchall(self) -> Any:
            return around("fetchall", super().fetchall)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            around("commit", super().commit)

        def rollback(self) -> None:
            around("rollback", super().rollback)

    def join(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["factory"] = Connection

    return join


def _postgres(trouble: Trouble) -> Callable[..., Any]:
    def around(what: str, call: Callable[[], Any], connection: Any) -> Any:
        def broken() -> Exception:
            return psycopg.OperationalError("the connection is lost" if trouble.way == "lost" else "out of memory")

        return trouble.around(what, call, broken, connection.close)

    class Troubled:
        connection: Any

        def execute(self, query: Any, *parameters: Any, **options: Any) -> Any:
            call = super().execute  # type: ignore[misc]
            return around(str(query), lambda: call(query, *parameters, **options), self.connection)

        def executemany(self, query: Any, *parameters: Any, **options: Any) -> Any:
            call = super().executemany  # type: ignore[misc]
            return around(str(query), lambda: call(query, *parameters, **options), self.connection)

    class Cursor(Troubled, psycopg.Cursor[Any]):
        pass

    class Connection(psycopg.Connection[Any]):
        def commit(self) -> None:
            around("commit", super().commit, self)

        def rollback(self) -> None:
            around("rollback", super().rollback, self)

    def join(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
        joined = Connection.connect(*arguments, **options, cursor_factory=Cursor)
        _PIPES[joined] = around
        return joined

    return join
