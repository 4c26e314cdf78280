"""Notifications of appends by other processes, on Postgres: only a hint to poll sooner."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from core.store.database.connections import Database
from core.store.database.postgres.postgres_functions import NOTIFY_CHANNEL

_POLL_SECONDS = 1.0  # how often to check whether to stop
_STOP_TIMEOUT_SECONDS = 2.0  # do not wait longer for a database that does not answer
_RECONNECT_AFTER = 5.0  # seconds


class AppendListener:
    """Calls `on_append` from its own thread, and `on_listen_lost` with the reason whenever it cannot listen.

    Does nothing on SQLite, where a single process serves.
    """

    def __init__(
        self, database: Database, on_append: Callable[[], None], on_listen_lost: Callable[[str], None]
    ) -> None:
        self._database = database
        self._on_append = on_append
        self._on_listen_lost = on_listen_lost
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
            self._thread.join(_STOP_TIMEOUT_SECONDS)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._open_connection() as connection:
                    connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                    self._on_append()  # events may have come before it listened
                    while not self._stopping.is_set():
                        for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                            self._on_append()
            except psycopg.Error as error:
                # Nothing is lost: the callers also poll.
                self._on_listen_lost(str(error).strip())
                self._stopping.wait(_RECONNECT_AFTER)

    def _open_connection(self) -> psycopg.Connection[Any]:
        parameters, options = self._database.engine.dialect.create_connect_args(self._database.engine.url)
        return psycopg.connect(*parameters, **{**options, "autocommit": True})
