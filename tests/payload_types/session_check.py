"""Pytest hooks: with `CHECK_PAYLOAD_TYPES=1`, as in `make test`, a run ends by checking the types of all it sent.

Where npm or its registry is missing, the run says that this was left out.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.payload_types import recorded_shapes, type_check

_of_workers: set[str] = set()
_found: list[str] = []
_left_out: list[str] = []


def pytest_configure() -> None:
    """Record from the start on, in each process that runs tests."""
    recorded_shapes.start_recording()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist recorded."""
    _of_workers.update(getattr(node, "workeroutput", {}).get("payload_shapes", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker, hand over what was recorded; otherwise check it, if it is asked for."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["payload_shapes"] = recorded_shapes.take_shapes()
        return
    shapes = sorted(_of_workers.union(recorded_shapes.take_shapes()))
    if os.environ.get("CHECK_PAYLOAD_TYPES") != "1" or not shapes:
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            _found.extend(type_check.find_type_errors(shapes, type_check.find_compiler(), Path(folder)))
    except type_check.PackagesUnavailable as reason:
        _left_out.append(str(reason))
    if _found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show each payload that Slack's types refuse."""
    for reason in _left_out:
        terminalreporter.write_line(f"Payloads were not compared with Slack's types: {reason}.")
    if _found:
        terminalreporter.section("Payloads that Slack's types refuse", red=True)
        for line in _found:
            terminalreporter.write_line(line)
