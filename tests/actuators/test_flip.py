"""A rollback of a driven rollout counts as confirmed when the flag system was read back at nobody, too."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.process.flip_confirmation import FlipConfirmer
from core.rollout.state import events as e
from core.store.coordination import processes
from tests.actuators import stand_in


@pytest.fixture
def confirm(house):
    """One process serves the newest position; some real seconds after it was first, the switch is looked at."""
    elapsed = [0.0]
    confirming = FlipConfirmer(house.service, elapsed=lambda: elapsed[0])

    def look(*, after: float = 0.0):
        real = datetime.now(UTC)
        elapsed[0] = after
        later = real + timedelta(seconds=after)
        position = house.service.load_world().position
        processes.report_alive(house.service.database, "web-1", "web", position, real)
        processes.report_alive(house.service.database, "web-1", "web", position, later)
        confirming.confirm_pending(house.at)
        return house.happened(e.FlipConfirmed, e.FlipUnconfirmed)

    return look


def test_it_is_not_confirmed_before_the_flag_system_was_read_back(house, confirm):
    house.begin().drive()
    house.back()
    assert confirm() == []
    house.drive()
    (confirmed,) = confirm()
    assert isinstance(confirmed, e.FlipConfirmed)
    assert confirmed.processes == 1
    assert confirmed.seconds >= house.reading.seconds


def test_what_was_read_before_the_rollback_does_not_confirm_it(house, confirm):
    house.unleash.set("0")
    house.begin()
    house.back()
    assert house.reading is None
    assert confirm() == []


def test_after_a_minute_the_flag_system_is_named(house, confirm):
    house.begin().drive()
    house.unleash.fail_next("GET", stand_in.status(503))
    house.back().drive()
    assert confirm(after=0) == []
    assert confirm(after=59) == []
    (doubted,) = confirm(after=61)
    assert isinstance(doubted, e.FlipUnconfirmed)
    assert doubted.missing == ("new-prompt in Unleash (production)",)
    house.until_quiet()
    assert isinstance(confirm(after=62)[-1], e.FlipConfirmed), "late is better than never"


def test_who_else_is_missing_is_named_beside_it(house):
    house.begin().back()
    elapsed = [0.0]
    confirming = FlipConfirmer(house.service, elapsed=lambda: elapsed[0])
    for elapsed[0] in (0.0, 61.0):
        confirming.confirm_pending(house.at)
    (doubted,) = house.happened(e.FlipUnconfirmed)
    assert doubted.missing == ("no process that serves versions is alive", "new-prompt in Unleash (production)")
