"""The users while a template is played: only those who are compared, and in each stage as many as it needs."""

import random
import threading
from collections.abc import Callable
from datetime import timedelta

import httpx
import orjson

from bot.demo import traffic
from bot.demo.fast_clock import FastClock
from bot.demo.template_plays import TemplatePlay, requests_per_second
from bot.demo.users import LARGEST_BATCH, SEED, SURFACE, Round
from core.flags.evaluation import choose_answer
from core.flags.snapshot import FlagAnswer, Snapshot, SurfaceFlags, Variant
from core.rollout.state.model import Rollout

_USUAL_LEAST_BATCH = 25  # requests
_LEAD = 0.75  # of the time between two looks, how far the clock may run ahead: every look sees something new
_TOOL_ERRORS = 0.01  # share of requests


class TemplateUsers:
    """Users whose application evaluates in its own process and reports what happened to the API at `url`.

    Those whose requests nothing would count are left out: a plan of weeks is played with some ten thousand requests.
    """

    def __init__(
        self,
        url: str,
        clock: FastClock,
        play: TemplatePlay,
        told: Round,
        *,
        read_snapshot: Callable[[], Snapshot],
        read_rollout: Callable[[], Rollout],
    ) -> None:
        self._url, self._clock, self._told = url, clock, told
        self._lead = _LEAD * play.tick
        self._read_snapshot, self._read_rollout = read_snapshot, read_rollout
        self._chance = random.Random(SEED)
        self._everybody = [traffic.build_visitor(number) for number in range(traffic.USERS)]
        self._flags: SurfaceFlags | None = None
        self._compared: list[traffic.Visitor] = []
        self._batches = 0

    def send_until(self, over: threading.Event) -> None:
        """Send until it is over. The clock waits for what is reported, so a slow machine only takes longer."""
        reported = self._clock()
        with httpx.Client(base_url=self._url, trust_env=False) as client, self._clock.lift_limit_at_exit():
            while not over.is_set():
                self._clock.set_limit(reported + self._lead)
                now, rollout = self._clock(), self._read_rollout()
                pace = requests_per_second(rollout.current_stage) if rollout.is_under_way else 0.0
                compared = self._find_compared() if pace else []
                if not compared:
                    reported = now
                elif (count := min(int((now - reported).total_seconds() * pace), LARGEST_BATCH)) >= self._least_batch(
                    pace
                ):
                    self._report(client, count)
                    reported += timedelta(seconds=count / pace)
                over.wait(0.01)

    def _least_batch(self, pace: float) -> int:
        """From how many requests on they are sent: never more than the clock leaves room for."""
        return max(1, min(_USUAL_LEAST_BATCH, int(self._lead.total_seconds() * pace)))

    def _find_compared(self) -> list[traffic.Visitor]:
        """Everybody who is compared now."""
        flags = self._read_snapshot().surfaces[SURFACE]
        if _name_exposure(flags) != _name_exposure(self._flags):
            self._compared = [
                one
                for one in self._everybody
                if choose_answer(flags, one.unit, one.context).variant is not Variant.STABLE
            ]
        self._flags = flags
        return self._compared

    def _report(self, client: httpx.Client, count: int) -> None:
        flags, answers = self._flags, list[FlagAnswer]()
        assert flags is not None

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            answers.append(choose_answer(flags, visitor.unit, visitor.context))
            return answers[-1].variant, answers[-1].version.name

        seen = traffic.simulate_requests(
            self._chance, self._told.scenario, self._clock(), count, serve, self._told.old_version, self._compared
        )
        for one, answer in zip(seen, answers, strict=True):
            number = int(str(one["unit"]).removeprefix("user-"))
            one["exposure"], one["surface"] = answer.exposure, SURFACE
            one["segments"] = {**dict(one["segments"]), "route": "search" if number % 3 else "orders"}  # type: ignore[call-overload]
            one["metrics"] = {**dict(one["metrics"]), "tool_error_rate": self._chance.random() < _TOOL_ERRORS}  # type: ignore[call-overload]
        self._batches += 1
        headers = {"content-type": "application/json", "idempotency-key": f"template-{self._batches}"}
        body = orjson.dumps({"observations": seen})
        client.post("/api/v1/observations", content=body, headers=headers, timeout=30).raise_for_status()


def _name_exposure(flags: SurfaceFlags | None) -> str:
    """What changes with every stage; empty where nothing is rolled out."""
    return flags.exposure.canary.exposure if flags is not None and flags.exposure is not None else ""
