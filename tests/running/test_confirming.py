"""A switch is confirmed when nobody can be serving the new version any more, by this process's own clock."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bot.process.flip_confirmation import SILENCE_MARGIN, FlipConfirmer
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.coordination import processes
from core.store.database.connections import Database
from tests.trials.faults import laborer
from tests.trials.faults.test_many_kills import begun

GONE_AFTER = processes.SERVING_SECONDS + SILENCE_MARGIN
REAL = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class House:
    service: RolloutService
    elapsed: float = 0.0
    wall: timedelta = timedelta(0)  # by how much the clocks on the walls were set
    confirming: FlipConfirmer = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.confirming = FlipConfirmer(self.service, elapsed=lambda: self.elapsed)

    def now(self) -> datetime:
        return laborer.now() + self.wall

    def report(self, name: str, position: int) -> None:
        at = self.service._real_time() if self.wall == timedelta(0) else self.now()
        processes.report_alive(self.service.database, name, "web", position, at)

    def back(self) -> int:
        laborer.command(self.service, c.RollBack(reason="wrong answers"), "back")
        return self.service.load_world().position

    def look(self, after: float = 0.0) -> e.FlipConfirmed | e.FlipUnconfirmed | None:
        self.elapsed += after
        self.confirming.confirm_pending(laborer.now())
        told = [r.event for r in self.service.load_history("R-1")]
        return next((x for x in reversed(told) if isinstance(x, e.FlipConfirmed | e.FlipUnconfirmed)), None)


@pytest.fixture
def house(sqlite_database: Database) -> House:
    service = RolloutService(sqlite_database)
    begun(service)
    return House(service)


def test_whoever_reported_lately_is_waited_for_as_long_as_it_may_be_serving_and_then_named(house: House) -> None:
    position = house.service.load_world().position
    for name in ("web-1", "web-2"):
        house.report(name, position)
    house.look()
    back = house.back()
    house.report("web-2", back)
    assert house.look(after=1) is None
    assert house.look(after=GONE_AFTER - 1.1) is None
    house.report("web-2", back)
    confirmed = house.look(after=0.2)
    assert isinstance(confirmed, e.FlipConfirmed)
    assert (confirmed.processes, confirmed.unheard) == (1, ("web-1",))
    assert confirmed.seconds == pytest.approx(house.elapsed), "not when the other one had switched"


def test_one_that_fell_silent_long_before_is_not_waited_for(house: House) -> None:
    house.report("web-1", house.service.load_world().position)
    house.look()
    house.look(after=2 * GONE_AFTER)
    back = house.back()
    house.report("web-2", back)
    confirmed = house.look(after=1)
    assert isinstance(confirmed, e.FlipConfirmed)
    assert confirmed.unheard is None


def test_who_has_just_begun_to_watch_trusts_no_date_of_a_report(house: House) -> None:
    """The clock may have been set since, or be another machine's."""
    house.wall = timedelta(hours=-3)
    house.report("web-1", house.service.load_world().position)
    house.wall = timedelta(0)
    house.report("web-2", house.back())
    assert house.look() is None
    house.restart()
    assert house.look(after=GONE_AFTER - 1) is None
    house.report("web-2", house.service.load_world().position)
    assert isinstance(house.look(after=GONE_AFTER + 1), e.FlipConfirmed | None)
    house.report("web-2", house.service.load_world().position)
    confirmed = house.look(after=0.1)
    assert isinstance(confirmed, e.FlipConfirmed)
    assert confirmed.unheard == ("web-1",)


@pytest.mark.parametrize("set_by", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_clock_that_is_set_in_between_makes_no_seconds(house: House, set_by: timedelta) -> None:
    house.report("web-1", house.service.load_world().position)
    house.look()
    back = house.back()
    house.wall = set_by
    house.report("web-1", back)
    confirmed = house.look(after=2)
    assert isinstance(confirmed, e.FlipConfirmed)
    assert confirmed.seconds == pytest.approx(2)


def test_doubt_comes_after_a_minute_of_real_time(house: House) -> None:
    house.report("web-1", house.service.load_world().position)
    house.look()
    house.back()
    for _ in range(12):
        house.report("web-1", 1)
        assert house.look(after=5) is None
    house.report("web-1", 1)
    doubted = house.look(after=1)
    assert isinstance(doubted, e.FlipUnconfirmed)
    assert doubted.missing == ("web-1",)


def test_of_two_workers_that_count_different_seconds_the_quicker_one_is_heard(house: House) -> None:
    other = House(RolloutService(house.service.database))
    other.service.load_world()
    position = house.service.load_world().position
    for one in (house, other):
        house.report("web-1", position)
        one.look()
    back = house.back()
    other.service.load_world()
    house.wall = timedelta(hours=1)
    house.report("web-1", back)
    assert isinstance(house.look(after=2), e.FlipConfirmed)
    other.look(after=3)
    told = [r.event for r in house.service.load_history("R-1") if isinstance(r.event, e.FlipConfirmed)]
    assert [x.seconds for x in told] == [pytest.approx(2)]
