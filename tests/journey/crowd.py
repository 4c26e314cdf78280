"""People who use the AI feature: each request asks over OFREP which version to serve, and reports what happened."""

import json
import random
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from bot.demo import traffic
from bot.demo.fast_clock import FastClock

SURFACE = "support-assistant"
MINUTE = timedelta(minutes=1)
AHEAD = timedelta(seconds=12)  # that the clock may be of the crowd: twice what it comes for at least
_IN_FLIGHT = 50  # requests sent before their answers are read: far below what the sockets hold


class Line:
    """One connection on which many evaluations are asked in a row, as a busy application's pool would."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def evaluate(self, contexts: Iterable[dict[str, str]]) -> list[Any]:
        """The answers, in order."""
        waiting = list(contexts)
        answers: list[Any] = []
        for start in range(0, len(waiting), _IN_FLIGHT):
            some = waiting[start : start + _IN_FLIGHT]
            self._socket.sendall(b"".join(self._request(context) for context in some))
            answers += [self._answer() for _ in some]
        return answers

    def _request(self, context: dict[str, str]) -> bytes:
        body = json.dumps({"context": context}).encode()
        head = f"POST /ofrep/v1/evaluate/flags/{SURFACE} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}"
        return head.encode() + b"\r\ncontent-type: application/json\r\n\r\n" + body

    def _answer(self) -> Any:
        status = self._answers.readline()
        assert b" 200 " in status, f"OFREP answered {status!r}"
        length = 0
        while (line := self._answers.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return json.loads(self._answers.read(length))


class Crowd:
    """Requests under one scenario, dated by the rollout's clock."""

    def __init__(self, url: str, clock: Callable[[], datetime], scenario: str, *, seed: int, old: str = "v42") -> None:
        self._line = Line(url)
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self._clock = clock
        self._scenario = scenario
        self._chance = random.Random(seed)
        self._seed = seed
        self._old = old
        self.requests = 0

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._http.close()

    def come(self, count: int) -> None:
        """`count` requests are served, and reported as one batch."""
        visitors = list(traffic.generate_visitors(self._chance, count))
        answers = self._line.evaluate(visitor.context for visitor in visitors)
        _, changed = traffic.SCENARIOS[self._scenario]
        at = self._clock()
        seen = [
            traffic.build_observation(
                self._chance,
                visitor,
                answer["variant"],
                traffic.CONTROL_BEHAVIOUR if answer["metadata"]["version"] == self._old else changed,
                at,
            )
            for visitor, answer in zip(visitors, answers, strict=True)
        ]
        batch = {"observations": [{"surface": SURFACE, **one} for one in seen]}
        key = f"crowd-{self._seed}-{self.requests}"
        answer = self._http.post("/api/v1/observations", json=batch, headers={"idempotency-key": key})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"accepted": count, "rejected": []}
        self.requests += count

    @contextmanager
    def all_the_while(self, clock: FastClock, *, a_minute: int) -> Iterator["Crowd"]:
        """Keeps coming from a thread until the block ends; what went wrong there is raised here.

        So many in a minute of that clock, which waits for them: on a busy machine all takes longer, and is the same.
        """
        over = threading.Event()
        wrong: list[BaseException] = []

        def go_on() -> None:
            try:
                began, before = clock(), self.requests
                with clock.lift_limit_at_exit():
                    while not over.wait(0.02):
                        came = self.requests - before
                        clock.set_limit(began + timedelta(minutes=came / a_minute) + AHEAD)
                        due = int((clock() - began) / MINUTE * a_minute) - came
                        if due >= a_minute // 10:
                            self.come(due)
            except BaseException as error:  # noqa: BLE001 - raised below
                wrong.append(error)

        thread = threading.Thread(target=go_on, name="crowd", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join(30)
        if wrong:
            raise wrong[0]


def versions(url: str, people: int) -> set[str]:
    """The versions that `people` different users are served now."""
    line = Line(url)
    try:
        answers = line.evaluate({"targetingKey": f"user-{n}"} for n in range(people))
    finally:
        line.close()
    return {answer["metadata"]["version"] for answer in answers}
