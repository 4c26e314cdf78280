"""When a version was named, live and retired, as the events of its surface say."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from core.rollout.state.surface import LiveMoved, SurfaceDeclared, SurfaceEvent, VersionNamed
from core.versions.version_history import LivePeriod, VersionRecord, fold_versions

DAY = timedelta(days=1)
START = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
DECLARED = SurfaceDeclared(
    surface="support-assistant",
    title="",
    owner="@dana",
    version="v42",
    content={"prompt": "old"},
    daily_requests=None,
    notices=(),
    fingerprint="f",
)


def day(number: int) -> datetime:
    return START + number * DAY


def named(version: str, rollout: str) -> VersionNamed:
    return VersionNamed(version=version, content={"prompt": version}, rollout=rollout)


def moved(version: str, rollout: str, at: int) -> LiveMoved:
    return LiveMoved(version=version, rollout=rollout, at=day(at))


def folded(*events: SurfaceEvent) -> Mapping[str, VersionRecord]:
    """One event a day, the first on day 0, all by Dana."""
    return fold_versions((event, day(number), "slack:T1/U1DANA") for number, event in enumerate(events))


def test_the_version_of_the_surface_file_is_live_from_its_first_application():
    assert folded(DECLARED)["v42"].live == (LivePeriod(since=day(0), until=None, by=""),)


def test_a_version_that_is_only_planned_was_never_live():
    record = folded(DECLARED, named("v43", "R-1"))["v43"]
    assert (record.named_at, record.named_by, record.rollouts) == (day(1), "slack:T1/U1DANA", ("R-1",))
    assert not record.live


@pytest.mark.shows("E14")
def test_a_rollout_that_is_done_retires_the_version_before_with_the_date():
    records = folded(DECLARED, named("v43", "R-1"), moved("v43", "R-1", 2))
    assert records["v43"].is_live
    assert (records["v42"].retired_at, records["v42"].retired_by) == (day(2), "R-1")
    assert records["v42"].live == (LivePeriod(since=day(0), until=day(2), by=""),)


def test_a_rollback_after_it_was_done_makes_the_retired_version_live_again():
    records = folded(DECLARED, named("v43", "R-1"), moved("v43", "R-1", 2), moved("v42", "R-1", 5))
    assert records["v42"].is_live
    assert records["v42"].retired_at is None
    assert records["v43"].taken_back_at == day(5)
    assert records["v43"].retired_at is None
    assert [period.since for period in records["v42"].live] == [day(0), day(5)]


def test_a_version_that_is_tried_again_lists_both_rollouts():
    events = (DECLARED, named("v43", "R-1"), moved("v43", "R-1", 2), moved("v42", "R-1", 3), named("v43", "R-2"))
    records = folded(*events, moved("v43", "R-2", 6))
    assert records["v43"].rollouts == ("R-1", "R-2")
    assert records["v43"].is_live
    assert records["v43"].taken_back_at is None
    assert records["v42"].retired_by == "R-2"


def test_a_surface_file_that_is_applied_again_changes_nothing():
    assert folded(DECLARED, named("v43", "R-1"), DECLARED) == folded(DECLARED, named("v43", "R-1"))
