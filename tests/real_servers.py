"""Real servers of other products, each in an environment of its own, on a port that the system chooses."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STARTS_WITHIN = 300.0  # seconds; they take up to a minute where nothing else runs


def start_server(
    folder: Path, command: Sequence[str], environ: Mapping[str, str]
) -> tuple["subprocess.Popen[bytes]", str]:
    """Start a server on a port that the system chooses; (the process, its address once it answers)."""
    said = folder / "said.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **environ}, start_new_session=True
        )
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        text = said.read_text(encoding="utf-8", errors="replace")
        if process.poll() is not None:
            raise AssertionError(text)
        if found := re.search(r"Uvicorn running on (http://127\.0\.0\.1:[1-9]\d+)", text):
            return process, found[1]
        time.sleep(0.1)
    raise AssertionError(said.read_text(encoding="utf-8", errors="replace"))


def stop_server(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)


def find_program(system: str, name: str) -> str:
    path = ROOT / f".venv-{system}" / "bin" / name
    if not path.exists():
        command = "test-instrumentations" if system == "instrumentations" else "test-traces"
        pytest.skip(f"no {system} here (make {command} installs it)")
    return str(path)
