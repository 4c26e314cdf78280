"""The newest snapshot on disk, for a start while no server can be reached."""

import os
import tempfile
from pathlib import Path


def write_snapshot(path: Path, body: bytes) -> None:
    """Replace the file in one step. Only its owner may read it, as it holds unpublished versions. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # created with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path) -> bytes | None:
    """The kept snapshot; None without one. Raises OSError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
