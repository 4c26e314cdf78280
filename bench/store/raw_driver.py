"""What the drivers do at most: one row of the same text, inserted and committed, with nothing around it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg

_TABLE = "CREATE TABLE raw (id INTEGER PRIMARY KEY, body TEXT NOT NULL)"


@contextmanager
def sqlite(path: str, body: str) -> Iterator[Callable[[int], None]]:
    """As durable as Rampart: write-ahead log, synced at every commit."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _TABLE):
            raw.execute(statement)

        def insert(times: int) -> None:
            for _ in range(times):
                raw.execute("INSERT INTO raw (body) VALUES (?)", (body,))

        yield insert


@contextmanager
def postgres(url: str, body: str) -> Iterator[Callable[[int], None]]:
    """One connection, one statement a transaction."""
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("CREATE TABLE raw (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body TEXT NOT NULL)")

        def insert(times: int) -> None:
            for _ in range(times):
                raw.execute("INSERT INTO raw (body) VALUES (%s)", (body,))

        yield insert
