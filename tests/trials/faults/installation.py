"""An installation whose processes may die, and clients that do not give up: whether what was acknowledged holds."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from sqlalchemy import select

from bot.sandbox.control import Sandbox
from bot.sandbox.workspace.people import ANA
from core.judging.model.evidence import EVERYONE, REQUESTS
from core.rollout.serving import exposure
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database.connections import Database
from core.store.models import outbox
from core.store.observations import observation_sums
from tests.journey import plans
from tests.journey.crowd import SURFACE
from tests.journey.house import waiting_until
from tests.journey.processes import post
from tests.journey.senders import BATCH, PEOPLE, Batches, Sender, Sent, over_rest
from tests.served import evaluate
from tests.trials.faults.crash_points import Point
from tests.trials.faults.newborn import LEASE
from tests.trials.faults.nursery import Nursery, Process

_OPEN = re.compile("working on it|Nothing was done|may not have been carried out")
SOON = 60  # seconds within which whatever should happen has happened
REST = 0.1  # seconds of each client between two things: what is done must also be said in the end, and checked


@dataclass(slots=True)
class Installation:
    """`serve` on SQLite; a web and a worker on Postgres."""

    nursery: Nursery
    database: Database
    slack: Sandbox
    port: int
    running: dict[str, Process] = field(default_factory=dict)
    senders: tuple[Sender, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        return ("serve",) if self.database.dialect == "sqlite" else ("web", "worker")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, role: str, dies_at: Point | None = None) -> Process:
        """A successor of whoever had this role and is dead."""
        self.running[role] = self.nursery.start(role, port=0 if role == "worker" else self.port, dies_at=dies_at)
        return self.running[role]

    def revive(self) -> None:
        """Whoever is dead is replaced, and works when this returns."""
        for role in self.roles:
            if role not in self.running or not self.running[role].lives:
                self.start(role).wait_started()

    def begin(self) -> None:
        """Everybody works, R-1 runs its canary, and three clients are ready to send."""
        self.revive()
        self.slack.connect(f"{self.url}/slack/events")
        plans.begin(self.url)
        snapshot = exposure.build_snapshot(RolloutService(self.database).load_world())
        variants = {u: evaluate(snapshot, SURFACE, u, {}).variant for u in (f"user-{n}" for n in range(PEOPLE))}
        self.senders = (
            Sender("slack", Steering(self.slack), rest=REST),
            Sender("rest", over_rest, rest=REST),
            Sender("batch", Batches(variants), rest=REST),
        )

    def under_load(self, until: Callable[[], object], what: Callable[[], str]) -> None:
        """The clients send until something is so; whoever died meanwhile is replaced, and no answer stays open."""
        for sender in self.senders:
            sender.begin(self.url)
        try:
            waiting_until(until, what, within=SOON)
        finally:
            for sender in self.senders:
                sender.end()
        self.revive()
        for sender in self.senders:
            waiting_until(
                lambda sender=sender: sender.settle(self.url),
                lambda sender=sender: f"{sender.name} gets an answer to {sender.sent.open}",
                within=SOON,
            )

    def check(self) -> None:
        """Nothing acknowledged is lost, nothing done twice, and the log is what it says."""
        in_slack, rest, batches = self.senders
        history = [r.event for r in RolloutService(self.database).load_history("R-1")]
        concerns = [x.text for x in history if isinstance(x, e.ConcernRaised)]
        assert concerns == rest.sent.acknowledged, "each once, and in the order in which they were answered"
        steered = [x.reason for x in history if isinstance(x, e.Paused | e.Resumed)]
        assert steered == in_slack.sent.acknowledged, self.answers(steered, in_slack.sent.acknowledged)
        assert requests_counted(self.database) == BATCH * len(batches.sent.acknowledged)
        with self.database.reading() as connection:
            assert verify.verify(connection).problems == ()

    def answers(self, steered: list[str], acknowledged: list[str]) -> list[object]:
        """What Slack was told of the first that differs, for whoever wonders."""
        both = zip([*steered, ""], [*acknowledged, ""], strict=False)
        odd = next((one for one in both if one[0] != one[1]), ("", ""))
        told = [(d.label, d.status, d.error, d.answer) for d in self.slack.deliveries]
        asked = [one for one in told if any(f'"{key}"' in one[0] for key in odd)]
        kinds = (e.Paused, e.Resumed, e.Held, e.HoldCleared)
        history = [(r.position, r.command_id, r.event) for r in RolloutService(self.database).load_history("R-1")]
        steps = [one for one in history if isinstance(one[2], kinds)]
        place = next((n for n, one in enumerate(steps) if getattr(one[2], "reason", None) == odd[0]), len(steps))
        return [odd, *asked, *steps[max(0, place - 6) : place + 4]]

    def end(self) -> None:
        """R-1 is taken back; with nothing left to be said, Slack shows what is, and each thing once."""
        assert "Rolled back by" in self.slack.act_as("ana").type_command('/rollout rollback R-1 "that is enough"').text
        everything_is_said(self.database)
        card = self.slack.list_messages("#ai-rollouts")[0]
        assert self.slack.render_text(card).replace("*", "").startswith("Rolled back: R-1 long-canary.")
        said_once(self.slack)


def requests_counted(database: Database) -> int:
    with database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    counted = (c.weight.sum() for k, c in sums.cells.items() if (k.segment, k.metric) == (EVERYONE, REQUESTS))
    return round(float(sum(counted)))


def everything_is_said(database: Database) -> None:
    def states() -> Counter[tuple[str, ...]]:
        with database.reading() as connection:
            found = connection.execute(select(outbox)).all()
        # A reminder of a review has a time of its own, days from now.
        rows = [
            row for row in found if not (row.attempt == 0 and row.state == "pending" and '"due_at":"' in row.request)
        ]
        said = Counter(("done",) for row in rows if row.state == "done")
        said.update(
            (row.state, row.ordering_key, str(row.attempt), str(row.last_error)) for row in rows if row.state != "done"
        )
        return said

    # Slack takes one message a second, so a long history takes its time: what counts is that it goes on.
    within = SOON + LEASE / timedelta(seconds=1)
    said = states()
    while set(said) != {("done",)}:
        waiting_until(
            lambda before=said[("done",)]: states()[("done",)] > before,
            lambda: f"another message is said; there are {states()}",
            within=within,
        )
        said = states()


def said_once(slack: Sandbox) -> None:
    marks = Counter(m.metadata["event_payload"]["outbox"] for m in slack.list_messages("#ai-rollouts") if m.metadata)
    assert marks
    assert [row for row, times in marks.items() if times > 1] == [], "no message is posted twice"
    assert slack.violations == []


class Steering:
    """Ana pauses and resumes in turn. What had no answer, or only that it is under way, Slack delivers again."""

    def __init__(self, slack: Sandbox) -> None:
        self._slack = slack

    def __call__(self, url: str, sent: Sent, key: str) -> bool:
        if sent.open == key and self._slack.deliveries[-1].payload.get("user_id") == ANA.id:
            again = self._slack.deliver_again()
            return again.acked and not _OPEN.search(str(again.answer))
        verb = "pause" if len(sent.acknowledged) % 2 == 0 else "resume"
        reply = self._slack.act_as("ana").type_command(f'/rollout {verb} R-1 "{key}"')
        return reply.acked and not _OPEN.search(reply.text)


class Client:
    """Asks again and again, under one key, until it is told that it was done."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._pause = threading.Event()

    def insist(self, path: str, body: str | dict[str, object], key: str, between: Callable[[], None]) -> httpx.Response:
        """`between` two tries whoever died is replaced."""
        for _ in range(100):
            try:
                answer = post(self._url(), path, body, key=key)
            except httpx.TransportError:
                between()
            else:
                if answer.status_code == 200:
                    return answer
                assert answer.status_code == 503, answer.text
            self._pause.wait(0.05)
        raise AssertionError(f"{key} gets no answer")
