"""Fifty running rollouts under thousands of observations and evaluations a second: a web and a worker on Postgres."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import linear_regression, median

import psutil
from sqlalchemy import select

from bench.http import intake
from bench.measuring import databases, load, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from core.service.service import RolloutService
from core.store.database.connections import Database, connect
from core.store.models import look

BATCH = 100
OBSERVATIONS = EVALUATIONS = 2_000  # a second
LATE = timedelta(seconds=15)
P99 = 20.0  # milliseconds
GROWTH = 1.0  # per cent a minute
SETTLED = 0.4


def measure(effort: Effort) -> Iterator[Figure]:
    """RuntimeError where anything was answered with an error: then there is no figure to speak of."""
    seconds, tick, many = effort.crowded, f"{effort.tick:g}s", effort.rollouts
    with databases.postgres_server() as server:
        url = server.migrated()
        with connect(url) as database:
            service = RolloutService(database)
            surfaces = [f"assistant-{number}" for number in range(many)]
            for surface in surfaces:
                rollouts.begin(service, surface=surface)
            with processes.rampart("web", url) as web, processes.worker(url, ROLLOUT_TICK=tick) as worker:
                sent = [
                    Sending(asked) for asked in (_evaluations(web.url, many, seconds), _reports(web.url, many, seconds))
                ]
                began = datetime.now().astimezone()
                for each in sent:
                    each.start()
                web_memory, worker_memory = _memory((web.process, worker), seconds)
                for each in sent:
                    each.join()
            gaps = _gaps(database, began)
    evaluated, reported = (each.result() for each in sent)
    said = f"{many} rollouts, {OBSERVATIONS:,} observations/s and {EVALUATIONS:,} evaluations/s for {seconds:g} s"
    yield Figure(name=f"{said}: evaluations", ours=evaluated.rate, unit="/s")
    yield Figure(name="… evaluation, p99", ours=1000 * evaluated.p99, unit="ms", goal=P99, better="less")
    yield Figure(name="… observations", ours=reported.rate * BATCH, unit="/s")
    yield Figure(name="… a batch of 100, p99 to the answer after its commit", ours=1000 * reported.p99, unit="ms")
    late = LATE.total_seconds()
    yield Figure(name="… longest time between two looks", ours=max(gaps), unit="s", goal=late, better="less")
    yield Figure(name="… median time between two looks", ours=median(gaps), unit="s")
    for name, samples in (("web", web_memory), ("worker", worker_memory)):
        yield Figure(name=f"… memory of the {name}", ours=median(one for _, one in samples), unit="MB")
        grown = _growth(samples)
        yield Figure(name=f"… its growth, of the {name}", ours=grown, unit="%/min", goal=GROWTH, better="less")


class Sending(threading.Thread):
    """Sends a load meanwhile."""

    def __init__(self, asked: load.Load) -> None:
        super().__init__(name="load")
        self._asked = asked
        self._answered: load.Answered | Exception | None = None

    def run(self) -> None:
        try:
            self._answered = load.run(self._asked)
        except RuntimeError as error:
            self._answered = error

    def result(self) -> load.Answered:
        """What came back; the error where not everything was answered well."""
        if isinstance(self._answered, load.Answered):
            return self._answered
        raise RuntimeError("the load was not answered") from self._answered


def _evaluations(url: str, many: int, seconds: float) -> load.Load:
    headers = {"content-type": "application/json"}
    asks = tuple(
        load.Ask(
            path=f"/ofrep/v1/evaluate/flags/assistant-{number % many}",
            headers=headers,
            body=json.dumps({"context": {"targetingKey": f"user-{number}", "language": "en"}}),
        )
        for number in range(500)
    )
    return load.Load(url=url, asks=asks, seconds=seconds, rate=EVALUATIONS, connections=16)


def _reports(url: str, many: int, seconds: float) -> load.Load:
    asks = tuple(intake.asks(BATCH, 1, f"assistant-{number % many}")[0] for number in range(2 * many))
    return load.Load(url=url, asks=asks, seconds=seconds, rate=OBSERVATIONS / BATCH, connections=4)


def _memory(watched: tuple[psutil.Process, ...], seconds: float) -> list[list[tuple[float, float]]]:
    """Of each process: (seconds since the start, megabytes), one a second."""
    began = time.monotonic()
    found: list[list[tuple[float, float]]] = [[] for _ in watched]
    while (passed := time.monotonic() - began) < seconds:
        for samples, process in zip(found, watched, strict=True):
            samples.append((passed, process.memory_info().rss / 1e6))
        time.sleep(1)
    return [samples[int(len(samples) * SETTLED) :] for samples in found]


def _growth(samples: list[tuple[float, float]]) -> float:
    slope, _ = linear_regression([at for at, _ in samples], [one for _, one in samples])
    return 60 * slope / median(one for _, one in samples) * 100


def _gaps(database: Database, since: datetime) -> list[float]:
    """Seconds between two looks at the same rollout."""
    with database.reading() as connection:
        rows = connection.execute(
            select(look.c.rollout, look.c.at).where(look.c.at > since).order_by(look.c.rollout, look.c.number)
        ).all()
    gaps = [
        (later.at - earlier.at).total_seconds()
        for earlier, later in itertools.pairwise(rows)
        if earlier.rollout == later.rollout
    ]
    if not gaps:
        raise RuntimeError("nobody looked at the rollouts")
    return gaps
