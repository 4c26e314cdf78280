"""Runs jobs at intervals of real (monotonic) time, or once a day by the wall clock.

The only file that imports APScheduler, for the trigger that says when a day begins. Its scheduler is not used: it
follows the wall clock, and would run nothing for an hour after the machine's clock was set back by one.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

_ASK_THE_WALL = 5.0  # seconds of real time between two checks of the wall clock


class Clock:
    """Runs each job in its own thread, so that no job waits for another and no job overlaps itself.

    Missed intervals are caught up with a single call. A job that raises runs again at its next interval; `on_failure`
    gets its name and the exception.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self._failed = failed
        self._threads: list[threading.Thread] = []
        self._running = False
        self._ends: tuple[socket.socket, socket.socket] | None = (
            None  # closing the second one wakes every thread that waits on the first
        )

    def every(self, interval: timedelta, job: Callable[[], object], name: str) -> None:
        """Call `job` every `interval` of real time."""
        self._add(lambda: self._repeat(interval.total_seconds(), job, name), name)

    def daily(self, job: Callable[[], object], name: str, now: Callable[[], datetime]) -> None:
        """Call `job` at the start and at the beginning of each UTC day by `now`; retried every 5 s while it raises."""
        self._add(lambda: self._each_day(job, name, now), name)

    def start(self) -> None:
        """Start the threads of all jobs added so far; later ones start when they are added."""
        self._ends, self._running = socket.socketpair(), True
        for thread in self._threads:
            thread.start()

    def stop(self, within: float) -> None:
        """Start no more jobs, and wait up to `within` seconds for running ones to finish."""
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
        """Call the job every `interval` seconds until stopped; missed intervals are skipped."""
        due = time.monotonic() + interval
        while not self._stops_before(due):
            self._call(job, name)
            due = max(due + interval, time.monotonic())

    def _each_day(self, job: Callable[[], object], name: str, now: Callable[[], datetime]) -> None:
        """Call the job at the start and at each UTC midnight by `now`, until stopped."""
        begins = CronTrigger(hour=0, minute=0, timezone=UTC)
        due = now()
        while not self._stops_before(time.monotonic() + _ASK_THE_WALL):
            today = now()
            if today >= due and self._call(job, name):
                due = begins.get_next_fire_time(None, today + timedelta(seconds=1))
            due = min(due, begins.get_next_fire_time(None, today))  # earlier than before if the clock was set back

    def _stops_before(self, due: float) -> bool:
        """Wait until `due` (monotonic seconds); True if stopped meanwhile. `poll` never follows the wall clock."""
        if self._ends is None:
            return True
        waiting = select.poll()
        waiting.register(self._ends[0], select.POLLIN)
        while self._running and (left := due - time.monotonic()) > 0:
            waiting.poll(min(left, 3600.0) * 1000 + 1)
        return not self._running

    def _call(self, job: Callable[[], object], name: str) -> bool:
        """Run the job once; False if it raised, which `on_failure` was told."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever it is, the job is called again
            self._failed(name, error)
            return False
        return True
