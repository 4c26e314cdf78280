"""Times as people type them, in the workspace's zone."""

from datetime import UTC, datetime

import pytest

from bot.commands.parsing import typed_times
from core.rollout.context import Actor
from core.rollout.refusal import Refused

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # 10:00 in Berlin


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Tue 10:00", datetime(2026, 11, 24, 9, 0, tzinfo=UTC)),
        ("tuesday 10:00", datetime(2026, 11, 24, 9, 0, tzinfo=UTC)),
        ("Mon 09:59", datetime(2026, 11, 30, 8, 59, tzinfo=UTC)),
        ("10:01", datetime(2026, 11, 23, 9, 1, tzinfo=UTC)),
        ("9:30", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("2026-12-01 08:00", datetime(2026, 12, 1, 7, 0, tzinfo=UTC)),
        ("2026-12-01T08:00:00+00:00", datetime(2026, 12, 1, 8, 0, tzinfo=UTC)),
    ],
)
def test_the_next_such_moment_is_meant(typed: str, meant: datetime) -> None:
    assert typed_times.parse_moment(typed, MONDAY, "Europe/Berlin") == meant


@pytest.mark.parametrize("typed", ["soon", "25:00", "Xyz 10:00", "10:75", ""])
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(Refused, match="is not a time"):
        typed_times.parse_moment(typed, MONDAY, "Europe/Berlin")


def test_the_past_is_refused() -> None:
    with pytest.raises(Refused, match="in the past"):
        typed_times.parse_moment("2026-11-01 10:00", MONDAY, "Europe/Berlin")


def test_an_hour_that_the_clocks_skip_is_refused() -> None:
    saturday = datetime(2027, 3, 27, 12, 0, tzinfo=UTC)
    for typed in ("2027-03-28 02:30", "02:30", "Sun 02:30"):
        with pytest.raises(Refused, match="2027-03-28 02:30 does not exist in Europe/Berlin") as refused:
            typed_times.parse_moment(typed, saturday, "Europe/Berlin")
        assert "2027-03-28 03:30" in refused.value.hint


@pytest.mark.parametrize(
    ("now", "meant"),
    [
        (datetime(2026, 10, 25, 0, 10, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # 02:10, the first time
        (datetime(2026, 10, 25, 0, 40, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # 02:40, the first time
        (datetime(2026, 10, 25, 1, 10, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # 02:10, again
        (datetime(2026, 10, 25, 1, 40, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)),  # 02:40, again
    ],
)
def test_of_an_hour_that_comes_twice_the_next_one_is_meant(now: datetime, meant: datetime) -> None:
    assert typed_times.parse_moment("02:30", now, "Europe/Berlin") == meant
    if meant.day == 25:
        assert typed_times.parse_moment("2026-10-25 02:30", now, "Europe/Berlin") == meant


def test_a_person_s_times_are_in_their_own_zone_where_slack_knows_it() -> None:
    ana = Actor(id="slack:T1/U1", zone="America/New_York")
    assert ana.find_zone("UTC") == "America/New_York"
    for unknown in ("", "Atlantis/Old_Town", "../etc/passwd"):
        assert Actor(id="slack:T1/U1", zone=unknown).find_zone("UTC") == "UTC"
