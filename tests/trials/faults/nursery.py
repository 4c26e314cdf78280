"""Rampart's processes in a tenth of the time: forked from one that has loaded everything and done nothing yet."""

import os
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from core.store.coordination import processes
from core.store.database.sqlite import sqlite_lock
from tests.forks import FORKS
from tests.journey.house import waiting_until
from tests.journey.processes import STARTED, environment
from tests.trials.faults.crash_points import Point


@dataclass(slots=True)
class Process:
    """One running `rollout serve`, `web` or `worker`."""

    role: str
    log: Path
    running: BaseProcess
    url: str = ""

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_started(self) -> None:
        """Until it says that it works, or where it answers."""
        waiting_until(self._has_started, lambda: f"{self.role} starts\n{self.said()}", within=60)
        line = next(x for x in self.said().splitlines() if x.startswith(STARTED))
        self.url = line.removeprefix(STARTED[0]) if line.startswith(STARTED[0]) else ""

    def wait_begun(self) -> None:
        """Until it works, or has died of what it was armed with."""
        waiting_until(lambda: not self.lives or self._says_so(), self.said, within=60)

    def _says_so(self) -> bool:
        return any(line.startswith(STARTED) for line in self.said().splitlines())

    def _has_started(self) -> bool:
        assert self.running.exitcode is None, f"{self.role} ended with {self.running.exitcode}:\n{self.said()}"
        return self._says_so()

    @property
    def lives(self) -> bool:
        return self.running.exitcode is None

    @property
    def stands_still(self) -> bool:
        return psutil.Process(self.running.pid).status() == psutil.STATUS_STOPPED

    def came_by(self, point: Point) -> bool:
        return f"at: {point.name}\n" in self.said()

    def signal(self, number: signal.Signals) -> None:
        assert self.running.pid is not None
        os.kill(self.running.pid, number)

    def kill(self) -> None:
        """As the kernel does it when memory is short: no goodbye."""
        self.running.kill()
        self.running.join()


@dataclass(slots=True)
class Nursery:
    """Where processes are born; `close` ends those that are left."""

    folder: Path
    settings: dict[str, str]
    serves_on: float = processes.SERVING_SECONDS
    patience: float = sqlite_lock.LOCK_WAIT_SECONDS
    born: list[Process] = field(default_factory=list)

    def start(
        self,
        role: str,
        *,
        port: int = 0,
        dies_at: Point | None = None,
        stops_at: Point | None = None,
        output: Connection | None = None,
    ) -> Process:
        """Begin `rollout <role>`; whoever may die at once is not waited for."""
        from tests.trials.faults import newborn

        log = self.folder / f"{role}-{len(self.born)}.log"
        orders = newborn.Orders(
            role=role,
            log=str(log),
            environment=environment(**self.settings, PORT=str(port)),
            point=dies_at or stops_at,
            number=signal.SIGKILL if dies_at is not None else signal.SIGSTOP,
            serves_on=self.serves_on,
            patience=self.patience,
        )
        running = FORKS.Process(target=newborn.begin, args=(orders, output), daemon=True)
        running.start()
        process = Process(role=role, log=log, running=running)
        self.born.append(process)
        return process

    def close(self) -> None:
        for process in self.born:
            if process.lives:
                process.kill()
