"""One writer at a time on a SQLite file: a lock beside it that threads and processes queue for without polling."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AppendLock:
    """Held by whoever writes to, or checkpoints, the SQLite database at `path`; freed by the kernel if they die."""

    def __init__(self, path: Path) -> None:
        """Open the lock file. OSError if the folder is not writable or its file system cannot lock files."""
        self._threads = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with self.held():
                pass
        except OSError:
            os.close(self._file)
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, hold it for the block."""
        with self._threads:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the lock file back; the file itself stays, since deleting it would let two writers in."""
        os.close(self._file)
