"""A log of a million events, and a stream of ten thousand: read whole, in flat memory."""

import os
import time
from collections.abc import Iterator, Sequence

from bench.measuring import alone, databases, rollouts
from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort, medians
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.service.service import RolloutService
from core.store.database.connections import Database, connect
from core.store.log import event_log
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.transaction import append_transaction
from core.store.world import rollout_rows

EVENTS, STREAM = 1_000_000, 10_000
A_COMMAND = 500
WITHIN, LOADED = 15.0, 0.25  # seconds
FLAT = 1.2  # times the memory of a log of a tenth of that size
_VERIFY = """
import sys, time
from core.store.database.connections import connect
from core.store.audit.verify import verify
with connect(sys.argv[1]) as database, database.reading() as connection:
    began = time.perf_counter()
    report = verify(connection)
    print(time.perf_counter() - began, report.checked, len(report.problems))
"""


def measure(effort: Effort) -> Iterator[Figure]:
    """Loading against the peer's repository of the same length; verifying as `audit verify` does it."""
    with databases.folder() as folder:
        yield from _stream("SQLite", databases.sqlite(folder), ("sqlite", str(folder / "peer.db")), effort)
        yield from _verified("SQLite", databases.sqlite(folder), effort)
    with databases.postgres_server() as server:
        yield from _stream("Postgres", server.migrated(), ("postgres", server.empty()), effort)
        yield from _verified("Postgres", server.migrated(), effort)


def _stream(name: str, url: str, peer_at: tuple[str, str], effort: Effort) -> Iterator[Figure]:
    with connect(url) as database, Peer("eventsourcing_append.py", *peer_at) as peer:
        service = RolloutService(database)
        stream = e.rollout_stream(rollouts.begin(service).id)
        length = min(STREAM, effort.large_log)
        _grow(service, [stream], length)
        peer.ask(what="application", times=length, payload="a look")

        def loaded() -> float:
            began = time.perf_counter()
            with database.reading() as connection:
                found = len(event_log.read_stream(connection, stream))
            assert found >= length
            return time.perf_counter() - began

        found = medians(
            {"ours": loaded, "peer": lambda: peer.ask(what="load", times=1, payload="")["seconds"]}, effort.rounds
        )
    yield Figure(
        name=f"a stream of {length:,} events loaded: eventsourcing repository, {name}",
        ours=1000 * found["ours"],
        peer=1000 * found["peer"],
        unit="ms",
        better="less",
    )
    yield Figure(name=f"… that alone, {name}", ours=found["ours"], unit="s", goal=LOADED, better="less")


def _verified(name: str, url: str, effort: Effort) -> Iterator[Figure]:
    size = effort.large_log
    with connect(url) as database:
        service = RolloutService(database)
        streams = [e.rollout_stream(rollouts.begin(service, surface=f"assistant-{n}").id) for n in range(50)]
        _grow(service, streams, size // 10)
        _keep_read_model(database)
    _, small = _verify(url)
    with connect(url) as database:
        _grow(RolloutService(database), streams, size - size // 10)
        _keep_read_model(database)
    seconds, large = _verify(url)
    goal = WITHIN * size / EVENTS
    said = f"{size:,} events verified, {name}"
    yield Figure(name=said, ours=seconds, unit="s", goal=goal, better="less")
    yield Figure(
        name=f"… most memory it took, {name}: for a tenth of them",
        ours=large,
        peer=small,
        unit="MB",
        goal=FLAT,
        better="less",
    )


def _grow(service: RolloutService, streams: Sequence[str], count: int) -> None:
    """Add `count` events: pauses and resumes, in commands of many."""
    service.load_world()
    at, by, why = rollouts.now(), rollouts.ANA.id, "The support team looks at it together before we go on."
    pair = (e.Paused(by=by, reason=why), e.Resumed(by=by, reason=why))
    for number in range(count // A_COMMAND):
        entries = [NewEvent(stream=streams[number % len(streams)], event=one) for one in pair * (A_COMMAND // 2)]
        command_id = f"grow-{os.urandom(8).hex()}"
        with append_transaction(service.database, service.world_cache, command_id) as log:
            steps = log.append(entries, EventOrigin(command_id=command_id, actor=by, at=at, recorded_at=at))
            first, last = steps[0].stored.position, steps[-1].stored.position
            log.store_answer(
                command_id, "f", CommandAnswer(first_position=first, last_position=last, result_json="{}", at=at)
            )


def _keep_read_model(database: Database) -> None:
    with database.writing() as connection:
        rollout_rows.rebuild(connection)


def _verify(url: str) -> tuple[float, float]:
    """(seconds, megabytes at most) of verifying all of it."""
    (seconds, _, problems), megabytes = alone.run(_VERIFY, url)
    if problems != "0":
        raise RuntimeError(f"the log of this measurement is wrong in {problems} places")
    return float(seconds), megabytes
