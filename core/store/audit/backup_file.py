"""The backup file format: a header, compressed lines of JSON, and a digest. Files are written whole or not at all."""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import orjson

from core.store.errors import BackupRefused

_MAGIC = b"Rampart backup "
_HEADER = _MAGIC + b"1\n"
_DIGEST_BYTES = sha256().digest_size
_CHUNK_BYTES = 1 << 16


@contextmanager
def writing_lines(path: Path, *, replace: bool = False) -> Iterator[Callable[[Any], None]]:
    """Yield a function that adds a line. `path` appears, synced to disk, only when the block ends without an error.

    BackupRefused if `path` exists, unless `replace` is set; and if it is a folder, or in none that exists.
    """
    _assert_replaceable(path, replace)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        # Readable by its owner only: it holds people's text, and the sealing keys.
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield from _write_lines(out)
            out.flush()
            os.fsync(out.fileno())
        _assert_replaceable(path, replace)
        partial.replace(path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the parsed lines. BackupRefused, before the first one, unless the digest of the whole file matches."""
    with path.open("rb") as file:
        end = _check_digest(file, path)
        file.seek(len(_HEADER))
        unpack, kept = zlib.decompressobj(), b""
        while (left := end - file.tell()) > 0:
            kept += unpack.decompress(file.read(min(_CHUNK_BYTES, left)))
            *whole, kept = kept.split(b"\n")
            yield from map(orjson.loads, whole)


def _write_lines(out: BinaryIO) -> Iterator[Callable[[Any], None]]:
    digest, pack = sha256(), zlib.compressobj()

    def put(piece: bytes) -> None:
        digest.update(piece)
        out.write(piece)

    put(_HEADER)
    yield lambda line: put(pack.compress(orjson.dumps(line) + b"\n"))
    put(pack.flush())
    out.write(digest.digest())


def _check_digest(file: BinaryIO, path: Path) -> int:
    """Check header and digest; the offset where the compressed part ends. BackupRefused if the file is damaged."""
    name = file.read(len(_HEADER))
    if not name.startswith(_MAGIC):
        raise BackupRefused(f"{path} is not a backup that `rollout backup` made.")
    if name != _HEADER:
        raise BackupRefused(
            f"{path} has a format that this program does not know. If a newer program made it, restore it there."
        )
    end = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    digest = sha256(name)
    while (left := end - file.tell()) > 0:
        digest.update(file.read(min(_CHUNK_BYTES, left)))
    if file.read() != digest.digest():
        raise BackupRefused(f"{path} is damaged or truncated: its SHA-256 does not match. Use another backup.")
    return end


def _assert_replaceable(path: Path, replace: bool) -> None:
    if path.is_dir():
        raise BackupRefused(f"{path} is a folder, so nothing was written: name a file in it.")
    if not path.parent.is_dir():
        raise BackupRefused(f"There is no folder {path.parent}, so nothing was written: create it first.")
    if path.exists() and not replace:
        raise BackupRefused(f"{path} already exists, so nothing was written: choose another name, or add --replace.")


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
