"""A real Prometheus on a free port, with a past that a test writes, or with processes that it scrapes."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

Labels = Mapping[str, str]
PATIENCE = 30.0  # seconds that a server has to start, and a sample to appear


def find_program(name: str) -> str:
    """A program of Debian's package prometheus; skips, or fails where it must be there, if it is not."""
    path = shutil.which(name)
    if path is not None:
        return path
    missing = f"no {name} here (apt-get install prometheus)"
    if os.environ.get("REQUIRE_PROMETHEUS") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


@dataclass(slots=True)
class RecordedSeries:
    """A series as a Prometheus has scraped it: its samples, by time."""

    name: str
    labels: Labels
    samples: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class PrometheusServer:
    """A Prometheus with its data in `folder`, which scrapes `targets` (address by instance) every 200 ms."""

    folder: Path
    targets: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    _process: "subprocess.Popen[str] | None" = None

    def write_past(self, series: Sequence[RecordedSeries]) -> None:
        """Store samples of the past, before it starts."""
        program = find_program("promtool")
        lines: list[str] = []
        for name in sorted({one.name for one in series}):
            lines.append(f"# TYPE {name} unknown")
            for one in series:
                if one.name == name:
                    said = ",".join(f'{key}="{value}"' for key, value in one.labels.items())
                    lines += [f"{name}{{{said}}} {value} {at:.3f}" for at, value in one.samples]
        text = self.folder / "past.txt"
        text.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
        data = self.folder / "data"
        made = subprocess.run(
            [program, "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)], capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr

    def start(self) -> "PrometheusServer":
        """Start it on a port that the system chooses; it is ready when this returns."""
        program = find_program("prometheus")
        listed = "".join(
            f"      - {{targets: ['{address}'], labels: {{instance: {name}}}}}\n"
            for name, address in self.targets.items()
        )
        job = f"scrape_configs:\n  - job_name: assistant\n    static_configs:\n{listed}" if listed else ""
        config = self.folder / "prometheus.yml"
        config.write_text(f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n{job}", encoding="utf-8")
        said = self.folder / "prometheus.log"
        with said.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    "--storage.tsdb.retention.time=100y",
                    "--web.listen-address=127.0.0.1:0",
                ],
                stderr=log,
                stdout=log,
                text=True,
            )
        port = self._wait_for_port(said)
        self.url = f"http://127.0.0.1:{port}"
        return self

    def query(self, text: str) -> list[dict[str, object]]:
        """What its own query language says now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": text}, trust_env=False)
        found: list[dict[str, object]] = answer.json()["data"]["result"]
        return found

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def _wait_for_port(self, said: Path) -> int:
        until = time.monotonic() + PATIENCE
        assert self._process is not None
        while time.monotonic() < until:
            text = said.read_text(encoding="utf-8")
            if self._process.poll() is not None:
                raise AssertionError(text)
            if "Server is ready" in text and (port := re.search(r"Listening on\" address=127\.0\.0\.1:(\d+)", text)):
                return int(port[1])
            time.sleep(0.02)
        raise AssertionError(said.read_text(encoding="utf-8"))
