"""The most memory that this process had resident since a moment, from /proc."""

import re
from pathlib import Path

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


def reset_peak() -> float:
    """Forget the peak so far; megabytes resident now."""
    (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
    return _read("VmRSS")


def read_peak() -> float:
    """Megabytes resident at most since `reset_peak`."""
    return _read("VmHWM")


def _read(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+)", (_PROCESS / "status").read_text())
    assert found is not None, name
    return int(found[1]) / 1e3
