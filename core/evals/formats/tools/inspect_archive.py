"""Inspect's `.eval` archives: a zip of JSON files whose packing Python's own zip reader does not know before 3.14."""

import lzma
import zipfile
import zlib
from io import BytesIO
from typing import Any

import orjson

from core.evals.eval_run import EvalRun, ReadingChoices, UnreadableEvals
from core.evals.formats.field_values import read_objects
from core.evals.formats.json_text import load_json
from core.evals.formats.tools import inspect_log

_ZSTANDARD = 93
_LOCAL_HEADER = 30
_HEADER, _SUMMARIES = "header.json", "summaries.json"


def read_inspect_archive(body: bytes, choices: ReadingChoices) -> EvalRun:
    """Read the run's header and the summaries of its samples.

    Raises `UnreadableEvals` if the run did not succeed, or if the archive is cut, damaged or unpacks to too much.
    """
    try:
        archive = zipfile.ZipFile(BytesIO(body))
    except zipfile.BadZipFile:
        raise UnreadableEvals("The archive is cut or damaged: its directory is missing. Copy the log again.") from None
    if _HEADER not in archive.namelist():
        raise UnreadableEvals("This Inspect run has not ended: the log has no header.json yet. Wait for its end.")
    header = _unpack_json(body, archive, _HEADER, choices.most_unpacked)
    inspect_log.check_success(header)
    if _SUMMARIES not in archive.namelist():
        raise UnreadableEvals(
            "The log has no summaries.json. Convert it with inspect log convert --to json, and import that."
        )
    samples = read_objects(_unpack_json(body, archive, _SUMMARIES, choices.most_unpacked), _SUMMARIES)
    return inspect_log.read_inspect_samples(header, samples, choices)


def _unpack_json(body: bytes, archive: zipfile.ZipFile, name: str, limit: int) -> Any:
    try:
        return load_json(_unpack(body, archive, name, limit))
    except orjson.JSONDecodeError as error:
        raise UnreadableEvals(f"{name} in the archive is not JSON: {error.msg}. Copy the log again.") from None


def _unpack(body: bytes, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """The content of one file, never more than `limit` bytes, whatever size the archive claims."""
    entry = archive.getinfo(name)
    if entry.file_size > limit:
        raise _too_large(name, limit)
    if entry.compress_type == _ZSTANDARD:
        content = _unpack_zstandard(_find_packed(body, entry), name, limit)
    else:
        try:
            with archive.open(entry) as packed:
                content = packed.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError) as error:
            raise UnreadableEvals(f"{name} in the archive cannot be unpacked: {error}.") from None
    if len(content) > limit:
        raise _too_large(name, limit)
    if zlib.crc32(content) != entry.CRC:
        raise UnreadableEvals(f"{name} in the archive is damaged: its checksum is wrong. Copy the log again.")
    return content


def _find_packed(body: bytes, entry: zipfile.ZipInfo) -> memoryview:
    """The packed bytes of a file, found by its local header (APPNOTE 4.3.7)."""
    start = entry.header_offset
    header = body[start : start + _LOCAL_HEADER]
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise UnreadableEvals(f"{entry.filename} in the archive is damaged. Copy the log again.")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start += _LOCAL_HEADER + names
    return memoryview(body)[start : start + entry.compress_size]


def _unpack_zstandard(packed: memoryview, name: str, limit: int) -> bytes:
    try:
        import pyarrow
    except ImportError:
        raise UnreadableEvals(
            "The archive is packed with Zstandard, which needs pyarrow: install the extra `parquet`, or convert the "
            "log with inspect log convert --to json."
        ) from None
    try:
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as stream:
            content: bytes = stream.read(limit + 1)
            return content
    except OSError as error:
        raise UnreadableEvals(f"{name} in the archive cannot be unpacked: {error}. Copy the log again.") from None


def _too_large(name: str, limit: int) -> UnreadableEvals:
    return UnreadableEvals(
        f"{name} in the archive unpacks to over {limit // 1024**2} MiB, which is refused. Split the run by suite."
    )
