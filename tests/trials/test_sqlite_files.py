"""What happens to the files of a SQLite log: torn, deleted, locked by others, read-only, or on a full disk."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from core.store.audit.verify import verify
from core.store.database.connections import Database, connect
from core.store.database.sqlite.sqlite_lock import AppendLock
from core.store.errors import DatabaseBusy, StoreError
from core.store.log import event_log
from tests.forks import start_program
from tests.store.writer import carry_out
from tests.trials.length import pick

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOBODY = 65534
HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(new_sqlite: Callable[[], str]) -> Path:
    return Path(new_sqlite().removeprefix("sqlite:///"))


def opened(path: Path) -> Database:
    return connect(f"sqlite:///{path}")


def commands_in(database: Database) -> list[str]:
    """Those whose events are in a log of which nothing is wrong."""
    with database.reading() as connection:
        assert verify(connection).problems == ()
        return list(dict.fromkeys(r.command_id for r in event_log.read_after(connection, 0, 100_000)))


def copied(path: Path, wal: bytes, folder: Path) -> Path:
    """The database as a machine finds it that lost power when this much of the write-ahead log had reached the disk."""
    copy = Path(tempfile.mkdtemp(dir=folder)) / "copy.db"
    shutil.copy(path, copy)
    Path(f"{copy}-wal").write_bytes(wal)
    return copy


def test_a_torn_tail_loses_only_commits_that_were_torn(path: Path, tmp_path: Path) -> None:
    names = [f"c-{number}" for number in range(8)]
    ends = {}  # command -> length of the write-ahead log when it was acknowledged, so when it was on the disk
    wal = Path(f"{path}-wal")
    with opened(path) as database:
        for name in names:
            carry_out(database, name, NOON)
            ends[name] = wal.stat().st_size
        whole = wal.read_bytes()
        before = path.read_bytes()
        for length in sorted({0, *ends.values(), *(end - 1 for end in ends.values()), *_lengths(len(whole))}):
            copy = copied(path, whole[:length], tmp_path)
            with opened(copy) as found:
                kept = commands_in(found)
                assert kept == [name for name in names if ends[name] <= length], length
                assert carry_out(found, "after", NOON)
                assert commands_in(found) == [*kept, "after"]
            shutil.rmtree(copy.parent)
        assert path.read_bytes() == before


def _lengths(size: int) -> range:
    return range(0, size, pick(7_919, 101))


def test_a_flipped_bit_in_the_write_ahead_log_is_a_torn_tail(path: Path, tmp_path: Path) -> None:
    names = [f"c-{number}" for number in range(6)]
    with opened(path) as database:
        for name in names:
            carry_out(database, name, NOON)
        whole = Path(f"{path}-wal").read_bytes()
        for place in range(40, len(whole), pick(9_973, 499)):
            torn = bytearray(whole)
            torn[place] ^= 0x10
            copy = copied(path, bytes(torn), tmp_path)
            with opened(copy) as found:
                kept = commands_in(found)
            assert kept == names[: len(kept)]
            assert len(kept) < len(names)
            shutil.rmtree(copy.parent)


def test_a_copy_of_both_files_while_others_write_holds_what_was_acknowledged(path: Path, tmp_path: Path) -> None:
    writer = start_program("tests.store.writer", f"sqlite:///{path}", "k", "0", "400", is_read=True)
    assert writer.stdout is not None
    acknowledged = []
    with writer.stdout:
        for line in writer.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) % 40 == 0:
                # Under the lock: two files at one moment, as a snapshot of a disk has them.
                with AppendLock(Path(f"{path}.lock"), timeout=10):
                    wal = Path(f"{path}-wal")
                    copy = copied(path, wal.read_bytes() if wal.exists() else b"", tmp_path)
                with opened(copy) as found:
                    kept = commands_in(found)
                assert kept[: len(acknowledged)] == acknowledged
    assert writer.wait(60) == 0


def test_a_deleted_write_ahead_log_leaves_a_shorter_log_and_nothing_wrong(path: Path, tmp_path: Path) -> None:
    with opened(path) as database:
        carry_out(database, "folded in", NOON)
    with opened(path) as database:  # closing has folded the first command into the file
        carry_out(database, "lost", NOON)
        copy = copied(path, b"", tmp_path)
        Path(f"{copy}-wal").unlink()
    with opened(copy) as found:
        assert commands_in(found) == ["folded in"]
        carry_out(found, "lost", NOON)
        assert commands_in(found) == ["folded in", "lost"]


def test_a_lock_of_a_foreign_program_is_answered_in_time_and_loses_nothing(path: Path) -> None:
    with opened(path) as database:
        event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=60"))
        database.engine.dispose()
        carry_out(database, "before", NOON)
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as foreign:
            assert foreign.stdout is not None
            assert foreign.stdout.readline() == "held\n"
            with pytest.raises(DatabaseBusy, match="Try again"):
                carry_out(database, "meanwhile", NOON)
            assert commands_in(database) == ["before"], "who reads does not wait"
            foreign.communicate("")
        carry_out(database, "meanwhile", NOON)
        assert commands_in(database) == ["before", "meanwhile"]


@pytest.fixture
def shared(path: Path) -> Iterator[Path]:
    """The database in a folder that a user without rights may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    copy = folder / "rollout.db"
    shutil.copy(path, copy)
    yield copy
    shutil.rmtree(folder)


@contextmanager
def without_rights() -> Iterator[None]:
    """The superuser may write to anything: be somebody else for the block."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if was == 0:
            os.seteuid(was)


def test_a_read_only_folder_is_refused_with_a_sentence(shared: Path) -> None:
    with opened(shared) as database:
        carry_out(database, "before", NOON)
    shared.chmod(0o444)
    Path(f"{shared}.lock").chmod(0o444)
    shared.parent.chmod(0o555)
    with without_rights(), pytest.raises(StoreError, match="could not be opened"):
        opened(shared)
    shared.parent.chmod(0o755)
    for file in (shared, Path(f"{shared}.lock")):
        file.chmod(0o644)
    with opened(shared) as database:
        assert commands_in(database) == ["before"]
        carry_out(database, "after", NOON)


def test_a_read_only_file_is_refused_and_intact(shared: Path) -> None:
    with opened(shared) as database:
        carry_out(database, "before", NOON)
    shared.chmod(0o444)
    Path(f"{shared}.lock").chmod(0o666)
    with without_rights(), pytest.raises(StoreError, match="readonly"):
        opened(shared).close()
    shared.chmod(0o644)
    with opened(shared) as database:
        assert commands_in(database) == ["before"]
        carry_out(database, "during", NOON)
        assert commands_in(database) == ["before", "during"]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` for the block, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("more", [0, 1, 4_096, 9_000, 30_000, 61_000])
def test_a_full_disk_refuses_and_forgets_nothing(path: Path, more: int) -> None:
    wal = Path(f"{path}-wal")
    with opened(path) as database:
        carry_out(database, "before", NOON)
        refused, written = "", ["before"]
        with room_for(wal.stat().st_size + more):
            for number in range(40):
                try:
                    carry_out(database, f"c-{number}", NOON)
                except DBAPIError as error:
                    refused = str(error.orig)
                    break
                written.append(f"c-{number}")
        assert "full" in refused or "disk I/O" in refused
        assert commands_in(database) == written
        carry_out(database, f"c-{number}", NOON)
        assert commands_in(database) == [*written, f"c-{number}"]
    with opened(path) as database:
        assert commands_in(database) == [*written, f"c-{number}"]
