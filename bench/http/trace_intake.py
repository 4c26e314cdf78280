"""Spans that servers take over HTTP, in their CPU-seconds: ours, Arize Phoenix and MLflow, each on SQLite."""

import itertools
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from bench.http.telemetry import CALLS, SEED, SPANS_A_BATCH, encode_batch
from bench.measuring import databases, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from core.judging.model.evidence import EVERYONE, REQUESTS
from core.service.service import RolloutService
from core.store.database.connections import connect
from core.store.observations import observation_sums

BATCHES = 40
WITHIN = 600  # seconds, to start and to store everything
PROTOBUF = {"content-type": "application/x-protobuf"}


def measure(effort: Effort) -> Iterator[Figure]:
    """The same exports to each, one after the other: what a server uses from the first until everything is stored, ours
    also joined and counted."""
    batches = effort.some(BATCHES)
    ours = _measure_ours(batches)
    yield Figure(name="spans taken over HTTP and counted, in a CPU-second", ours=ours, unit="/s")
    for name, run in (("Phoenix", _measure_phoenix), ("MLflow", _measure_mlflow)):
        program = processes.ROOT / f".venv-{name.lower()}" / "bin" / name.lower()
        if not program.exists():
            print(f" ({name} is not installed: make test-traces)", end="", flush=True)
            continue
        peer = run(program, batches)
        yield Figure(name=f"spans taken over HTTP, against {name} storing them", ours=ours, unit="/s", peer=peer)


def _measure_ours(batches: int) -> float:
    expected = batches * (SPANS_A_BATCH // (CALLS + 2))
    with databases.folder() as folder:
        url = databases.sqlite(folder)
        with connect(url) as database:
            rollout = rollouts.begin(RolloutService(database)).id
            with processes.rampart("serve", url) as server:

                def count() -> int:
                    with database.reading() as connection:
                        cells = observation_sums.load_sums(connection, rollout).cells
                    found = [cells[key] for key in cells if (key.metric, key.segment) == (REQUESTS, EVERYONE)]
                    return int(sum(cell.weight.sum() for cell in found))

                return _send(server.url, server.process, batches, {}, lambda: count() == expected)


def _measure_phoenix(program: Path, batches: int) -> float:
    with databases.folder() as folder:
        environment = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": "0",
            "PHOENIX_GRPC_PORT": "0",
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        with _running([str(program), "serve"], environment, folder) as (url, process):
            return _send(url, process, batches, {}, lambda: _holds(folder / "phoenix.db", batches))


def _measure_mlflow(program: Path, batches: int) -> float:
    with databases.folder() as folder:
        file = folder / "mlflow.db"
        options = ["--host", "127.0.0.1", "--port", "0", "--workers", "1", "--backend-store-uri", f"sqlite:///{file}"]
        with _running([str(program), "server", *options], {}, folder) as (url, process):
            header = {"x-mlflow-experiment-id": "0"}
            return _send(url, process, batches, header, lambda: _holds(file, batches))


def _holds(file: Path, batches: int) -> bool:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        (stored,) = connection.execute("SELECT count(*) FROM spans").fetchone()
        return bool(stored == batches * SPANS_A_BATCH)
    return False


def _send(
    url: str, process: psutil.Process, batches: int, headers: Mapping[str, str], is_done: Callable[[], bool]
) -> float:
    """Spans a CPU-second of the server and its children, until `is_done`."""
    chance, numbers, at = random.Random(SEED), itertools.count(1), rollouts.now()
    bodies = [encode_batch(chance, numbers, at) for _ in range(batches)]
    began = _read_cpu(process)
    with httpx.Client(base_url=url, headers={**PROTOBUF, **headers}, trust_env=False, timeout=WITHIN) as client:
        for body in bodies:
            client.post("/v1/traces", content=body).raise_for_status()
    until = time.monotonic() + WITHIN
    while not is_done():
        if time.monotonic() > until:
            raise TimeoutError(f"not everything was stored within {WITHIN} s")
        time.sleep(0.2)
    return batches * SPANS_A_BATCH / (_read_cpu(process) - began)


def _read_cpu(process: psutil.Process) -> float:
    used = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in used))


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server on a port that the system chooses; (its address once it answers, its process)."""
    said = folder / "said.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**processes.clean_environment(), **environment},
            start_new_session=True,
        )
    try:
        until = time.monotonic() + WITHIN
        while not (found := re.search(r"Uvicorn running on (http://127\.0\.0\.1:[1-9]\d+)", said.read_text())):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} does not start:\n{said.read_text()}")
            time.sleep(0.1)
        yield found[1], psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
