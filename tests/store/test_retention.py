"""What is deleted after a while, and what never is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from bot.jobs import upkeep
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import Database, connect
from core.store.log import event_log
from core.store.maintenance import retention, size
from core.store.models import cell, commands, events, exposure, exposure_count, look, outbox
from core.store.observations import looks
from tests.service.conftest import Desk
from tests.store.test_checkpoints import roll_out_and_back

KEPT, LATER = timedelta(days=90), timedelta(days=100)
NOW = datetime.now(UTC)
OF_A_ROLLOUT = (look, cell, exposure, exposure_count)


@pytest.fixture
def desk(database: Database) -> Desk:
    """Three rollouts: two were taken back a hundred days ago, one runs; each left looks and sums behind."""
    desk = Desk(RolloutService(database, real_time=lambda: NOW - LATER))
    desk.at = NOW - LATER
    desk.start()
    desk.say(c.RollBack(reason="odd"))
    roll_out_and_back(desk, 1)
    with pytest.raises(Refused):
        desk.say(c.Pause(reason="too late"), rollout="R-1", command_id="refused-long-ago")
    desk.service = RolloutService(database)
    desk.at = NOW
    roll_out_and_back(desk, 2)
    for rollout in ("R-1", "R-2", "R-3"):
        leave_behind(database, rollout, desk)
    return desk


def leave_behind(database: Database, rollout: str, desk: Desk) -> None:
    with database.writing_outside_log() as connection:
        looks.save_look(connection, rollout, 1, desk.at, "{}", "{}", "hash")
        connection.execute(
            insert(cell).values(rollout=rollout, stage=0, arm="canary", segment="", metric="requests", buckets=b"")
        )
        connection.execute(insert(exposure).values(rollout=rollout, stage=0, unit_hash=7, arm="canary"))
        connection.execute(insert(exposure_count).values(rollout=rollout, stage=0, arm="canary", units=1))


def rollouts_in(database: Database) -> Iterator[set[str]]:
    with database.reading() as connection:
        for table in OF_A_ROLLOUT:
            yield set(connection.execute(select(table.c.rollout)).scalars())


def delete_old(desk: Desk, kept: tuple[str, ...] = ()) -> retention.DeletedCounts:
    with desk.service.database.writing_outside_log() as connection:
        return retention.delete_old(connection, NOW - KEPT, kept)


def test_how_verdicts_of_old_rollouts_came_about_goes_and_nothing_of_others(desk):
    assert delete_old(desk).rollouts == 2
    assert list(rollouts_in(desk.service.database)) == [{"R-3"}] * 4
    assert delete_old(desk).rollouts == 0


def test_what_is_still_compared_with_stays(desk):
    assert delete_old(desk, kept=("R-1",)).rollouts == 1
    assert list(rollouts_in(desk.service.database)) == [{"R-1", "R-3"}] * 4


def test_what_was_said_goes_and_what_waits_stays_and_so_does_the_newest_row(desk):
    database = desk.service.database
    with database.writing_outside_log() as connection:
        connection.execute(outbox.update().where(outbox.c.id > 1).values(state="done"))
        ids = list(connection.execute(select(outbox.c.id).order_by(outbox.c.id)).scalars())
        old = connection.execute(
            select(func.count())
            .select_from(outbox.join(events, events.c.position == outbox.c.position))
            .where(events.c.recorded_at < NOW - KEPT, outbox.c.id > 1)
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
    monkeypatch.setattr(retention, "MAX_ROLLOUTS", 1)
    assert [delete_old(desk).rollouts for _ in range(3)] == [1, 1, 0]


def test_a_worker_deletes_it_and_keeps_what_is_in_memory(desk):
    database = desk.service.database
    upkeep.delete_old_data(desk.service, KEPT)
    assert list(rollouts_in(database)) == [{"R-1", "R-2", "R-3"}] * 4, "the last eight of a surface are still in memory"
    with database.reading() as connection:
        assert connection.execute(select(commands).where(commands.c.command_id == "refused-long-ago")).first() is None


def test_a_look_that_showed_nothing_new_is_counted_and_not_kept(desk):
    database = desk.service.database
    with database.writing_outside_log() as connection:
        assert looks.count_repeat(connection, "R-1", 1, desk.at + LATER)
        assert not looks.count_repeat(connection, "R-1", 7, desk.at), "another look was made meanwhile"
        assert looks.load_count_and_time(connection, "R-1") == (2, desk.at + LATER)
        looks.save_look(connection, "R-1", 2, desk.at + 2 * LATER, "{}", "{}", "hash")
        assert looks.load_count_and_time(connection, "R-1") == (3, desk.at + 2 * LATER)
        assert len(looks.load_range(connection, "R-1", 1, 9)) == 2


def test_the_size_and_its_growth_are_told(desk):
    with desk.service.database.reading() as connection:
        newest, _ = event_log.read_head(connection)
        found = size.measure_size(connection, datetime.now(UTC))
        later = size.measure_size(connection, datetime.now(UTC) + timedelta(days=200))
    assert found.events == newest
    assert 0 < found.events_a_day < newest, "the newest of three rollouts"
    assert found.bytes > found.bytes_a_day > 1_000
    assert (later.events_a_day, later.bytes_a_day) == (0, 0)


def test_what_a_new_database_takes_is_no_growth(database: Database) -> None:
    with database.reading() as connection:
        before = size.measure_size(connection, NOW)
    Desk(RolloutService(database)).start()
    with database.reading() as connection:
        after = size.measure_size(connection, datetime.now(UTC))
    assert before.row_bytes < before.bytes / 4
    assert 0 < after.bytes_a_day < after.bytes / 2


def test_postgres_deletes_nothing_younger_than_a_week_for_whoever_asks(new_postgres):
    with (
        connect(new_postgres()) as database,
        database.writing_outside_log() as connection,
        pytest.raises(DBAPIError, match="younger than seven days"),
    ):
        retention.delete_old(connection, datetime.now(UTC) - timedelta(days=6), ())
