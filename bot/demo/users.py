"""The users of the demonstration's AI feature: each asks which version to serve, and what happened is reported."""

import json
import random
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx

from bot.demo import traffic
from bot.demo.fast_clock import FastClock

SURFACE = "support-assistant"
REQUESTS_PER_MINUTE = 2000  # of the rollout's clock
MAX_LEAD_OVER_TRAFFIC = timedelta(seconds=15)  # of the rollout's clock; how far it may run ahead of the users' traffic
LARGEST_BATCH = 500  # requests
SEED = 20261123


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One rollout of the demonstration: the scenario that its users live through, and what was live before it."""

    rollout: str
    scenario: str
    old_version: str
    yours: bool = False  # nobody presses anything but whoever is at the page


class SimulatedUsers:
    """Sends the traffic of `tell_round()` to the API at `url`, as fast as the clock asks for."""

    def __init__(self, url: str, clock: FastClock, tell_round: Callable[[], Round]) -> None:
        self._url = url
        self._clock = clock
        self._tell_round = tell_round
        self._chance = random.Random(SEED)

    def send_until(self, over: threading.Event) -> None:
        """Send until it is over. On a slow machine the clock waits for it, so that the scenario always has the same
        users."""
        asked = 0
        began = self._clock()
        with httpx.Client(base_url=self._url, trust_env=False) as client, self._clock.lift_limit_at_exit():
            while not over.is_set():
                self._clock.set_limit(began + timedelta(minutes=asked / REQUESTS_PER_MINUTE) + MAX_LEAD_OVER_TRAFFIC)
                due = int((self._clock() - began).total_seconds() * REQUESTS_PER_MINUTE / 60) - asked
                count = min(due, LARGEST_BATCH)
                if count >= 1:
                    # One connection a batch: the server closes those that say nothing while the clock is paused.
                    with closing(_open_connection(self._url)) as connection:
                        self._serve_batch(connection, client, count, asked)
                    asked += count
                over.wait(0.05)

    def _serve_batch(
        self, connection: HTTPConnection, client: httpx.Client, request_count: int, first_number: int
    ) -> None:
        served: list[dict[str, str]] = []  # how each was: at this speed a stage may begin in the middle of a batch

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            at = self._clock().isoformat()
            answer = _post_json(connection, f"/ofrep/v1/evaluate/flags/{SURFACE}", {"context": visitor.context})
            exposure = answer["metadata"].get("exposure")
            served.append({"at": at, **({"exposure": exposure} if exposure else {})})
            return answer["variant"], answer["metadata"]["version"]

        told = self._tell_round()
        seen = traffic.simulate_requests(
            self._chance, told.scenario, self._clock(), request_count, serve, told.old_version
        )
        batch = {"observations": [{**one, "surface": SURFACE, **how} for one, how in zip(seen, served, strict=True)]}
        key = f"demo-{first_number}"
        client.post("/api/v1/observations", json=batch, headers={"idempotency-key": key}, timeout=30).raise_for_status()


def _open_connection(url: str) -> HTTPConnection:
    """A bare HTTP connection, since a full client is too slow for hundreds of evaluations a second."""
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port, timeout=30)


def _post_json(connection: HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    return json.loads(connection.getresponse().read())
