"""The write lock of a SQLite file: threads and processes queue for it without polling."""

import fcntl
import os
import threading
from pathlib import Path

from core.store.errors import LOCKED, Busy

PATIENCE = 10.0  # how long a writer waits for others


class Turns:
    """A lock between the threads of one process, as a context manager; DatabaseBusy after `timeout` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._patience):
            raise Busy(LOCKED)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class AppendLock(Turns):
    """The lock file that a thread holds while it writes to or checkpoints a SQLite database.

    The kernel releases it when the process dies. A context manager that is not reentrant.
    """

    def __init__(self, path: Path, patience: float) -> None:
        """Open the lock file. OSError if the folder is not writable or its file system has no file locks."""
        super().__init__(patience)
        self._path = path
        self._file = self._held = self._open()
        self._turn: _Turn | None = None  # a waiter that timed out; the next caller takes over its place in the queue
        try:
            with self:
                pass
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> None:
        """Wait for the lock. DatabaseBusy if others hold it for longer than the time-out."""
        super().__enter__()
        try:
            self._held = self._taken()
        except BaseException:
            super().__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.flock(self._held, fcntl.LOCK_UN)
            if self._held != self._file:
                os.close(self._held)
        finally:
            super().__exit__()

    def close(self) -> None:
        """Close the lock file; it is not deleted, since that would let two writers in."""
        os.close(self._file)

    def _taken(self) -> int:
        """Wait for the lock and return the locked file descriptor."""
        if self._turn is None or not self._turn.wanted_again():
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._turn = _Turn(self._open())
            else:
                return self._file
        if not self._turn.comes(self._patience):
            raise Busy(LOCKED)
        file, self._turn = self._turn.file, None
        return file

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)


class _Turn:
    """A place in the kernel's lock queue, held by a separate thread because `flock` has no time-out."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._deciding = threading.Lock()
        self._wanted, self._missed = True, False
        self._has_come = threading.Event()
        threading.Thread(target=self._wait, name="append-lock", daemon=True).start()

    def comes(self, within: float) -> bool:
        """Wait for the lock up to `timeout` seconds. False if it did not come; then it is unwanted until
        `resume_waiting`."""
        self._has_come.wait(within)
        with self._deciding:
            self._wanted = self._has_come.is_set()
            return self._wanted

    def wanted_again(self) -> bool:
        """Want the lock again. False if it came while it was unwanted, and was therefore released."""
        with self._deciding:
            self._wanted = not self._missed
            return self._wanted

    def _wait(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)
        with self._deciding:
            if self._wanted:
                self._has_come.set()
            else:
                self._missed = True
                os.close(self.file)
