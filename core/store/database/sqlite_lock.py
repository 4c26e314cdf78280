"""One writer at a time on a SQLite file: a lock beside it that threads and processes queue for without polling."""

import fcntl
import os
import threading
from pathlib import Path

from core.store.errors import LOCKED, Busy

PATIENCE = 10.0  # seconds that one who writes waits for others


class Turns:
    """The threads of one process, one after the other. A context manager: Busy for who waits longer than `patience`."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._patience):
            raise Busy(LOCKED)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class AppendLock(Turns):
    """Held by whoever writes to, or checkpoints, the SQLite database at `path`; freed by the kernel if they die.

    A context manager; not to be entered twice by one thread.
    """

    def __init__(self, path: Path, patience: float) -> None:
        """Open the lock file. OSError if the folder is not writable or its file system cannot lock files."""
        super().__init__(patience)
        self._path = path
        self._file = self._held = self._open()
        self._turn: _Turn | None = None  # for which somebody has waited in vain; whoever comes next waits on
        try:
            with self:
                pass
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> None:
        """Wait for the lock. Busy if others hold it for longer than `patience`."""
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
        """Give the lock file back; the file itself stays, since deleting it would let two writers in."""
        os.close(self._file)

    def _taken(self) -> int:
        """A file that is locked."""
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
    """A place in the kernel's queue, kept by a thread of its own: to wait there knows no time-out."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._deciding = threading.Lock()
        self._wanted, self._missed = True, False
        self._has_come = threading.Event()
        threading.Thread(target=self._wait, name="append-lock", daemon=True).start()

    def comes(self, within: float) -> bool:
        """Whether the file is locked by then. If not, nobody wants it until somebody says so."""
        self._has_come.wait(within)
        with self._deciding:
            self._wanted = self._has_come.is_set()
            return self._wanted

    def wanted_again(self) -> bool:
        """Wait on for it. False if it came while nobody wanted it: then it was given back."""
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
