"""Runs jobs at intervals of real (monotonic) time, or once a day or a week by the wall clock.

The only file that imports APScheduler, for the triggers that say when a day or a week begins. Its scheduler is not
used: it follows the wall clock, and would run nothing for an hour after the machine's clock was set back by one.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

_WALL_CLOCK_CHECK_SECONDS = 5.0  # seconds of real time between two checks of the wall clock
_INTERVAL_CHECK_SECONDS = 1.0  # seconds of real time between two readings of an interval


class JobScheduler:
    """Runs each job in its own thread, so that no job waits for another and no job overlaps itself.

    Missed intervals are caught up with a single call. A job that raises runs again at its next interval; `on_failure`
    gets its name and the exception.
    """

    def __init__(self, on_failure: Callable[[str, Exception], None]) -> None:
        self._on_failure = on_failure
        self._threads: list[threading.Thread] = []
        self._is_running = False
        self._wake_sockets: tuple[socket.socket, socket.socket] | None = (
            None  # closing the second one wakes every thread that waits on the first
        )

    def run_every(self, interval: timedelta | Callable[[], timedelta], job: Callable[[], object], name: str) -> None:
        """Call `job` every `interval` of real time. An interval that changes is a function, read once a second."""
        read = (lambda: interval) if isinstance(interval, timedelta) else interval
        self._add_thread(lambda: self._run_at_interval(read, job, name), name)

    def run_daily(self, job: Callable[[], object], name: str, now: Callable[[], datetime]) -> None:
        """Call `job` at the start and at the beginning of each UTC day by `now`; retried every 5 s while it raises."""
        self._add_thread(
            lambda: self._run_when_due(job, name, now, lambda: CronTrigger(hour=0, minute=0, timezone=UTC)), name
        )

    def run_weekly(
        self,
        job: Callable[[], object],
        name: str,
        now: Callable[[], datetime],
        zone: Callable[[], str],
        *,
        weekday: int,
        hour: int,
    ) -> None:
        """Call `job` at the start and every week in `zone` on `weekday`, 0 for Monday, at the full `hour`; retried
        every 5 s while it raises."""
        self._add_thread(
            lambda: self._run_when_due(
                job, name, now, lambda: CronTrigger(day_of_week=weekday, hour=hour, minute=0, timezone=zone())
            ),
            name,
        )

    def start(self) -> None:
        """Start the threads of all jobs added so far; later ones start when they are added."""
        self._wake_sockets, self._is_running = socket.socketpair(), True
        for thread in self._threads:
            thread.start()

    def stop(self, within: float) -> None:
        """Start no more jobs, and wait up to `within` seconds for running ones to finish."""
        if self._wake_sockets is None:
            return
        self._is_running = False
        self._wake_sockets[1].close()
        until = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._wake_sockets[0].close()
            self._wake_sockets = None

    def _add_thread(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=f"clock-{name}", daemon=True)
        self._threads.append(thread)
        if self._is_running:
            thread.start()

    def _run_at_interval(self, interval: Callable[[], timedelta], job: Callable[[], object], name: str) -> None:
        """Call the job every `interval` until stopped; missed intervals are skipped."""
        began = time.monotonic()
        while True:
            due = began + interval().total_seconds()
            if self._was_stopped_while_waiting(min(due, time.monotonic() + _INTERVAL_CHECK_SECONDS)):
                return
            if time.monotonic() >= due:
                self._call_job(job, name)
                began = max(due, time.monotonic() - interval().total_seconds())

    def _run_when_due(
        self,
        job: Callable[[], object],
        name: str,
        now: Callable[[], datetime],
        build_trigger: Callable[[], CronTrigger],
    ) -> None:
        """Call the job at the start and whenever the trigger is due by `now`, until stopped."""
        due, wait = now(), 0.0  # what is posted at the start is about what was there before, not seconds later
        while not self._was_stopped_while_waiting(time.monotonic() + wait):
            at, wait = now(), _WALL_CLOCK_CHECK_SECONDS
            following = build_trigger().get_next_fire_time(None, at + timedelta(microseconds=1))
            if at >= due and self._call_job(job, name):
                due = following
            due = min(due, following)  # earlier than before if the clock was set back

    def _was_stopped_while_waiting(self, due: float) -> bool:
        """Wait until `due` (monotonic seconds); True if stopped meanwhile. `poll` never follows the wall clock."""
        if self._wake_sockets is None:
            return True
        waiting = select.poll()
        waiting.register(self._wake_sockets[0], select.POLLIN)
        while self._is_running and (left := due - time.monotonic()) > 0:
            waiting.poll(min(left, 3600.0) * 1000 + 1)
        return not self._is_running

    def _call_job(self, job: Callable[[], object], name: str) -> bool:
        """Run the job once; False if it raised, which `on_failure` was told."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever it is, the job is called again
            self._on_failure(name, error)
            return False
        return True
