"""A running Rampart to which instrumented applications export."""

from datetime import UTC, datetime
from typing import Any

import httpx

from core.judging.model.evidence import CATEGORY_PREFIX
from tests.http.instrumentations.running_application import RunningApplication
from tests.http.test_otlp import settle, sums

READINGS = {"latency_p95": "latency_ms", "ttft_p95": "ttft_ms"}
"""What an observation calls a cell."""
ALSO = frozenset({"requests", "latency_p50", "latency_p95>4000"})
"""Cells that follow from others."""


class RunningRampart:
    """It counts what applications report of their requests."""

    def __init__(self, running: Any, client: httpx.Client) -> None:
        self._running, self._client = running, client

    def ask(self, application: RunningApplication, request: str) -> bytes:
        """Send a request to the application, and count what is reported of it; what was exported."""
        exported = application.request(request, "user-1", str(self._client.base_url).rstrip("/"))
        self._running.clock[0] = datetime.now(UTC)
        settle(self._running, self._client)
        return exported

    def read_counted(self, segment: str = "") -> dict[str, float]:
        """The readings of the new version's only request, by the names of observations."""
        cells = sums(self._running).cells
        found = {key.metric: cell for key, cell in cells.items() if (key.arm, key.segment) == ("canary", segment)}
        assert all(cell.weight.sum() == 1 for cell in found.values())
        return {
            READINGS.get(name, name): float(cell.value.sum())
            for name, cell in found.items()
            if name not in ALSO and not name.startswith(CATEGORY_PREFIX)
        }
