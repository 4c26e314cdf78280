"""Runs `application.py`, or the one in JavaScript, in the environment of the instrumentations."""

import json
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real_servers import find_program

PROGRAM = Path(__file__).with_name("application.py")
JAVASCRIPT = Path(__file__).with_name("javascript") / "application.js"


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
    program = [find_program("instrumentations", "python"), str(PROGRAM)]
    with _run([*program, instrumentations, models], instrumentations) as application:
        yield application


@contextmanager
def run_javascript(instrumentation: str, encoding: str, models: str) -> Iterator[RunningApplication]:
    """Start the application in JavaScript, which exports in JSON or protobuf."""
    node, packages = shutil.which("node"), find_program("instrumentations", "../javascript/node_modules")
    assert node is not None, "npm has installed its packages, but there is no node"
    program = Path(packages).parent / JAVASCRIPT.name
    shutil.copy(JAVASCRIPT, program)  # beside its packages, as imports are looked up from where a file is
    with _run([node, str(program), f"{instrumentation},{encoding}", models], instrumentation) as application:
        yield application


@contextmanager
def _run(command: list[str], instrumentations: str) -> Iterator[RunningApplication]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield RunningApplication(process, instrumentations)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
