"""What is deleted after a while, and what never is."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select

from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.service import Service
from core.store import looks, retention
from core.store.database import Database
from core.store.tables import cell, commands, events, exposure, exposure_count, look, outbox
from core.store.verify import verify
from tests.service.conftest import Desk
from tests.store.test_checkpoints import roll_out_and_back

LATER = timedelta(days=100)
OF_A_ROLLOUT = (look, cell, exposure, exposure_count)


@pytest.fixture
def desk(database: Database) -> Desk:
    """Three rollouts: two were taken back a hundred days ago, one runs; each left looks and sums behind."""
    desk = Desk(Service(database)).start()
    desk.say(c.RollBack(reason="odd"))
    roll_out_and_back(desk, 1)
    with pytest.raises(Refused):
        desk.say(c.Pause(reason="too late"), rollout="R-1", command_id="refused-long-ago")
    desk.at += LATER
    roll_out_and_back(desk, 2)
    for rollout in ("R-1", "R-2", "R-3"):
        leave_behind(database, rollout, desk)
    return desk


def leave_behind(database: Database, rollout: str, desk: Desk) -> None:
    with database.plain_writing() as connection:
        looks.save(connection, rollout, 1, desk.at, "{}", "{}", "hash")
        connection.execute(
            insert(cell).values(rollout=rollout, stage=0, arm="canary", segment="", metric="requests", buckets=b"")
        )
        connection.execute(insert(exposure).values(rollout=rollout, stage=0, unit_hash=7, arm="canary"))
        connection.execute(insert(exposure_count).values(rollout=rollout, stage=0, arm="canary", units=1))


def rollouts_in(database: Database) -> Iterator[set[str]]:
    with database.reading() as connection:
        for table in OF_A_ROLLOUT:
            yield set(connection.execute(select(table.c.rollout)).scalars())


def delete_old(desk: Desk, kept: tuple[str, ...] = ()) -> retention.Deleted:
    with desk.service.database.plain_writing() as connection:
        return retention.delete_old(connection, desk.at - retention.KEPT, kept)


def test_how_verdicts_of_old_rollouts_came_about_goes_and_nothing_of_others(desk):
    assert delete_old(desk).rollouts == 2
    assert list(rollouts_in(desk.service.database)) == [{"R-3"}] * 4
    assert delete_old(desk).rollouts == 0


def test_what_is_still_compared_with_stays(desk):
    assert delete_old(desk, kept=("R-1",)).rollouts == 1
    assert list(rollouts_in(desk.service.database)) == [{"R-1", "R-3"}] * 4


def test_what_was_said_goes_and_what_waits_stays_and_so_does_the_newest_row(desk):
    database = desk.service.database
    with database.plain_writing() as connection:
        connection.execute(outbox.update().where(outbox.c.id > 1).values(state="done"))
        ids = list(connection.execute(select(outbox.c.id).order_by(outbox.c.id)).scalars())
        old = connection.execute(
            select(func.count()).where(outbox.c.due_at < desk.at - retention.KEPT, outbox.c.id > 1)
        ).scalar_one()
    assert delete_old(desk).messages == old > 5
    with database.reading() as connection:
        left = list(connection.execute(select(outbox.c.id).order_by(outbox.c.id)).scalars())
    assert left[0] == 1, "it was never said"
    assert left[-1] == ids[-1]


def test_answers_to_refused_commands_go_and_those_with_events_stay(desk):
    database = desk.service.database
    assert delete_old(desk).answers == 1
    with database.reading() as connection:
        assert connection.execute(select(commands).where(commands.c.command_id == "refused-long-ago")).first() is None
        events_of = set(connection.execute(select(events.c.command_id)).scalars())
        assert events_of <= set(connection.execute(select(commands.c.command_id)).scalars())


def test_the_log_is_intact_afterwards(desk):
    delete_old(desk)
    with desk.service.database.reading() as connection:
        assert verify(connection).problems == ()


def test_only_so_much_goes_at_a_time(desk, monkeypatch):
    monkeypatch.setattr(retention, "ROLLOUTS", 1)
    assert [delete_old(desk).rollouts for _ in range(3)] == [1, 1, 0]
