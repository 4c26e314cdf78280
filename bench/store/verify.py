"""Events verified and rebuilt a second, over a log of real rollouts."""

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count

from bench.measuring import databases, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort, medians
from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import Database, connect
from core.store.log import event_log
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.transaction import append_transaction
from core.store.world import rollout_rows

EVENTS = 20_000
A_COMMAND = 50
ROLLOUTS = 20
VERIFIED, REBUILT = 100_000, 60_000


def measure(effort: Effort) -> Iterator[Figure]:
    """Verifying also folds every event and holds the read model against it."""
    size = effort.some(EVENTS)
    with databases.folder() as folder:
        yield from _on(effort, "SQLite", databases.sqlite(folder), size)
    with databases.postgres_server() as server:
        yield from _on(effort, "Postgres", server.migrated(), size)


def _on(effort: Effort, name: str, url: str, size: int) -> Iterator[Figure]:
    with closing(connect(url)) as database:
        _fill(database, size)

        def verified() -> float:
            began = time.perf_counter()
            with database.reading() as connection:
                report = verify(connection)
            if report.problems:
                raise RuntimeError(f"the log of this measurement is wrong: {report.problems[0]}")
            return report.checked / (time.perf_counter() - began)

        def checked() -> float:
            began = time.perf_counter()
            with database.reading() as connection:
                report = verify(connection, first=1, last=size // 2)
            return report.checked / (time.perf_counter() - began)

        def rebuilt() -> float:
            began = time.perf_counter()
            with database.writing() as connection:
                rollout_rows.rebuild(connection)
                position, _ = event_log.read_head(connection)
            return position / (time.perf_counter() - began)

        found = medians({"verified": verified, "checked": checked, "rebuilt": rebuilt}, effort.rounds)
    # The goal is on what `audit verify` does, which is the slower of the two.
    yield Figure(name=f"events verified, with the read model, {name}", ours=found["verified"], unit="/s", goal=VERIFIED)
    yield Figure(name=f"events verified, chain of a range alone, {name}", ours=found["checked"], unit="/s")
    yield Figure(name=f"events rebuilt into the read model, {name}", ours=found["rebuilt"], unit="/s", goal=REBUILT)


def _fill(database: Database, size: int) -> None:
    """About `size` events: rollouts one after the other, each paused and resumed often, then rolled back."""
    service = RolloutService(database)
    numbers = count(1)
    for _ in range(ROLLOUTS):
        stream = e.rollout_stream(rollouts.begin(service).id)
        for _ in range(size // ROLLOUTS // A_COMMAND):
            _append(service, stream, f"fill-{next(numbers)}")
        rollouts.say(service, c.RollBack(reason="measured enough"), stream.partition(":")[2])
    with database.writing() as connection:
        rollout_rows.rebuild(connection)


def _append(service: RolloutService, stream: str, command_id: str) -> None:
    at, by, why = rollouts.now(), rollouts.ANA.id, "The support team looks at it together before we go on."
    events = (e.Paused(by=by, reason=why), e.Resumed(by=by, reason=why)) * (A_COMMAND // 2)
    entries = [NewEvent(stream=stream, event=event) for event in events]
    with append_transaction(service.database, service.world_cache, command_id) as log:
        origin = EventOrigin(command_id=command_id, actor=by, at=at, recorded_at=at)
        steps = log.append(entries, origin)
        first, last = steps[0].stored.position, steps[-1].stored.position
        log.store_answer(
            command_id, "f", CommandAnswer(first_position=first, last_position=last, result_json="{}", at=at)
        )
