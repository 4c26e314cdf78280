"""Notifies waiting threads and open event streams of changes in the workspace."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ChangeNotifier:
    """A lock and a version number that grows with every change; threads and event loops can wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.version = 0
        self.closed = False
        self._streams: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def announce(self) -> None:
        """Increase the version and wake all waiters; to be called after every change of state."""
        with self.lock:
            self.version += 1
            self.lock.notify_all()
            for loop, event in self._streams:
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """End all open streams so that the server can stop."""
        self.closed = True
        self.announce()

    def wait_for(self, predicate: Callable[[], T], timeout: float) -> T | None:
        """Wait until the predicate is truthy and return its value; None after `timeout` seconds.

        The predicate is called without the lock, at the start and after every change of the workspace.
        """
        deadline = time.monotonic() + timeout
        while True:
            version = self.version
            if value := predicate():
                return value
            with self.lock:
                while self.version == version:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self.lock.wait(left):
                        return None

    async def next_version(self, known_version: int, timeout: float) -> int:
        """Await a version above `known_version` and return it; after `timeout` seconds, return `known_version`."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        with self.lock:
            self._streams.add(entry)
            if self.version > known_version or self.closed:
                event.set()
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            return known_version
        finally:
            with self.lock:
                self._streams.discard(entry)
        return self.version

    async def wait_until_closed(self) -> None:
        """Await `close`."""
        known_version = -1
        while not self.closed:
            known_version = await self.next_version(known_version, 3600)
