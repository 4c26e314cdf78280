"""How soon a rollback reaches an application that evaluates in process: by the stream, against polls alone."""

import random
import threading
import time
from collections.abc import Iterator
from statistics import median

import httpx

from bench.measuring import databases, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from core.service.service import RolloutService
from core.store.database.connections import connect
from rampart_client import RampartClient

POLLED_EVERY = 5.0  # seconds, by the client
ASK_EVERY = 0.001
SEED = 20261201
WITHIN = 60.0  # seconds, for what must come


def measure(effort: Effort) -> Iterator[Figure]:
    """Both follow the same program through the same rollbacks, each at some moment between two polls."""
    chance = random.Random(SEED)
    found = [_measure_rollback(chance.uniform(0, POLLED_EVERY)) for _ in range(effort.rounds)]
    yield Figure(
        name=f"rollback's answer to rampart-client: polls every {POLLED_EVERY:.0f} s",
        ours=1000 * median(by_stream for by_stream, _ in found),
        peer=1000 * median(by_polls for _, by_polls in found),
        unit="ms",
        better="less",
    )


def _measure_rollback(after: float) -> tuple[float, float]:
    """Seconds until the old version is served: (by the stream, by polls)."""
    with databases.folder() as folder:
        url = databases.sqlite(folder)
        with connect(url) as database:
            rollouts.begin(RolloutService(database))
        with processes.rampart("serve", url) as server:
            clients = [RampartClient(server.url, listen=listens) for listens in (True, False)]
            for client in clients:
                client.start(WITHIN)
            unit = _find_exposed(clients[0])
            time.sleep(after)
            delays = [0.0, 0.0]
            gone_back = threading.Event()
            threads = [
                threading.Thread(target=_wait_for_old, args=(client, unit, gone_back, delays, number))
                for number, client in enumerate(clients)
            ]
            for thread in threads:
                thread.start()
            path = f"{server.url}/api/v1/rollouts/R-1/commands"
            command = {"command": "rollback", "reason": "measured"}
            httpx.post(path, json=command, trust_env=False, timeout=WITHIN).raise_for_status()
            gone_back.set()
            for thread in threads:
                thread.join()
            for client in clients:
                client.close()
    return delays[0], delays[1]


def _find_exposed(client: RampartClient) -> str:
    """Somebody who is served the new version."""
    units = (f"user-{number}" for number in range(10_000))
    return next(unit for unit in units if client.evaluate(rollouts.SURFACE, unit).version == rollouts.NEW)


def _wait_for_old(
    client: RampartClient, unit: str, gone_back: threading.Event, delays: list[float], number: int
) -> None:
    """Write down the seconds from the answer to the rollback until this client serves the old version; 0 if before."""
    gone_back.wait()
    began = time.monotonic()
    while client.evaluate(rollouts.SURFACE, unit).version != rollouts.OLD:
        if time.monotonic() - began > WITHIN:
            raise TimeoutError("the old version did not come")
        time.sleep(ASK_EVERY)
    delays[number] = time.monotonic() - began
