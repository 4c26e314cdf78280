"""Takes outbox rows under a short lease, renews it before each call, and reschedules or dead-letters failures."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.outbound.errors import RetryLater
from bot.process.outage import format_reason
from core.store.coordination import outbox
from core.store.coordination.outbox import OutboxRow
from core.store.database.connections import Database

log = structlog.get_logger()

# Longer than one call, and renewed before each: a killed process blocks its row no longer than this.
LEASE = timedelta(seconds=15)
MAX_BACKOFF = 300.0  # seconds


class LeaseTakenOver(Exception):
    """The lease ran out and another worker has taken this row."""


class OutboxConsumer:
    """Consumes rows of one kind. `now` is the rollouts' clock, `speed` its speed, `random_fraction` gives numbers in
    [0, 1)."""

    def __init__(
        self,
        database: Database,
        kind: str,
        now: Callable[[], datetime],
        *,
        speed: float,
        random_fraction: Callable[[], float],
        max_backoff: float = MAX_BACKOFF,
    ) -> None:
        self._database = database
        self._kind = kind
        self.now = now
        self._speed = speed
        self._random_fraction = random_fraction
        self._max_backoff = max_backoff

    def count_seconds_until(self, moment: datetime) -> float:
        """Real seconds until a moment of the rollouts' clock."""
        return (moment - self.now()).total_seconds() / self._speed

    def compute_due(self, seconds: float) -> datetime:
        """The moment of the rollouts' clock that comes in so many seconds of real time."""
        return self.now() + timedelta(seconds=seconds * self._speed)

    def claim(self) -> OutboxRow | None:
        """Claim the next due row under a lease for one call; None if nothing is due."""
        return outbox.claim(self._database, self.now(), kind=self._kind, lease=LEASE * self._speed)

    def renew_lease(self, row: OutboxRow) -> None:
        """Renew the lease, as before every call; raises LeaseTakenOver if another worker has the row."""
        with self._database.writing_outside_log() as connection:
            renewed = outbox.renew_lease(connection, row, self.now() + LEASE * self._speed)
        if not renewed:
            raise LeaseTakenOver

    def reschedule(self, row: OutboxRow, failure: RetryLater) -> bool:
        """Make the row due again after `failure.seconds`, or after an exponential backoff with jitter. False if another
        worker has the row by now."""
        backoff = min(self._max_backoff, 2.0 ** min(row.attempt, 10)) * (0.5 + self._random_fraction() / 2)
        seconds = failure.seconds if failure.seconds is not None else backoff
        log.warning("not delivered yet", outbox=row.id, attempt=row.attempt, why=str(failure), again_in=seconds)
        until = self.compute_due(seconds)
        with self._database.writing_outside_log() as connection:
            return outbox.reschedule(connection, row, until, str(failure), failure.counts_as_attempt)

    def reschedule_after_outage(self, row: OutboxRow, error: BaseException) -> bool:
        """Make the row due again after an error of the database, which is raised again while the database is away: the
        job then fails, and the outage is logged for the whole process."""
        return self.reschedule(row, RetryLater(f"the database: {format_reason(error)}"))

    def finish(self, row: OutboxRow, response: Mapping[str, Any]) -> bool:
        """Mark the row as done, with its outcome. False if another worker has it by now."""
        with self._database.writing_outside_log() as connection:
            return outbox.finish(connection, row, response)

    def dead_letter(self, row: OutboxRow, error: str) -> bool:
        """Set the row aside for a human, so that later rows go on. False if another worker has the row by now."""
        with self._database.writing_outside_log() as connection:
            return outbox.dead_letter(connection, row, error)
