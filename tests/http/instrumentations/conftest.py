"""A server of models, and a running Rampart to which their instrumentations export."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.instrumentations.model_server import serve_models
from tests.http.instrumentations.running_rampart import RunningRampart


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    with serve_models() as url:
        yield url


@pytest.fixture
def rampart(running: Any, serve: Any, canary: Any, rollout_file: str) -> RunningRampart:
    """In the canary stage of a rollout that compares by model, at the present time."""
    running.clock[0] = datetime.now(UTC) - timedelta(minutes=4)
    client = serve(running)
    canary(running, rollout_file.replace("segments: [language]", "segments: [model]"))
    running.clock[0] = datetime.now(UTC)
    return RunningRampart(running, client)
