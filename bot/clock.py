"""When things are done: the only file that knows APScheduler, which is a clock here and nothing else."""

import threading
from collections.abc import Callable
from datetime import timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler


class Clock:
    """Calls each job at its interval, never two of one job at once; a late one is made up for once, not dropped."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(8)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def every(self, interval: timedelta, job: Callable[[], object], name: str) -> None:
        """Call `job` every `interval` of real time."""
        self._scheduler.add_job(job, "interval", seconds=interval.total_seconds(), id=name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self, within: float) -> None:
        """Start no more jobs, and give those under way `within` seconds to finish."""
        if not self._scheduler.running:
            return
        finishing = threading.Thread(target=self._scheduler.shutdown, name="clock-stop", daemon=True)
        finishing.start()
        finishing.join(within)
