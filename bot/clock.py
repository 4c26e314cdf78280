"""When things are done: at intervals of real time, whatever the clock on the wall says, or once a day by it.

The only file that knows APScheduler, whose triggers say when a day begins. Its scheduler is not used: it keeps wall
time, and does nothing for an hour where the machine's clock is set back by one.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

_ASK_THE_WALL = 5.0  # seconds of real time between two looks at the clock on the wall


class Clock:
    """Calls each job in a thread of its own, so that none waits for another, and never two of one job at once.

    A late call is made up for once. A job that raises is called again at its next turn; `failed` gets its name and what
    it raised.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self._failed = failed
        self._threads: list[threading.Thread] = []
        self._running = False
        self._ends: tuple[socket.socket, socket.socket] | None = (
            None  # one is hung up to wake whoever waits at the other
        )

    def every(self, interval: timedelta, job: Callable[[], object], name: str) -> None:
        """Call `job` every `interval` of real time."""
        self._add(lambda: self._repeat(interval.total_seconds(), job, name), name)

    def daily(self, job: Callable[[], object], name: str, now: Callable[[], datetime]) -> None:
        """Call `job` at the start and when, by `now`, a day (UTC) begins; again and again while it raises."""
        self._add(lambda: self._each_day(job, name, now), name)

    def start(self) -> None:
        self._ends, self._running = socket.socketpair(), True
        for thread in self._threads:
            thread.start()

    def stop(self, within: float) -> None:
        """Start no more jobs, and give those under way `within` seconds to finish."""
        if self._ends is None:
            return
        self._running = False
        self._ends[1].close()
        until = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._ends[0].close()
            self._ends = None

    def _add(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=f"clock-{name}", daemon=True)
        self._threads.append(thread)
        if self._running:
            thread.start()

    def _repeat(self, interval: float, job: Callable[[], object], name: str) -> None:
        due = time.monotonic() + interval
        while not self._stops_before(due):
            self._call(job, name)
            due = max(due + interval, time.monotonic())

    def _each_day(self, job: Callable[[], object], name: str, now: Callable[[], datetime]) -> None:
        begins = CronTrigger(hour=0, minute=0, timezone=UTC)
        due = now()
        while not self._stops_before(time.monotonic() + _ASK_THE_WALL):
            today = now()
            if today >= due and self._call(job, name):
                due = begins.get_next_fire_time(None, today + timedelta(seconds=1))
            due = min(due, begins.get_next_fire_time(None, today))  # earlier than it was where the clock was set back

    def _stops_before(self, due: float) -> bool:
        """Wait until then. The kernel counts: Python's own waits go by the wall where a platform has no other."""
        if self._ends is None:
            return True
        waiting = select.poll()
        waiting.register(self._ends[0], select.POLLIN)
        while self._running and (left := due - time.monotonic()) > 0:
            waiting.poll(min(left, 3600.0) * 1000 + 1)
        return not self._running

    def _call(self, job: Callable[[], object], name: str) -> bool:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever it is, the job is called again
            self._failed(name, error)
            return False
        return True
