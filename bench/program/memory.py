"""Resident memory of `rollout serve`: idle, under 500 observations a second, and how it moves over five minutes."""

import threading
import time
from collections.abc import Iterator
from statistics import linear_regression, median

from bench.http import intake
from bench.measuring import databases, load, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from core.service.service import RolloutService
from core.store.database.connections import connect

BATCH = 50
BATCHES_A_SECOND = 10
FLAT = 2.0  # per cent a minute
SETTLED = 0.3  # of the time under load; before that caches fill


def measure(effort: Effort) -> Iterator[Figure]:
    """Megabytes, sampled every second; the slope is a straight line through the samples after things have settled."""
    with databases.folder() as folder:
        url = databases.sqlite(folder)
        with connect(url) as database:
            rollouts.begin(RolloutService(database))
        with processes.rampart("serve", url) as server:
            idle = [one for _, one in _samples(server, effort.memory_idle)]
            asked = load.Load(
                url=server.url,
                asks=intake.asks(BATCH, 200),
                seconds=effort.memory_loaded,
                rate=BATCHES_A_SECOND,
                connections=4,
            )
            sender = Sending(asked)
            sender.start()
            loaded = _samples(server, effort.memory_loaded)
            sender.join()
    answered = sender.answered
    if answered is None:
        raise RuntimeError("the observations were not all taken; the reason stands above")
    settled = loaded[int(len(loaded) * SETTLED) :]
    slope, _ = linear_regression([at for at, _ in settled], [one for _, one in settled])
    middle = median(one for _, one in settled)
    said = f"under {BATCH * BATCHES_A_SECOND} observations/s"
    yield Figure(name="resident memory of serve, idle", ours=median(idle), unit="MB")
    yield Figure(name=f"resident memory of serve, {said}", ours=middle, unit="MB")
    minutes = effort.memory_loaded / 60
    name = f"its growth {said}, last {minutes * (1 - SETTLED):g} of {minutes:g} min"
    yield Figure(name=name, ours=60 * slope / middle * 100, unit="%/min", goal=FLAT, better="less")
    yield Figure(name=f"observation batches {said}, p99 to the answer", ours=1000 * answered.p99, unit="ms")


class Sending(threading.Thread):
    """Sends a load meanwhile."""

    def __init__(self, asked: load.Load) -> None:
        super().__init__(name="load")
        self._asked = asked
        self.answered: load.Answered | None = None

    def run(self) -> None:
        self.answered = load.run(self._asked)


def _samples(server: processes.Running, seconds: float) -> list[tuple[float, float]]:
    """(seconds since the start, megabytes), one a second."""
    began = time.monotonic()
    found = []
    while (passed := time.monotonic() - began) < seconds:
        found.append((passed, server.megabytes))
        time.sleep(1)
    return found
