"""Moments are stored in UTC, whatever zone they came in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from core.store.formats.instants import format_instant, parse_instant


def test_the_hour_that_comes_twice_is_two_moments_though_they_compare_equal():
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)
    assert first == second
    assert [format_instant(first), format_instant(second)] == [
        "2026-10-25T00:30:00.000000Z",
        "2026-10-25T01:30:00.000000Z",
    ]
    assert parse_instant(format_instant(second)) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        format_instant(datetime(2026, 10, 25))  # noqa: DTZ001
