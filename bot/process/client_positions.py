"""Which position of the log the clients of this process have reached that evaluate in their own process.

A process answers for its clients: it reports no position that one of them may not have reached yet. A client goes on
serving for as long as a process does after its last contact, so it is waited for that long and no longer.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from core.store.coordination import processes

SERVING_SECONDS = processes.SERVING_SECONDS
MAX_CLIENTS = 20_000  # of one process; more are refused, as nobody could say what they serve
_DOCUMENTS_KEPT = 200
# CLOCK_BOOTTIME, where available, also counts while the machine sleeps: the clients do not sleep with it.
_monotonic_seconds = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class TooManyClients(Exception):
    """This process has `MAX_CLIENTS` already."""


@dataclass(frozen=True, slots=True)
class _ClientContact:
    etag: str  # of the document it may still be serving
    heard_at: float


class ClientPositions:
    """Tracks the documents that clients hold, by their ETags; thread-safe."""

    def __init__(self, elapsed: Callable[[], float] = _monotonic_seconds) -> None:
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._clients: dict[str, _ClientContact] = {}
        self._holders: Counter[str] = Counter()
        self._reached: dict[str, int] = {}  # ETag to the newest position at which it was the current document
        self._current = ""
        self._listeners: list[Callable[[], None]] = []

    def on_all_current(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the last client that was behind has caught up."""
        self._listeners.append(listener)

    def record_document(self, etag: str, position: int) -> None:
        """`etag` is the current document, at `position` of the log."""
        with self._lock:
            self._current = etag
            self._reached[etag] = position
            if len(self._reached) > _DOCUMENTS_KEPT:
                held = self._holders.keys() | {etag}
                self._reached = {known: reached for known, reached in self._reached.items() if known in held}

    def record_contact(self, client: str, held: str, sent: str) -> None:
        """`client` asked while it held the document `held` (empty: none yet) and is sent `sent`.

        Raises TooManyClients.
        """
        with self._lock:
            before = self._clients.get(client)
            if before is None and len(self._clients) >= MAX_CLIENTS:
                self._forget_silent()
                if len(self._clients) >= MAX_CLIENTS:
                    raise TooManyClients
            etag = held or (before.etag if before is not None else sent)
            self._clients[client] = _ClientContact(etag, self._elapsed())
            if before is not None and before.etag == etag:
                return
            if before is not None:
                self._count_holder(before.etag, -1)
            self._count_holder(etag, 1)
            caught_up = before is not None and self._holders[self._current] == len(self._clients)
        if caught_up:
            for listener in self._listeners:
                listener()

    def forget(self, client: str) -> None:
        """`client` has ended and serves nobody any more."""
        with self._lock:
            contact = self._clients.pop(client, None)
            if contact is not None:
                self._count_holder(contact.etag, -1)

    def limit_position(self, position: int) -> int:
        """The newest position that this process, which is at `position`, and all of its clients have reached."""
        with self._lock:
            self._forget_silent()
            behind = (self._reached.get(etag, 0) for etag in self._holders if etag != self._current)
            return min((position, *behind))

    def count_clients(self) -> tuple[int, int]:
        """(clients that hold the current document, clients that may still be serving an older one)."""
        with self._lock:
            self._forget_silent()
            current = self._holders[self._current]
            return current, len(self._clients) - current

    def _forget_silent(self) -> None:
        """Forget clients that serve the live version by now, as they have heard nothing for so long."""
        oldest = self._elapsed() - SERVING_SECONDS
        for client in [name for name, contact in self._clients.items() if contact.heard_at < oldest]:
            self._count_holder(self._clients.pop(client).etag, -1)

    def _count_holder(self, etag: str, change: int) -> None:
        self._holders[etag] += change
        if not self._holders[etag]:
            del self._holders[etag]
