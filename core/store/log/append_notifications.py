"""Notifications of appends by other processes, on Postgres: only a hint to poll sooner."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from core.store.database.connections import Database
from core.store.database.postgres_functions import CHANNEL

_LISTEN_FOR = 1.0  # how often to check whether to stop
_STOP_WITHIN = 2.0  # do not wait longer for a database that does not answer
_RECONNECT_AFTER = 5.0  # seconds


class Wakeups:
    """Calls `on_append` from its own thread, and `on_listen_lost` with the reason whenever it cannot listen.

    Does nothing on SQLite, where a single process serves.
    """

    def __init__(self, database: Database, woken: Callable[[], None], deaf: Callable[[str], None]) -> None:
        self._database = database
        self._woken = woken
        self._deaf = deaf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wakeups", daemon=True)

    def start(self) -> None:
        """Start listening; does nothing on SQLite."""
        if self._database.dialect == "postgresql":
            self._thread.start()

    def stop(self) -> None:
        """Stop listening, and wait for the thread for up to two seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._connection() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._woken()  # events may have come before it listened
                    while not self._stopping.is_set():
                        for _ in connection.notifies(timeout=_LISTEN_FOR, stop_after=1):
                            self._woken()
            except psycopg.Error as error:
                # Nothing is lost: the callers also poll.
                self._deaf(str(error).strip())
                self._stopping.wait(_RECONNECT_AFTER)

    def _connection(self) -> psycopg.Connection[Any]:
        parameters, options = self._database.engine.dialect.create_connect_args(self._database.engine.url)
        return psycopg.connect(*parameters, **{**options, "autocommit": True})
