"""One full append (event, chain, idempotency, outbox, read model) against the eventsourcing library, same database."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from bench.measuring import databases, rollouts
from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort, medians
from bench.store import raw_driver
from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.service.service import RolloutService
from core.store.coordination import outbox
from core.store.database.connections import Database, connect
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.transaction import AppendTransaction, run_append_transaction

TIMES = 200
REASON = "The support team sees more questions than usual about refunds; we look at it together before we go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """What the ratio to the peer has to reach."""

    transaction_to_recorder: float
    command_to_recorder: float | None
    transaction_to_application: float | None
    command_to_application: float | None


SQLITE = Floors(
    transaction_to_recorder=0.6, command_to_recorder=None, transaction_to_application=1.0, command_to_application=0.7
)
POSTGRES = Floors(
    transaction_to_recorder=2.0, command_to_recorder=None, transaction_to_application=None, command_to_application=None
)


def measure(effort: Effort) -> Iterator[Figure]:
    """Appends a second with one writer, durable, on both databases."""
    with databases.folder() as folder:
        yield from _on(effort, "SQLite", databases.sqlite(folder), ("sqlite", str(folder / "peer.db")), SQLITE)
    with databases.postgres_server() as server:
        yield from _on(effort, "Postgres", server.migrated(), ("postgres", server.empty()), POSTGRES)


def _on(effort: Effort, name: str, url: str, peer_at: tuple[str, str], floors: Floors) -> Iterator[Figure]:
    times = effort.some(TIMES)
    with ExitStack() as stack:
        database = stack.enter_context(connect(url))
        peer = stack.enter_context(Peer("eventsourcing_append.py", *peer_at))
        service = RolloutService(database)
        rollouts.begin(service)
        transaction = Transaction(database, service)
        bare = stack.enter_context(
            raw_driver.sqlite(f"{peer_at[1]}.raw", REASON)
            if peer_at[0] == "sqlite"
            else raw_driver.postgres(peer_at[1], REASON)
        )

        def rate(work: Callable[[int], None]) -> Callable[[], float]:
            def once() -> float:
                began = time.perf_counter()
                work(times)
                return times / (time.perf_counter() - began)

            return once

        def asked(what: str) -> Callable[[], float]:
            return lambda: times / peer.ask(what=what, times=times, payload=REASON)["seconds"]

        found = medians(
            {
                "transaction": rate(transaction),
                "command": rate(lambda n: _commands(service, n)),
                "recorder": asked("recorder"),
                "bare": rate(bare),
                "application": asked("application"),
            },
            effort.rounds,
        )
    for ours, peer_name, goal, said in (
        ("transaction", "recorder", floors.transaction_to_recorder, "append, full transaction: eventsourcing recorder"),
        ("command", "recorder", floors.command_to_recorder, "append, decided command: eventsourcing recorder"),
        (
            "transaction",
            "application",
            floors.transaction_to_application,
            "append, full transaction: eventsourcing app",
        ),
        ("command", "application", floors.command_to_application, "append, decided command: eventsourcing application"),
        ("transaction", "bare", None, "append, full transaction: one row by the raw driver"),
    ):
        yield Figure(name=f"{said}, {name}", ours=found[ours], peer=found[peer_name], unit="/s", goal=goal)


def _commands(service: RolloutService, times: int) -> None:
    """Pause and resume through the one way to change anything; half of each."""
    for number in range(times):
        paused = number % 2 == 1
        rollouts.say(service, c.Resume(reason=REASON) if paused else c.Pause(reason=REASON))


class Transaction:
    """What the store does for one command, without deciding: everything in one transaction under the append lock."""

    def __init__(self, database: Database, service: RolloutService) -> None:
        self._database = database
        self._service = service

    def __call__(self, times: int) -> None:
        for _ in range(times):
            command_id = uuid4().hex
            run_append_transaction(
                self._database, self._service.world_cache, command_id, partial(self._write, command_id)
            )

    def _write(self, command_id: str, log: AppendTransaction) -> None:
        at = rollouts.now()
        event = e.ConcernRaised(notice="support:#support", by="U1", handle="@ana", text=REASON)
        if log.find_answer(command_id, "f") is not None:
            raise RuntimeError(f"{command_id} was used before")
        origin = EventOrigin(command_id=command_id, actor="slack:U1", at=at, recorded_at=at)
        steps = log.append([NewEvent(stream=e.rollout_stream("R-1"), event=event)], origin)
        position = steps[-1].stored.position
        log.enqueue(
            outbox.build_row(
                kind="bench",
                ordering_key="bench:#ai-rollouts",
                idempotency_key=f"bench:{command_id}",
                request={"position": position},
                due_at=at,
                position=position,
            )
        )
        log.update_read_model([step.stored for step in steps], log.world.rollouts)
        log.store_answer(
            command_id, "f", CommandAnswer(first_position=position, last_position=position, result_json="{}", at=at)
        )
