"""A program that runs the slots of a timer, and writes one event for each into the log: URL NAME SLOTS LEASE."""

import random
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from core.rollout.events import ConcernRaised
from core.store import event_log, timers
from core.store.database import Database, connect
from core.store.event_log import Entry
from core.store.tables import timer

TIMER = "trial"
FIRST = datetime(2026, 11, 23, 12, tzinfo=UTC)


STALLS = 0.02  # of the slots are held for longer than their lease before anything is decided


class Fenced(Exception):
    """The slot is somebody else's by now, so what was decided for it is rolled back."""


def run(database: Database, number: int, name: str, lease: timedelta, chance: random.Random) -> None:
    """Claim a slot; decide it, and say so, in one transaction. The command's id is new each time: only the fence
    keeps a slot from being decided twice."""
    slot = FIRST + timedelta(seconds=number)
    token = timers.claim(database, TIMER, slot, datetime.now(UTC), lease)
    if token is None:
        return
    if chance.random() < STALLS:
        time.sleep(2 * lease.total_seconds())
    decided = Entry(stream="surface:all", event=ConcernRaised(notice="n", by=name, handle="@w", text=str(number)))
    at = datetime.now(UTC)
    with suppress(Fenced), database.writing() as connection:
        event_log.append(connection, [decided], command_id=token, actor="cli:trial", at=at, recorded_at=at)
        if not timers.finish(connection, TIMER, slot, token):
            raise Fenced


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
        while done(database) < slots:
            for number in range(slots):
                run(database, (begin + number) % slots, name, lease, chance)


if __name__ == "__main__":
    main()
