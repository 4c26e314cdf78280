"""A nudge when somebody else has appended: on Postgres sooner than the next look, which stays the truth."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from core.store.database.connections import Database
from core.store.database.postgres_functions import CHANNEL

_LISTEN_FOR = 1.0  # seconds between two looks at whether to stop
_STOP_WITHIN = 2.0  # a database that is silent keeps nobody
_RECONNECT_AFTER = 5.0


class Wakeups:
    """Calls `woken` from a thread of its own, and `deaf` with the reason while it cannot listen.

    On SQLite, where one process serves, there is nobody to hear from.
    """

    def __init__(self, database: Database, woken: Callable[[], None], deaf: Callable[[str], None]) -> None:
        self._database = database
        self._woken = woken
        self._deaf = deaf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wakeups", daemon=True)

    def start(self) -> None:
        if self._database.dialect == "postgresql":
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._connection() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._woken()  # what came before anybody listened
                    while not self._stopping.is_set():
                        for _ in connection.notifies(timeout=_LISTEN_FOR, stop_after=1):
                            self._woken()
            except psycopg.Error as error:
                # Nothing is lost: whoever is woken also looks by itself.
                self._deaf(str(error).strip())
                self._stopping.wait(_RECONNECT_AFTER)

    def _connection(self) -> psycopg.Connection[Any]:
        parameters, options = self._database.engine.dialect.create_connect_args(self._database.engine.url)
        return psycopg.connect(*parameters, **{**options, "autocommit": True})
