"""The time of one look over ten metrics, and from that look to every process serving the old version."""

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from statistics import median

import httpx

from bench.measuring import databases, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from bot.demo import traffic
from bot.http.observations.writer import ObservationBatch, ObservationWriter
from core.flags.evaluation import choose_answer
from core.rollout.serving import exposure
from core.rollout.state.model import Rollout, RolloutState
from core.service import rollout_look
from core.service.service import RolloutService
from core.store.database.connections import Database, connect

GOAL = 1.0
TICK = timedelta(seconds=10)
REQUESTS = 2_000  # between two looks
BEFORE = 10  # looks that have passed when measuring begins
SEED = 20261123
ASK_EVERY = 0.002
ENOUGH_LOOKS = 30


def measure(effort: Effort) -> Iterator[Figure]:
    """Looks on SQLite and Postgres; the flip on Postgres, as two other processes answer it over HTTP."""
    with databases.folder() as folder, connect(databases.sqlite(folder)) as database:
        yield _look(effort, database, "SQLite")
    with databases.postgres_server() as server:
        with connect(server.migrated()) as database:
            yield _look(effort, database, "Postgres")
        yield from _flip(effort, server.migrated())


class Users:
    """People who use the feature and are observed, written straight into the database."""

    def __init__(self, database: Database, service: RolloutService, scenario: str) -> None:
        self._service = service
        self._scenario = scenario
        self._chance = random.Random(SEED)
        self._intake = ObservationWriter(database, lambda: exposure.build_snapshot(service.load_world()), rollouts.now)

    def come(self, count: int) -> None:
        """So many requests, served as they should be and reported."""
        self.send(self.build_batch(count), count)

    def build_batch(self, count: int) -> bytes:
        """The report of so many requests, served as they should be."""
        snapshot = exposure.build_snapshot(self._service.load_world())

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            served = choose_answer(snapshot.surfaces[rollouts.SURFACE], visitor.unit, visitor.context)
            return served.variant, served.version.name

        seen = traffic.simulate_requests(self._chance, self._scenario, rollouts.now(), count, serve, rollouts.OLD)
        return json.dumps({"observations": [{"surface": rollouts.SURFACE, **one} for one in seen]}).encode()

    def send(self, body: bytes, count: int) -> None:
        """Hand in a report of `count` requests, until it is committed."""
        batch = ObservationBatch(body=body, content_type="application/json", token="", key="")
        answer = json.loads(self._intake.submit(batch).result())
        if answer["accepted"] != count:
            raise RuntimeError(f"not everything was accepted: {answer}")

    def leave(self) -> None:
        """Nobody comes any more."""
        self._intake.close()


def _look(effort: Effort, database: Database, name: str) -> Figure:
    service = RolloutService(database)
    rollout = rollouts.begin(service, limits=rollouts.TEN_METRICS)
    users = Users(database, service, "healthy")
    found = []
    try:
        for number in range(BEFORE + effort.some(40)):
            users.come(REQUESTS)
            began = time.perf_counter()
            rollout_look.evaluate_rollout(service, rollout.id, rollouts.now(), every=TICK)
            if number >= BEFORE:
                found.append(time.perf_counter() - began)
    finally:
        users.leave()
    return Figure(
        name=f"one look over ten metrics, {REQUESTS} requests since the last, {name}",
        ours=1000 * median(found),
        unit="ms",
    )


def _flip(effort: Effort, url: str) -> Iterator[Figure]:
    """A harmful canary; this process plays the worker, two others answer users meanwhile."""
    with ExitStack() as stack:
        database = stack.enter_context(connect(url))
        webs = [stack.enter_context(processes.rampart("web", url)) for _ in range(2)]
        service = RolloutService(database)
        found = [_once(database, service, webs) for _ in range(effort.rounds)]
    yield Figure(
        name="from the tick that decides to 100 % old version, two processes, Postgres",
        ours=median(found),
        unit="s",
        goal=GOAL,
        better="less",
    )
    yield Figure(name="the slowest of these", ours=max(found), unit="s", goal=GOAL, better="less")


def _once(database: Database, service: RolloutService, webs: list[processes.Running]) -> float:
    rollout = rollouts.begin(service, limits=rollouts.TEN_METRICS)
    new = rollout.plan.to_version
    watchers = [Watcher(web.url, _canary(service, new)) for web in webs]
    for watcher in watchers:
        watcher.until(new)
    users = Users(database, service, "refusals")
    try:
        for _ in range(ENOUGH_LOOKS):
            users.come(REQUESTS)
            for watcher in watchers:
                watcher.start(rollouts.OLD)
            began = time.monotonic()
            if _looked(service, rollout).state is RolloutState.ROLLED_BACK:
                return max(watcher.result() for watcher in watchers) - began
            for watcher in watchers:
                watcher.cancel()
    finally:
        users.leave()
    raise RuntimeError(f"{rollout.id} was not rolled back within {ENOUGH_LOOKS} looks")


def _looked(service: RolloutService, rollout: Rollout) -> Rollout:
    rollout_look.evaluate_rollout(service, rollout.id, rollouts.now(), every=TICK)
    return service.load_world().rollouts[rollout.id]


def _canary(service: RolloutService, new: str) -> str:
    """Somebody who gets the new version now."""
    snapshot = exposure.build_snapshot(service.load_world())
    units = (f"user-{number}" for number in range(10_000))
    return next(u for u in units if choose_answer(snapshot.surfaces[rollouts.SURFACE], u, {}).version.name == new)


class Watcher:
    """Asks one process again and again which version one canary user gets."""

    def __init__(self, url: str, unit: str) -> None:
        self._url = f"{url}/ofrep/v1/evaluate/flags/{rollouts.SURFACE}"
        self._unit = unit
        self._stopped = threading.Event()
        self._thread = threading.Thread()
        self._seen = 0.0

    def until(self, version: str) -> float:
        """Wait until this version is answered; when that was."""
        self.start(version)
        return self.result()

    def start(self, version: str) -> None:
        """Begin to ask."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._ask, args=(version,), daemon=True)
        self._thread.start()

    def result(self) -> float:
        """When it was answered, by the monotonic clock."""
        self._thread.join(30)
        if self._thread.is_alive():
            self.cancel()
            raise TimeoutError(f"{self._url} still answers the other version after 30 s")
        return self._seen

    def cancel(self) -> None:
        """Ask no more."""
        self._stopped.set()
        self._thread.join()

    def _ask(self, version: str) -> None:
        body = {"context": {"targetingKey": self._unit}}
        with httpx.Client(trust_env=False) as client:
            while not self._stopped.is_set():
                answer = client.post(self._url, json=body).json()
                if answer.get("metadata", {}).get("version") == version:  # at first it may not know the surface
                    self._seen = time.monotonic()
                    return
                self._stopped.wait(ASK_EVERY)
