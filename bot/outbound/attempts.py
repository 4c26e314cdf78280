"""Takes outbox rows under a short lease, renews it before each call, and reschedules or dead-letters failures."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from core.store.coordination import outbox
from core.store.coordination.outbox import Row
from core.store.database.connections import Database

log = structlog.get_logger()

LEASE = timedelta(
    seconds=15
)  # longer than one call, and renewed before each; so a killed process blocks its row no longer than this
LONGEST_WAIT = 300.0  # seconds


class Later(Exception):
    """Try again later: after `seconds` of real time, or after a backoff. `counts_as_attempt` is False for rate
    limits."""

    def __init__(self, why: str, *, seconds: float | None = None, counts: bool = True) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.counts = counts


class Never(Exception):
    """It can never succeed, however often it is tried."""


class TakenOver(Exception):
    """The lease ran out and another worker has taken this row."""


class Attempts:
    """Consumes rows of one kind. `now` is the rollouts' clock, `speed` its speed, `random_fraction` gives numbers in
    [0, 1)."""

    def __init__(
        self,
        database: Database,
        kind: str,
        now: Callable[[], datetime],
        *,
        speed: float = 1.0,
        chance: Callable[[], float] = random.random,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._database = database
        self._kind = kind
        self._now = now
        self._speed = speed
        self._chance = chance
        self._longest_wait = longest_wait

    def claim(self) -> Row | None:
        """Claim the next due row under a lease for one call; None if nothing is due."""
        return outbox.claim(self._database, self._now(), kind=self._kind, lease=LEASE * self._speed)

    def hold(self, row: Row) -> None:
        """Renew the lease, as before every call; raises LeaseTakenOver if another worker has the row."""
        with self._database.plain_writing() as connection:
            mine = outbox.renew(connection, row, self._now() + LEASE * self._speed)
        if not mine:
            raise TakenOver

    def put_off(self, row: Row, later: Later) -> bool:
        """Make the row due again after `failure.seconds`, or after an exponential backoff with jitter. False if another
        worker has the row by now."""
        backoff = min(self._longest_wait, 2.0 ** min(row.attempt, 10)) * (0.5 + self._chance() / 2)
        seconds = later.seconds if later.seconds is not None else backoff
        log.warning("not delivered yet", outbox=row.id, attempt=row.attempt, why=str(later), again_in=seconds)
        until = self._now() + timedelta(seconds=seconds * self._speed)
        with self._database.plain_writing() as connection:
            return outbox.postpone(connection, row, until, str(later), later.counts)

    def bury(self, row: Row, error: str) -> bool:
        """Set the row aside for a human, so that later rows go on. False if another worker has the row by now."""
        with self._database.plain_writing() as connection:
            return outbox.bury(connection, row, error)
