"""kill -9 at any moment: nothing acknowledged is lost, nothing is applied twice, and the card becomes true again."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.sandbox.control import Sandbox
from core.judging.model.evidence import EVERYONE, REQUESTS
from core.rollout.serving import exposure
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.coordination import outbox
from core.store.database.connections import Database, connect
from core.store.observations import observation_sums
from tests.journey import plans
from tests.journey.crowd import SURFACE
from tests.journey.house import waiting_until
from tests.journey.processes import Machine, Process, reserved_ports
from tests.journey.senders import BATCH, PEOPLE, Batches, InSlack, Sender, over_rest
from tests.served import evaluate
from tests.trials.faults.nursery import Nursery
from tests.trials.faults.nursery import Process as Newborn
from tests.trials.length import LONG, pick

ROUNDS = pick(3, 6)
LEASE = 15  # seconds after which a message that a killed process was sending is looked for, and sent if it is not there
MESSAGES = 200  # at most, one a second in a channel. In the short form leases end after two, and channels do not rest
REST = 0.15  # seconds between two that are told in the channel: the test waits in the end until all are
SEED = 20261123


@dataclass(slots=True)
class Deployment:
    """The processes of one installation; `victims` says whom a round may kill.

    In the long form they are the installed program as it is, in the short one they have short leases.
    """

    place: Machine | Nursery
    roles: tuple[str, ...]
    port: int
    running: dict[str, Process | Newborn]

    def kill(self, roles: tuple[str, ...]) -> None:
        for role in roles:
            self.running[role].kill()

    def revive(self) -> None:
        for role in self.roles:
            if role not in self.running or not self.running[role].lives:
                self.running[role] = self.place.start(role, port=0 if role == "worker" else self.port)
                self.running[role].wait_started()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def victims(self) -> tuple[tuple[str, ...], ...]:
        return (*((role,) for role in self.roles), self.roles)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with connect(request.getfixturevalue(f"new_{request.param}")()) as opened:
        yield opened


@pytest.fixture
def deployment(
    database: Database, machine: Callable[..., Machine], slack: Sandbox, tmp_path: Path
) -> Iterator[Deployment]:
    """`serve` on SQLite; a web and a worker on Postgres."""
    computer = machine(database.engine.url.render_as_string(hide_password=False), ROLLOUT_TICK="1s")
    nursery = Nursery(folder=tmp_path, settings=computer.settings)
    roles = ("serve",) if database.dialect == "sqlite" else ("web", "worker")
    with reserved_ports() as port:
        deployed = Deployment(place=computer if LONG else nursery, roles=roles, port=port, running={})
        deployed.revive()
        slack.connect(f"{deployed.url}/slack/events")
        yield deployed
        nursery.close()


@pytest.mark.slow
def test_killed_again_and_again(deployment: Deployment, database: Database, slack: Sandbox) -> None:
    plans.begin(deployment.url)
    service = RolloutService(database)
    in_slack, rest = Sender("slack", InSlack(slack), rest=REST), Sender("rest", over_rest, rest=REST)
    batches = Sender("batch", Batches(_variants(service)))
    senders = (in_slack, rest, batches)
    chance, pause = random.Random(SEED), threading.Event()

    for _ in range(ROUNDS):
        for sender in senders:
            sender.begin(deployment.url)
        pause.wait(chance.uniform(0.05, 1.2))  # the random moment
        deployment.kill(chance.choice(deployment.victims))
        for sender in senders:
            sender.end()
        deployment.revive()
        for sender in senders:
            waiting_until(
                lambda sender=sender: sender.settle(deployment.url),
                lambda sender=sender: f"{sender.name} gets an answer to {sender.sent.open}",
                within=90,
            )
    for sender in senders:
        print(f"{sender.name}: {len(sender.sent.acknowledged)} acknowledged, {sender.sent.again} sent again")
        assert len(sender.sent.acknowledged) >= ROUNDS

    history = [r.event for r in service.load_history("R-1")]
    concerns = [x.text for x in history if isinstance(x, e.ConcernRaised)]
    assert concerns == rest.sent.acknowledged, "each once, and in the order in which they were answered"
    steered = [x.reason for x in history if isinstance(x, e.Paused | e.Resumed)]
    assert steered == in_slack.sent.acknowledged
    assert _requests_counted(database) == BATCH * len(batches.sent.acknowledged)

    assert "Rolled back by" in slack.act_as("ana").type_command('/rollout rollback R-1 "that is enough"').text
    _everything_is_said(database)
    card = slack.list_messages("#ai-rollouts")[0]
    assert slack.render_text(card).replace("*", "").startswith("Rolled back: R-1 long-canary.")
    marks = Counter(m.metadata["event_payload"]["outbox"] for m in slack.list_messages("#ai-rollouts") if m.metadata)
    assert set(marks.values()) == {1}, "no message is posted twice"
    assert slack.violations == []
    with database.reading() as connection:
        assert verify.verify(connection).problems == ()


def _variants(service: RolloutService) -> dict[str, str]:
    snapshot = exposure.build_snapshot(service.load_world())
    units = (f"user-{n}" for n in range(PEOPLE))
    return {unit: evaluate(snapshot, SURFACE, unit, {}).variant for unit in units}


def _requests_counted(database: Database) -> int:
    with database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    counted = (c.weight.sum() for k, c in sums.cells.items() if (k.segment, k.metric) == (EVERYONE, REQUESTS))
    return round(float(sum(counted)))


def _everything_is_said(database: Database) -> None:
    def unsent() -> outbox.OutboxBacklog:
        with database.reading() as connection:
            return outbox.measure_backlog(connection)

    waiting_until(
        lambda: (unsent().pending, unsent().leased, unsent().dead) == (0, 0, 0),
        lambda: f"everything is said but what has a time of its own; there are {unsent()}",
        within=LEASE + MESSAGES,
    )
