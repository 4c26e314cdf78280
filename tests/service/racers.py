"""Processes that carry out commands on one database, at one instant."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from core.rollout.refusal import Refused
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import connect
from tests.forks import FORKS


def serve(url: str, barrier: Any, wire: Connection) -> None:
    """Carry out what comes over the wire, each when all racers are at the barrier, until None comes."""
    with connect(url) as database:
        service = RolloutService(database)
        service.load_world()
        wire.send("ready")
        while (request := wire.recv()) is not None:
            service.load_world()
            barrier.wait()
            try:
                wire.send(service.handle(request).positions)
            except Refused as refused:
                wire.send(refused.message)


@dataclass(frozen=True, slots=True)
class Racers:
    """As many processes as wires."""

    wires: tuple[Connection, ...]

    def race(self, requests: Sequence[CommandRequest]) -> list[tuple[int, ...] | str]:
        """Each process carries out one; the positions of its events, or why it was refused."""
        for wire, request in zip(self.wires, requests, strict=True):
            wire.send(request)
        return [wire.recv() for wire in self.wires]


@contextmanager
def started(url: str, many: int = 2) -> Iterator[Racers]:
    """So many processes on this database, which are ended afterwards."""
    barrier = FORKS.Barrier(many)
    pipes = [FORKS.Pipe() for _ in range(many)]
    processes = [FORKS.Process(target=serve, args=(url, barrier, theirs)) for _, theirs in pipes]
    for process in processes:
        process.start()
    wires = tuple(ours for ours, _ in pipes)
    try:
        for wire in wires:
            assert wire.recv() == "ready"
        yield Racers(wires)
    finally:
        for wire in wires:
            wire.send(None)
        for process in processes:
            process.join()
