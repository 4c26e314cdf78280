"""Small disks of a test's own, which can really be full, or become read-only under whoever writes to them."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size in this folder, where this user may mount one; else the test is skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here (that takes root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(slots=True)
class FailingDisk:
    """A file system of a file, which the kernel goes on with read-only once it is told of an error in it."""

    folder: Path
    image: Path

    def begin(self) -> None:
        _done("mkfs.ext4", "-q", str(self.image))
        _done("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.folder))

    def fail(self) -> None:
        """Whoever has files open keeps them, and can write to none of them."""
        device = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", str(self.folder)], check=True, capture_output=True, text=True
        )
        Path("/sys/fs/ext4", Path(device.stdout.strip()).name, "trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """As somebody does who is called: take it off, repair it, and mount it again."""
        self.close()
        subprocess.run(["e2fsck", "-y", str(self.image)], check=False, capture_output=True)
        _done("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.folder))

    def close(self) -> None:
        if self.folder.is_mount():
            subprocess.run(["umount", str(self.folder)], check=True)


@contextmanager
def failing_disk(folder: Path) -> Iterator[FailingDisk]:
    """Of 32 MB, where this user may mount one; else the test is skipped."""
    disk, image = folder / "failing", folder / "failing.ext4"
    disk.mkdir()
    with image.open("wb") as out:
        out.truncate(32 * 1024 * 1024)
    found = FailingDisk(disk, image)
    try:
        found.begin()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system of a file may be mounted here (that takes root, ext4 and a loop device)")
    try:
        yield found
    finally:
        found.close()


def fill(disk: Path) -> Path:
    """Take all the room that is left; deleting the file gives it back."""
    file = disk / "fill"
    with file.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(bytes(4096))
    return file


def _done(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
