"""One process that does everything at once and in a hurry, to be killed at any moment."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

from slack_sdk import WebClient

from bot.delivery.messages import deliver_due
from bot.http.observations.writer import ObservationBatch, ObservationWriter
from bot.jobs import looking
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.serving import exposure
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import connect
from tests.trials.faults.newborn import hurry

SOMEBODY = Actor(id="slack:T1/U3", handle="@lee")
REST = 0.05  # seconds between two of a kind: what is done must also be said in the end
BATCH = b'{"observations": [{"surface": "support-assistant", "unit": "user-1", "variant": "%s", "metrics": {}}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Where to work, and which number comes next of each kind of thing."""

    database_url: str
    slack_url: str
    slack_token: str
    variant: str
    next: dict[str, int]


def labor(orders: Orders, told: Connection) -> None:
    """Until it is killed. Says `<kind> <number>` of whatever was done, once that is certain, and nothing before."""
    hurry()
    saying, rest = threading.Lock(), threading.Event()
    service = RolloutService(connect(orders.database_url))
    service.load_world()
    intake = ObservationWriter(service.database, lambda: exposure.build_snapshot(service.cached_world()), now)
    slack = WebClient(token=orders.slack_token, base_url=orders.slack_url, timeout=10)

    def say(kind: str, number: int) -> None:
        with saying:
            told.send_bytes(f"{kind} {number}".encode())

    def concern(number: int) -> None:
        command(service, c.RaiseConcern(notice="general", text=f"concern-{number}"), f"concern-{number}")

    def steer(number: int) -> None:
        verb = c.Pause(reason=f"steer-{number}") if number % 2 == 0 else c.Resume(reason=f"steer-{number}")
        command(service, verb, f"steer-{number}")

    def count(number: int) -> None:
        body = BATCH % orders.variant.encode()
        intake.submit(
            ObservationBatch(body=body, content_type="application/json", token="", key=f"count-{number}")
        ).result()

    def numbered(kind: str, do: Callable[[int], None]) -> Callable[[], None]:
        def work() -> None:
            number = orders.next[kind]
            while True:
                do(number)
                say(kind, number)
                number += 1
                rest.wait(REST)

        return work

    def deliver() -> None:
        while True:
            deliver_due(service, slack, now, channel_pause=timedelta(0))
            rest.wait(REST / 10)

    def look() -> None:
        while True:
            looking.tick(service, now(), timedelta(milliseconds=100))
            rest.wait(REST)

    work = [numbered("concern", concern), numbered("steer", steer), numbered("count", count), deliver, look]
    for one in work[1:]:
        threading.Thread(target=one, daemon=True).start()
    work[0]()


def deliver_only(orders: Orders) -> None:
    """Say what is left to be said, until it is killed."""
    hurry()
    service = RolloutService(connect(orders.database_url))
    slack = WebClient(token=orders.slack_token, base_url=orders.slack_url, timeout=10)
    while True:
        deliver_due(service, slack, now, channel_pause=timedelta(0))
        threading.Event().wait(REST)


def now() -> datetime:
    return datetime.now(UTC)


def command(service: RolloutService, asked: c.PersonCommand, key: str) -> None:
    service.handle(CommandRequest(command=asked, command_id=key, by=SOMEBODY, at=now(), rollout="R-1"))
