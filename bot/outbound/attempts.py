"""How a row of the outbox is tried: under a short lease, renewed before each call, and put off where it fails."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from core.store.coordination import outbox
from core.store.coordination.outbox import Row
from core.store.database.connections import Database

log = structlog.get_logger()

LEASE = timedelta(seconds=15)  # longer than one call; renewed before each, so that a killed process keeps it no longer
LONGEST_WAIT = 300.0  # seconds between two tries


class Later(Exception):
    """Not now. `seconds` are real ones; `counts` whether it was a try that failed, as opposed to "slow down"."""

    def __init__(self, why: str, *, seconds: float | None = None, counts: bool = True) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.counts = counts


class Never(Exception):
    """It will not be taken, however often it is sent."""


class TakenOver(Exception):
    """The lease ran out, and somebody else sends this row now."""


class Attempts:
    """Of the rows of one kind. `now` is the rollouts' clock, `speed` its pace, `chance` gives numbers from 0 to 1."""

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
        """The next row that is due, held for as long as one call may take; None where nothing is."""
        return outbox.claim(self._database, self._now(), kind=self._kind, lease=LEASE * self._speed)

    def hold(self, row: Row) -> None:
        """Before every call: go on holding the row, or `TakenOver`."""
        with self._database.plain_writing() as connection:
            mine = outbox.renew(connection, row, self._now() + LEASE * self._speed)
        if not mine:
            raise TakenOver

    def put_off(self, row: Row, later: Later) -> bool:
        """Try again after the time that was asked for, else after one that doubles with every try. False if the row is
        somebody else's by now."""
        backoff = min(self._longest_wait, 2.0 ** min(row.attempt, 10)) * (0.5 + self._chance() / 2)
        seconds = later.seconds if later.seconds is not None else backoff
        log.warning("not delivered yet", outbox=row.id, attempt=row.attempt, why=str(later), again_in=seconds)
        until = self._now() + timedelta(seconds=seconds * self._speed)
        with self._database.plain_writing() as connection:
            return outbox.postpone(connection, row, until, str(later), later.counts)

    def bury(self, row: Row, error: str) -> bool:
        """Set aside for a human, so that what is behind it goes on. False if the row is somebody else's by now."""
        with self._database.plain_writing() as connection:
            return outbox.bury(connection, row, error)
