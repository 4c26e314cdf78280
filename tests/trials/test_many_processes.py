"""Many processes on one log: who follows it misses nothing, and a slot is decided once however many workers die."""

import math
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from core.rollout.state.surface import SurfaceDeclared
from core.store.audit.verify import verify
from core.store.database.connections import connect
from core.store.log import event_log
from core.store.models import timer
from tests.forks import Program, start_program
from tests.trials import promises, slot_worker
from tests.trials.length import pick

WRITERS = {"sqlite": 4, "postgresql": 8}
WORKERS = 4
SLOTS = pick(300, 4_000)
LEASE = 0.5
STUCK = 180  # seconds in which nothing happens any more, however slow the machine is
SEED = 20261123


def test_who_follows_the_log_sees_every_event_once_and_in_order(fresh: Callable[[], str]) -> None:
    url = fresh()
    with connect(url) as database:
        writers = WRITERS[database.dialect]
        each = pick(120, 100_000 // 2 // writers)
        running = [start_program("tests.store.writer", url, f"w{number}", "0", str(each)) for number in range(writers)]
        seen: list[int] = []
        try:
            while len(seen) < writers * each * 2:
                assert all(writer.poll() in (None, 0) for writer in running)
                with database.reading() as connection:
                    seen += [r.position for r in event_log.read_after(connection, seen[-1] if seen else 0, 500)]
            assert [writer.wait(STUCK) for writer in running] == [0] * writers
        finally:
            for writer in running:
                writer.kill()
                writer.wait(STUCK)
        assert seen == list(range(1, writers * each * 2 + 1))
        with database.reading() as connection:
            assert verify(connection).problems == ()


class Crew:
    """Workers of whom some are killed, and some fall asleep for longer than their lease."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.names = 0
        self.chance = random.Random(SEED)
        self.running = [self._hire() for _ in range(WORKERS)]
        self.asleep: Program | None = None
        self.wakes = 0.0  # when, by the monotonic clock

    def _hire(self) -> Program:
        self.names += 1
        return start_program("tests.trials.slot_worker", self.url, f"worker-{self.names}", str(SLOTS), str(LEASE))

    def wake(self, now: float = math.inf) -> None:
        """Whoever sleeps, once the lease of what it had claimed is over; it may hold up everybody until then."""
        if self.asleep is not None and now >= self.wakes:
            self.asleep.send_signal(signal.SIGCONT)
            self.asleep = None

    def strike(self) -> None:
        """Somebody dies and is replaced, or somebody falls asleep and whoever slept wakes up."""
        self.wake()
        chosen = self.chance.randrange(WORKERS)
        if self.running[chosen].poll() is not None:
            return
        if self.chance.random() < 0.5:
            self.asleep = self.running[chosen]
            self.asleep.send_signal(signal.SIGSTOP)
            self.wakes = time.monotonic() + 2 * LEASE
        else:
            self.running[chosen].kill()
            self.running[chosen].wait(STUCK)
            self.running[chosen] = self._hire()

    def dismiss(self) -> None:
        self.wake()
        for worker in self.running:
            worker.kill()
            worker.wait(STUCK)


@pytest.mark.slow
def test_every_slot_is_decided_once_whoever_dies(fresh: Callable[[], str]) -> None:
    url = fresh()
    crew = Crew(url)
    try:
        with connect(url) as database:
            struck, before, until = 0, -1, 0.0
            while (done := slot_worker.done(database)) < SLOTS:
                if done > before:
                    before, until = done, time.monotonic() + STUCK
                assert time.monotonic() < until, f"{done} of {SLOTS} slots have run, and no other one since"
                if done > struck * SLOTS / pick(20, 60):
                    crew.strike()
                    struck += 1
                crew.wake(time.monotonic())
                time.sleep(0.05)  # a look at how far they are, twenty times a second
            crew.wake()
            assert [worker.wait(STUCK) for worker in crew.running] == [0] * WORKERS
            log = promises.whole_log(database)
            decided = Counter(r.event.title for r in log if isinstance(r.event, SurfaceDeclared))
            assert decided == Counter(str(number) for number in range(SLOTS))
            with database.reading() as connection:
                assert connection.execute(select(func.count()).where(timer.c.attempt > 1)).scalar_one() > 0
                assert verify(connection).problems == ()
    finally:
        crew.dismiss()
