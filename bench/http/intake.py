"""Observations accepted a second through HTTP, answered after the commit, in batches of 100 and one by one."""

import json
import random
from collections.abc import Iterator
from functools import partial

from bench.measuring import databases, load, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort, medians
from bot.demo import traffic
from core.service.service import RolloutService
from core.store.database.connections import connect

BODIES = 50
SEED = 20261123


def measure(effort: Effort) -> Iterator[Figure]:
    """One process on SQLite, 16 connections, every batch under an Idempotency-Key of its own."""
    with databases.folder() as folder:
        url = databases.sqlite(folder)
        with connect(url) as database:
            rollouts.begin(RolloutService(database))
        with processes.rampart("serve", url) as server:
            found = medians(
                {str(size): partial(_rate, server, size, effort.seconds) for size in (100, 1)},
                effort.rounds,
            )
    for size, said in (("100", "in batches of 100"), ("1", "one by one")):
        yield Figure(name=f"observations accepted, {said}", ours=found[size], unit="/s")


def asks(size: int, count: int, surface: str = rollouts.SURFACE) -> tuple[load.Ask, ...]:
    """Different batches of what a healthy canary reports; each is new whenever it is sent."""
    chance = random.Random(SEED)
    at = rollouts.now()

    def serve(visitor: traffic.Visitor) -> tuple[str, str]:
        return (
            ("canary", rollouts.NEW) if int(visitor.unit.removeprefix("user-")) % 20 == 0 else ("control", rollouts.OLD)
        )

    def body() -> str:
        seen = traffic.simulate_requests(chance, "healthy", at, size, serve, rollouts.OLD)
        return json.dumps({"observations": [{"surface": surface, **_undated(one)} for one in seen]})

    headers = {"content-type": "application/json", "idempotency-key": load.UNIQUE}
    return tuple(load.Ask(path="/api/v1/observations", headers=headers, body=body()) for _ in range(count))


def _undated(one: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in one.items() if key != "at"}


def _rate(server: processes.Running, size: int, seconds: float) -> float:
    answered = load.run(load.Load(url=server.url, asks=asks(size, BODIES), seconds=seconds))
    first = json.loads(answered.sample)
    if first != {"accepted": size, "rejected": []}:
        raise RuntimeError(f"not everything was accepted: {answered.sample[:500]}")
    return answered.rate * size
