"""The users of the demonstration's AI feature: each asks which version to serve, and what happened is reported."""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import httpx
import orjson

from bot.demo import traffic
from bot.demo.evaluation_client import EvaluationClient
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
                    with closing(EvaluationClient(self._url)) as evaluations:
                        self._serve_batch(evaluations, client, count, asked)
                    asked += count
                over.wait(0.05)

    def _serve_batch(
        self, evaluations: EvaluationClient, client: httpx.Client, request_count: int, first_number: int
    ) -> None:
        served: list[dict[str, str]] = []  # how each was: at this speed a stage may begin in the middle of a batch

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            at = self._clock().isoformat()
            answer = evaluations.evaluate(SURFACE, visitor.context)
            exposure = answer["metadata"].get("exposure")
            served.append({"at": at, **({"exposure": exposure} if exposure else {})})
            return answer["variant"], answer["metadata"]["version"]

        told = self._tell_round()
        seen = traffic.simulate_requests(
            self._chance, told.scenario, self._clock(), request_count, serve, told.old_version
        )
        batch = {"observations": [{**one, "surface": SURFACE, **how} for one, how in zip(seen, served, strict=True)]}
        headers = {"content-type": "application/json", "idempotency-key": f"demo-{first_number}"}
        body = orjson.dumps(batch)
        client.post("/api/v1/observations", content=body, headers=headers, timeout=30).raise_for_status()
