"""A program that runs the slots of a timer, and writes one event for each into the log: URL NAME SLOTS LEASE."""

import random
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from core.rollout.state.events import NewEvent
from core.store.coordination import timers
from core.store.database.append_backend import TimerClaim
from core.store.database.connections import Database, connect
from core.store.errors import LeaseLost
from core.store.log.event_log import EventOrigin
from core.store.models import timer
from core.store.transaction import append_transaction
from core.store.world.world_cache import WorldCache
from tests.store.writer import declared

TIMER = "trial"
FIRST = datetime(2026, 11, 23, 12, tzinfo=UTC)


STALLS = 0.02  # of the slots are held for longer than their lease before anything is decided


def run(database: Database, folds: WorldCache, number: int, name: str, lease: timedelta, chance: random.Random) -> None:
    """Claim a slot; decide it, and say so, in one transaction. The command's id is new each time: only the fence
    keeps a slot from being decided twice."""
    slot = FIRST + timedelta(seconds=number)
    token = timers.claim(database, TIMER, slot, datetime.now(UTC), lease)
    if token is None:
        return
    if chance.random() < STALLS:
        time.sleep(2 * lease.total_seconds())
    decided = NewEvent(stream="surface:all", event=declared("all", f"{number}"))
    at = datetime.now(UTC)
    with suppress(LeaseLost), append_transaction(database, folds, token, claim=TimerClaim(TIMER, slot, token)) as log:
        log.append([decided], EventOrigin(command_id=token, actor=f"cli:{name}", at=at, recorded_at=at))


def done(database: Database) -> int:
    """How many slots have run."""
    with database.reading() as connection:
        finished = select(func.count()).where(timer.c.name == TIMER, timer.c.state == "done")
        return connection.execute(finished).scalar_one()


def main() -> None:
    url, name, slots, lease = sys.argv[1], sys.argv[2], int(sys.argv[3]), timedelta(seconds=float(sys.argv[4]))
    begin = sum(name.encode()) * 7_919 % slots
    chance = random.Random(name)
    with connect(url) as database:
        folds = WorldCache(database)
        while done(database) < slots:
            for number in range(slots):
                run(database, folds, (begin + number) % slots, name, lease, chance)


if __name__ == "__main__":
    main()
