"""A peer in a process of its own: one line of JSON asks for a round, one line of JSON tells what it gave."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
_PROGRAMS = Path(__file__).parents[1] / "peers"


class PeerMissing(Exception):
    """The environment of the peers is not there."""


class Peer:
    """A running program of `bench/peers`, under the interpreter of the environment that has its packages."""

    def __init__(self, program: str, *arguments: str, environment: str = "peers") -> None:
        interpreter = ROOT / f".venv-{environment}" / "bin" / "python"
        if not interpreter.exists():
            raise PeerMissing(f"{interpreter} does not exist: run `make bench`, which installs it")
        self._process = subprocess.Popen(
            [interpreter, _PROGRAMS / program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
        )

    def ask(self, **what: Any) -> dict[str, Any]:
        """One round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer ended with status {self._process.wait()}; what it said stands above")
        found: dict[str, Any] = json.loads(answer)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
