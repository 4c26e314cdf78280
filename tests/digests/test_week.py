"""Weeks are ISO weeks in the zone of the policy, whatever the clocks do."""

from datetime import UTC, datetime, timedelta

import pytest

from core.digests.week import list_weeks, parse_week, week_of

WEDNESDAY = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_a_week_begins_on_monday_in_its_zone():
    week = week_of(datetime(2026, 11, 22, 23, 30, tzinfo=UTC), "Europe/Berlin")
    assert week.id == "2026-W48", "half past midnight on Monday in Berlin"
    assert week.begins == datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
    assert not week.contains(week.ends)


def test_the_week_in_which_clocks_go_back_has_an_hour_more():
    week = week_of(datetime(2026, 10, 21, tzinfo=UTC), "Europe/Berlin")
    assert week.ends.astimezone(UTC) - week.begins.astimezone(UTC) == timedelta(days=7, hours=1)


def test_the_first_days_of_january_may_belong_to_the_last_year():
    assert week_of(datetime(2027, 1, 2, tzinfo=UTC), "UTC").id == "2026-W53"
    assert week_of(datetime(2027, 1, 2, tzinfo=UTC), "UTC").shift(1).id == "2027-W01"


@pytest.mark.parametrize(
    ("text", "week"),
    [
        ("", "2026-W47"),
        ("last", "2026-W47"),
        ("this", "2026-W48"),
        ("2026-W03", "2026-W03"),
        ("W47", "2026-W47"),
        ("47", "2026-W47"),
        ("50", "2025-W50"),
    ],
)
def test_a_week_is_written_in_several_ways(text, week):
    assert parse_week(text, WEDNESDAY, "UTC").id == week


@pytest.mark.parametrize(
    ("text", "why"), [("soon", "is not a week"), ("2026-W60", "no week"), ("2026-W50", "not begun")]
)
def test_what_is_no_week_is_refused_with_what_to_write(text, why):
    with pytest.raises(ValueError, match=why):
        parse_week(text, WEDNESDAY, "UTC")


def test_weeks_are_listed_oldest_first():
    assert [week.id for week in list_weeks(week_of(WEDNESDAY, "UTC"), 3)] == ["2026-W46", "2026-W47", "2026-W48"]
