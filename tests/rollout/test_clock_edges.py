"""Each rule of the clock at its edge: the second before it nothing happens, and on it, it does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.rollout import commands as c
from core.rollout.plans.plan import AdvanceMode, NoticePlan
from core.rollout.plans.policy import DEFAULT_POLICY, Freeze, QuietHours
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState

SECOND = timedelta(seconds=1)
BERLIN = "Europe/Berlin"
SPRING = datetime(2027, 3, 28, 1, 0, tzinfo=UTC)  # Sunday: 02:00 becomes 03:00
AUTUMN = datetime(2027, 10, 31, 1, 0, tzinfo=UTC)  # Sunday: 03:00 becomes 02:00
LEAP_DAY = date(2028, 2, 29)


def noticed(hours: int) -> tuple[NoticePlan, ...]:
    return (NoticePlan(channel="#support", audience="support", before=timedelta(hours=hours)),)


@pytest.mark.shows("E78")
@pytest.mark.parametrize(
    "begins",
    [
        datetime(2026, 11, 23, 9, tzinfo=UTC),
        SPRING - timedelta(hours=3),
        AUTUMN - timedelta(hours=3),
        datetime(2028, 2, 28, 20, tzinfo=UTC),
    ],
    ids=["ordinary", "spring", "autumn", "leap"],
)
@pytest.mark.parametrize("hours", [1, 24])
def test_a_lead_time_is_over_after_so_many_hours_and_not_a_second_before(
    planned: Callable[..., Any], cast: Any, words: Any, begins: datetime, hours: int
) -> None:
    story = planned(
        words.story(at=begins, policy=replace(DEFAULT_POLICY, timezone=BERLIN)), notices=noticed(hours)
    ).when(c.Approve(), by=cast["lee"])
    story.later(hours=hours, minutes=-1).refuses(c.Start(), "needs")
    story.later(seconds=59).refuses(c.Start(), "needs")
    story.later(seconds=1).when(c.Start()).then(e.Started, e.StageEntered)
    assert story.at - begins == timedelta(hours=hours)


@pytest.mark.parametrize("changes_at", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_a_hold_is_as_long_in_the_night_in_which_the_clocks_change(
    running: Callable[..., Any], words: Any, changes_at: datetime
) -> None:
    story = running(words.story(at=changes_at - timedelta(hours=3), policy=replace(DEFAULT_POLICY, timezone=BERLIN)))
    entered = story.at
    story.later(hours=6, seconds=-1).tick(words.look())
    assert story.now.percent == 5
    story.later(seconds=1).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)
    assert story.at - entered == timedelta(hours=6)
    local = [one.astimezone(ZoneInfo(BERLIN)) for one in (entered, story.at)]
    assert (local[1].hour - local[0].hour) % 24 == (7 if changes_at == SPRING else 5), "by the clock on the wall"


def test_a_person_is_asked_when_the_longest_hold_is_over_and_not_a_second_before(
    running: Callable[..., Any], words: Any
) -> None:
    story = running().later(hours=24, seconds=-1).tick(words.look(requests=10))
    assert story.now.state is RolloutState.RUNNING
    story.later(seconds=1).tick(words.look(requests=10))
    assert story.now.hold.key == "undecided:canary"


@pytest.mark.shows("E11")
@pytest.mark.parametrize(
    ("after", "requests", "comes"),
    [
        (timedelta(minutes=59), 1_000_000, "stays"),
        (timedelta(hours=1) - SECOND, 1_000_000, "stays"),
        (timedelta(hours=1), 1499, "stays"),
        (timedelta(hours=1), 1500, "grows"),
        (timedelta(hours=24) - SECOND, 1499, "stays"),
        (timedelta(hours=24) - SECOND, 1500, "grows"),
        (timedelta(hours=24), 1499, "asks"),
        (timedelta(hours=24), 1500, "grows"),
    ],
)
def test_a_stage_of_1_to_24_hours_grows_with_its_hold_and_its_sample_and_asks_at_its_longest(
    running: Callable[..., Any], words: Any, after: timedelta, requests: int, comes: str
) -> None:
    canary = replace(words.stages[0], min_hold=timedelta(hours=1), max_hold=timedelta(hours=24), min_samples=1500)
    story = running(stages=(canary, *words.stages[1:]))
    story.at += after
    story.tick(words.look(requests=requests))
    expected = {
        "stays": (RolloutState.RUNNING, 5),
        "grows": (RolloutState.RUNNING, 25),
        "asks": (RolloutState.ON_HOLD, 5),
    }
    assert (story.now.state, story.now.percent) == expected[comes]


@pytest.mark.shows("E11")
def test_what_is_undecided_grows_by_nobody_but_a_person_however_long_it_takes_and_however_much_comes(
    running: Callable[..., Any], words: Any
) -> None:
    story = running().later(hours=24).tick(words.look(requests=1499))
    for day in range(30):
        story.later(days=1).tick(words.look(requests=1500 if day > 20 else 1499))
        assert (story.now.state, story.now.percent) == (RolloutState.ON_HOLD, 5)
    story.when(c.Resume(reason="enough has come by now")).tick(words.look(requests=1500))
    assert story.now.percent == 25


@pytest.mark.parametrize("changes_at", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_quiet_hours_end_at_eight_on_the_wall_after_the_clocks_changed(
    running: Callable[..., Any], words: Any, changes_at: datetime
) -> None:
    quiet = replace(DEFAULT_POLICY, timezone=BERLIN, quiet=QuietHours(start=time(20), end=time(8)))
    ends = datetime(changes_at.year, changes_at.month, changes_at.day, 8, tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)
    story = running(words.story(at=ends - timedelta(hours=13), policy=quiet))
    story.at = ends - SECOND
    story.tick(words.look())
    assert story.now.percent == 5
    story.later(seconds=1).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)


def test_a_freeze_of_the_leap_day_lasts_that_day(running: Callable[..., Any], words: Any) -> None:
    frozen = replace(DEFAULT_POLICY, freezes=(Freeze(name="leap day", from_date=LEAP_DAY, to_date=date(2028, 3, 1)),))
    story = running(words.story(at=datetime(2028, 2, 28, 16, 0, tzinfo=UTC), policy=frozen))
    assert frozen.find_freeze(datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC)) is None
    story.at = datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)
    story.tick(words.look())
    assert story.now.percent == 5
    story.later(seconds=1).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)


def test_a_freeze_that_begins_during_a_ramp_keeps_its_share_and_every_way_back(
    running: Callable[..., Any], words: Any
) -> None:
    story = running().later(hours=6).tick(words.look())
    assert story.now.current_stage.name == "ramp 25%"
    begins, ends = story.at + timedelta(hours=11), story.at + timedelta(hours=35)
    story.policy = replace(
        DEFAULT_POLICY,
        freezes=(
            Freeze(
                name="sale",
                from_weekday=begins.weekday(),
                from_time=begins.time(),
                to_weekday=ends.weekday(),
                to_time=ends.time(),
            ),
        ),
    )
    story.at = begins - SECOND
    story.tick(words.look())
    story.at = begins + timedelta(hours=1)  # its hold is over
    story.tick(words.look())
    assert story.now.percent == 25
    story.at = ends - SECOND
    story.tick(words.look())
    assert story.now.percent == 25
    thawed = replace(story)
    thawed.later(seconds=1).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)
    assert thawed.now.percent == 100
    story.tick(words.look(words.harm))
    assert story.now.state is RolloutState.ROLLED_BACK


@pytest.mark.parametrize("late", [timedelta(0), SECOND])
def test_a_request_is_open_for_its_24_hours(running: Callable[..., Any], words: Any, late: timedelta) -> None:
    story = running(
        stages=(*words.stages[:1], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    )
    story.later(hours=6).tick(words.look())
    assert story.now.state is RolloutState.WAITING
    story.at += timedelta(hours=24) + late
    story.tick(words.look())
    assert story.now.state is (RolloutState.ON_HOLD if late else RolloutState.WAITING)


def test_a_request_that_would_expire_in_a_freeze_stays_open_for_a_day_after_it(
    running: Callable[..., Any], words: Any, cast: Any
) -> None:
    weekend = Freeze(name="weekend", from_weekday=4, from_time=time(16), to_weekday=0, to_time=time(8))
    friday = datetime(2026, 11, 27, 7, 50, tzinfo=UTC)  # its stage is over at 15:50 in Berlin
    story = running(
        words.story(at=friday, policy=replace(DEFAULT_POLICY, timezone=BERLIN, freezes=(weekend,))),
        stages=(*words.stages[:1], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:]),
    )
    story.later(hours=6).tick(words.look())
    assert story.now.state is RolloutState.WAITING
    tuesday = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
    assert story.now.request.expires_at == tuesday
    for at in (datetime(2026, 11, 28, 15, 0, tzinfo=UTC), datetime(2026, 11, 30, 7, 0, tzinfo=UTC), tuesday):
        story.at = at
        story.tick(words.look())
        assert story.now.state is RolloutState.WAITING
    story.later(seconds=1).tick(words.look())
    assert story.now.state is RolloutState.ON_HOLD


def test_a_request_whose_day_after_a_freeze_ends_in_another_stays_open_for_a_day_after_that(
    running: Callable[..., Any], words: Any
) -> None:
    weekend = Freeze(name="weekend", from_weekday=4, from_time=time(16), to_weekday=0, to_time=time(8))
    holidays = Freeze(name="holidays", from_date=date(2026, 12, 3), to_date=date(2026, 12, 5))  # until Saturday
    wednesday = datetime(2026, 12, 2, 7, 50, tzinfo=UTC)
    story = running(
        words.story(at=wednesday, policy=replace(DEFAULT_POLICY, timezone=BERLIN, freezes=(weekend, holidays))),
        stages=(*words.stages[:1], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:]),
    )
    story.later(hours=6).tick(words.look())
    assert story.now.request.expires_at == datetime(2026, 12, 8, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("begins", "ends"), [((6, time(2, 30)), (0, time(8))), ((5, time(16)), (6, time(2, 30)))], ids=["begins", "ends"]
)
def test_a_freeze_whose_edge_the_clocks_skip_has_it_when_they_are_moved(
    begins: tuple[int, time], ends: tuple[int, time]
) -> None:
    """02:30 does not come on that Sunday: the clocks go from 02:00 to 03:00."""
    weekly = Freeze(name="edge", from_weekday=begins[0], from_time=begins[1], to_weekday=ends[0], to_time=ends[1])
    policy = replace(DEFAULT_POLICY, timezone=BERLIN, freezes=(weekly,))
    is_frozen_before, is_frozen_after = (policy.find_freeze(SPRING + one) is not None for one in (-SECOND, 0 * SECOND))
    assert (is_frozen_before, is_frozen_after) == ((False, True) if begins[0] == 6 else (True, False))
    told = policy.find_freeze(SPRING - SECOND) or policy.find_freeze(SPRING)
    assert told is not None
    last = SPRING if begins[0] == 5 else SPRING + timedelta(hours=29)
    assert told[1].astimezone(UTC) == last


def test_a_freeze_within_the_hour_that_the_clocks_skip_freezes_nothing_that_day() -> None:
    weekly = Freeze(name="brief", from_weekday=6, from_time=time(2, 10), to_weekday=6, to_time=time(2, 50))
    policy = replace(DEFAULT_POLICY, timezone=BERLIN, freezes=(weekly,))
    assert [m for m in range(-180, 180) if policy.find_freeze(SPRING + timedelta(minutes=m))] == []
    assert policy.find_freeze(SPRING + timedelta(days=7, minutes=-30)) is not None
