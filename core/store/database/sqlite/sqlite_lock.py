"""The write lock of a SQLite file: threads and processes queue for it without polling."""

import fcntl
import os
import threading
from pathlib import Path

from core.store.errors import LOCKED_MESSAGE, DatabaseBusy

LOCK_WAIT_SECONDS = 10.0  # how long a writer waits for others


class TimedLock:
    """A lock between the threads of one process, as a context manager; DatabaseBusy after `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._timeout):
            raise DatabaseBusy(LOCKED_MESSAGE)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class AppendLock(TimedLock):
    """The lock file that a thread holds while it writes to or checkpoints a SQLite database.

    The kernel releases it when the process dies. A context manager that is not reentrant.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        """Open the lock file. OSError if the folder is not writable or its file system has no file locks."""
        super().__init__(timeout)
        self._path = path
        self._fd = self._held_fd = self._open_file()
        self._waiter: _QueuedWaiter | None = (
            None  # a waiter that timed out; the next caller takes over its place in the queue
        )
        try:
            with self:
                pass
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> None:
        """Wait for the lock. DatabaseBusy if others hold it for longer than the time-out."""
        super().__enter__()
        try:
            self._held_fd = self._acquire()
        except BaseException:
            super().__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.flock(self._held_fd, fcntl.LOCK_UN)
            if self._held_fd != self._fd:
                os.close(self._held_fd)
        finally:
            super().__exit__()

    def close(self) -> None:
        """Close the lock file; it is not deleted, since that would let two writers in."""
        os.close(self._fd)

    def _acquire(self) -> int:
        """Wait for the lock and return the locked file descriptor."""
        if self._waiter is None or not self._waiter.resume_waiting():
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._waiter = _QueuedWaiter(self._open_file())
            else:
                return self._fd
        if not self._waiter.wait_until_locked(self._timeout):
            raise DatabaseBusy(LOCKED_MESSAGE)
        file, self._waiter = self._waiter.fd, None
        return file

    def _open_file(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)


class _QueuedWaiter:
    """A place in the kernel's lock queue, held by a separate thread because `flock` has no time-out."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._state_lock = threading.Lock()
        self._wanted, self._released = True, False
        self._acquired = threading.Event()
        threading.Thread(target=self._wait_for_lock, name="append-lock", daemon=True).start()

    def wait_until_locked(self, timeout: float) -> bool:
        """Wait for the lock up to `timeout` seconds. False if it did not come; then it is unwanted until
        `resume_waiting`."""
        self._acquired.wait(timeout)
        with self._state_lock:
            self._wanted = self._acquired.is_set()
            return self._wanted

    def resume_waiting(self) -> bool:
        """Want the lock again. False if it came while it was unwanted, and was therefore released."""
        with self._state_lock:
            self._wanted = not self._released
            return self._wanted

    def _wait_for_lock(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        with self._state_lock:
            if self._wanted:
                self._acquired.set()
            else:
                self._released = True
                os.close(self.fd)
