"""Runs `application.py` in its own environment."""

import json
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real_servers import find_program

PROGRAM = Path(__file__).with_name("application.py")


class RunningApplication:
    """An application whose calls these instrumentations report."""

    def __init__(self, process: "subprocess.Popen[str]", instrumentations: str) -> None:
        self._process = process
        self.instrumentations = instrumentations

    def request(self, request: str, unit: str, to: str) -> bytes:
        """What was exported of one request, after it was."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"request": request, "unit": unit, "to": to}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the application ended; what it said stands above"
        return b64decode(json.loads(line)["sent"])


@contextmanager
def run_application(instrumentations: str, models: str) -> Iterator[RunningApplication]:
    """Start it, with the address of the models."""
    command = [find_program("instrumentations", "python"), str(PROGRAM), instrumentations, models]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield RunningApplication(process, instrumentations)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
