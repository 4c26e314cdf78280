"""Clients that never give up: each sends one thing after another, and what was not acknowledged again, as it was."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from bot.sandbox.control import Sandbox
from bot.sandbox.workspace.people import ANA
from tests.journey.crowd import SURFACE
from tests.journey.processes import post

BATCH = 20  # observations
PEOPLE = 4000


@dataclass(slots=True)
class Sent:
    """What was acknowledged, in order; `open` is what was sent last and has had no answer yet."""

    acknowledged: list[str] = field(default_factory=list)
    open: str = ""
    again: int = 0  # how often something was sent a second time


def over_rest(url: str, sent: Sent, key: str) -> bool:
    """Raise a concern whose words are the key; whether it was acknowledged."""
    body: dict[str, object] = {"command": "concern", "notice": "general", "reason": key}
    return _accepted(url, "/api/v1/rollouts/R-1/commands", body, key)


class Batches:
    """Batches of observations, each with content that follows from its key."""

    def __init__(self, variants: dict[str, str]) -> None:
        self._variants = variants

    def __call__(self, url: str, sent: Sent, key: str) -> bool:
        chance = random.Random(key)
        units = [f"user-{chance.randrange(PEOPLE)}" for _ in range(BATCH)]
        batch: dict[str, object] = {
            "observations": [
                {"surface": SURFACE, "unit": u, "variant": self._variants[u], "metrics": {"refusal_rate": False}}
                for u in units
            ]
        }
        return _accepted(url, "/api/v1/observations", batch, key)


class InSlack:
    """Ana pauses and resumes in turn; what Slack had no answer to, it delivers a second time."""

    def __init__(self, slack: Sandbox) -> None:
        self._slack = slack

    def __call__(self, url: str, sent: Sent, key: str) -> bool:
        if sent.open == key and self._slack.deliveries[-1].payload.get("user_id") == ANA.id:
            return self._slack.deliver_again().acked
        verb = "pause" if len(sent.acknowledged) % 2 == 0 else "resume"
        return self._slack.act_as("ana").type_command(f'/rollout {verb} R-1 "{key}"').acked


def _accepted(url: str, path: str, body: dict[str, Any], key: str) -> bool:
    try:
        answer = post(url, path, body, key=key)
    except httpx.TransportError:
        return False
    assert answer.status_code in {200, 503}, answer.text
    return answer.status_code == 200


class Sender:
    """Sends from a thread of its own while `working`, with a `rest` of so many seconds after each answer, and remembers
    between two of these what is open."""

    def __init__(self, name: str, send: Callable[[str, Sent, str], bool], *, rest: float = 0.02) -> None:
        self.name = name
        self.sent = Sent()
        self._rest = rest
        self._send = send
        self._number = 0
        self._over = threading.Event()
        self._wrong: list[BaseException] = []
        self._thread = threading.Thread()

    def begin(self, url: str) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._work, args=(url,), name=self.name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop, and raise what went wrong."""
        self._over.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), f"{self.name} got no answer and no end of the connection"
        if self._wrong:
            raise self._wrong[0]

    def settle(self, url: str) -> bool:
        """Send what is open again, as it was; whether nothing is open any more."""
        if self.sent.open:
            self.sent.again += 1
            self._once(url, self.sent.open)
        return not self.sent.open

    def _work(self, url: str) -> None:
        try:
            while True:
                if not self.sent.open:
                    self._number += 1
                key = self.sent.open or f"{self.name}-{self._number}"
                if not self._once(url, key):
                    return  # the process is gone: on when it is back
                if self._over.wait(self._rest):
                    return
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self._wrong.append(error)

    def _once(self, url: str, key: str) -> bool:
        if not self._send(url, self.sent, key):
            self.sent.open = key
            return False
        self.sent.open = ""
        self.sent.acknowledged.append(key)
        return True
