"""A clock that jumps, an hour that comes twice, a machine that slept: nothing twice, nothing early."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import select

from bot.jobs import due_times, looking
from core.judging.model.verdict import NoData
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.plans.plan import Risk
from core.rollout.plans.policy import GrowOn, Policy
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.store.coordination import timers
from core.store.models import timer
from core.store.observations import looks
from tests.trials import promises
from tests.trials.plant import DANA, LEE, TICK, Clock, Process
from tests.trials.slack_in_process import Slack

AUTUMN = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)  # 02:30 in Berlin, and in an hour 02:30 again
SPRING = datetime(2027, 3, 28, 0, 30, tzinfo=UTC)  # 01:30 in Berlin, and in an hour 03:30
BERLIN = "Europe/Berlin"
_numbers = count()


@pytest.fixture(autouse=True)
def _same_people_whatever_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "_numbers", count())


@pytest.fixture
def two(fresh: Callable[[], str]) -> Iterator[tuple[Process, Process]]:
    """Two processes of one installation, in which a rollout has entered its canary stage."""
    clock = Clock()
    slack = Slack(clock.now)
    url = fresh()
    one, other = (Process(name, url, clock, slack) for name in ("web-1", "web-2"))
    one.declare()
    one.plan(1, "plan")
    one.drain()
    one.say(c.Approve(), "approve", by=LEE)
    clock.turn(minutes=1)
    one.say(c.Start(), "start", by=DANA)
    yield one, other
    promises.the_log_is_sound(one.database)
    for each in (one, other):
        each.stop()
    slack.close()


def state(process: Process) -> RolloutState:
    return process.world.rollouts["R-1"].state


def looked(process: Process) -> int:
    with process.database.reading() as connection:
        return looks.load_count_and_time(connection, "R-1")[0]


def live_through(two: tuple[Process, Process], ticks: int, scenario: str = "healthy", each: int = 10) -> None:
    """Both processes ask in every slot."""
    one, other = two
    for _ in range(ticks):
        one.clock.at += TICK
        for process in (one, other):
            process.follow()
        one.serve(each, scenario, next(_numbers))
        one.tick()
        other.tick()


def test_each_slot_is_looked_at_by_one(two: tuple[Process, Process]) -> None:
    live_through(two, 9)
    assert looked(two[0]) == 9


@pytest.mark.parametrize("begins", [AUTUMN, SPRING])
def test_the_hour_that_comes_twice_and_the_one_that_never_comes(two: tuple[Process, Process], begins: datetime) -> None:
    one, _ = two
    one.say(c.ApplyPolicy(policy=_in_berlin(one), fingerprint="berlin"), "policy", by=ENGINE)
    one.clock.at = begins
    one.say(c.Pause(reason="weekend"), "pause")
    for _ in range(12):
        one.clock.turn(minutes=10)
        one.tick()
        two[1].tick()
    assert looked(one) == 12
    one.say(c.Resume(reason="back"), "resume")
    rollout = one.world.rollouts["R-1"]
    assert rollout.paused_for == timedelta(hours=2), "as long as it was, whatever the clock on the wall said"


def grow_by_the_clock(process: Process) -> None:
    """It is the clock that is tried here, not what could have been seen by then."""
    policy = replace(process.world.policy, grow_on={Risk.STANDARD: GrowOn.TIME})
    process.say(c.ApplyPolicy(policy=policy, fingerprint="by the clock"), "by-the-clock", by=ENGINE)


def _in_berlin(process: Process) -> Policy:
    return replace(process.world.policy, timezone=BERLIN)


def test_a_start_in_the_hour_that_comes_twice_happens_once(two: tuple[Process, Process]) -> None:
    one, other = two
    one.say(c.RollBack(reason="something else first"), "back")
    one.clock.at = AUTUMN - timedelta(hours=2)
    one.plan(2, "plan-2")
    one.drain()
    one.say(c.Approve(), "approve-2", by=LEE, rollout="R-2")
    one.say(c.Start(then=AUTUMN + timedelta(minutes=10)), "then", by=DANA, rollout="R-2")
    for _ in range(24):
        one.clock.turn(minutes=10)
        one.tick()
        other.tick()
    started = [r for r in one.service.load_history("R-2") if isinstance(r.event, e.Started)]
    assert [r.at for r in started] == [AUTUMN + timedelta(minutes=10)]


def test_a_clock_set_back_ends_no_hold_early_and_the_record_stays_in_order(two: tuple[Process, Process]) -> None:
    one, _ = two
    grow_by_the_clock(one)
    live_through(two, 6, each=100)
    one.clock.turn(hours=-1)
    before = one.world.rollouts["R-1"].stage_index
    live_through(two, 15, each=100)
    one.say(c.FeelsOff(text="curt"), "felt")
    assert one.world.rollouts["R-1"].stage_index == before, "its two minutes have not passed by this clock"
    recorded = [r.recorded_at for r in promises.whole_log(one.database)]
    assert recorded == sorted(recorded)
    one.clock.turn(hours=1)
    live_through(two, 3, each=100)
    assert one.world.rollouts["R-1"].stage_index > before


def test_a_clock_set_back_holds_up_no_alert(two: tuple[Process, Process]) -> None:
    one, _ = two
    one.say(c.Pause(reason="lunch"), "pause")  # its messages are due at a time that is an hour away now
    one.clock.turn(hours=-1)
    one.say(c.RollBack(reason="wrong answers"), "back")
    one.deliver()
    assert any(message.text.startswith("Rolled back") for message in one.slack.posted())
    assert not any("Paused" in message.text for message in one.slack.posted())
    one.clock.turn(hours=1)
    one.drain()
    promises.said_in_order_and_once(one.database, one.slack)
    promises.the_card_is_true(one.database, one.world, one.slack)


def test_a_clock_set_back_makes_nobody_blind(two: tuple[Process, Process]) -> None:
    """The slots that come again have run before; the traffic in them was seen by nobody."""
    live_through(two, 18, each=2)
    two[0].clock.turn(minutes=-3)
    live_through(two, 9)
    assert looked(two[0]) == 18 + 9


@pytest.mark.parametrize("slept", [timedelta(hours=1), timedelta(hours=8)])
def test_a_machine_that_slept_rolls_nothing_back_for_want_of_data(
    two: tuple[Process, Process], slept: timedelta
) -> None:
    one, other = two
    grow_by_the_clock(one)
    live_through(two, 6, each=100)
    one.clock.at += slept
    one.tick()
    other.tick()
    rollout = one.world.rollouts["R-1"]
    assert rollout.state is RolloutState.ON_HOLD, "an hour of which nothing is known is no reason to grow"
    assert rollout.stage_index == 0
    assert rollout.evidence is not None
    assert isinstance(rollout.evidence.verdict, NoData)
    assert looked(one) == 7, "what was slept through is not made up for"
    live_through(two, 12, each=100)
    assert state(one) is RolloutState.RUNNING, "it goes on by itself once there is something to see"


def test_after_a_time_in_which_nobody_looked_the_first_look_grows_nothing(two: tuple[Process, Process]) -> None:
    """Its stage was held for long enough meanwhile, and its traffic came in; but nobody would have seen harm."""
    one, _ = two
    grow_by_the_clock(one)
    live_through(two, 3, each=100)
    for _ in range(30):
        one.clock.at += TICK
        one.serve(100, "healthy", next(_numbers))

    def look() -> int:
        one.clock.at += TICK
        one.serve(100, "healthy", next(_numbers))
        looking.tick(one.service, one.clock.at, TICK, unwatched_after=timedelta(minutes=4))
        return one.world.rollouts["R-1"].stage_index

    assert look() == 0
    assert looked(one) == 4, "it was looked at, and had there been harm it was rolled back"
    assert any(look() == 1 for _ in range(6)), "the next ones show that somebody looks again"


def test_slots_that_come_again_and_again_keep_nobody_from_looking(two: tuple[Process, Process]) -> None:
    """The clock is set between two times, more often than slots change: by it, every slot has been looked at."""
    one, other = two
    elapsed = [0.0]
    seen = [due_times.DueTimes(overdue_after=lambda: 15, elapsed=lambda: elapsed[0]) for _ in two]
    began = one.clock.at
    for second in range(120):
        elapsed[0] += 1
        one.clock.at = began + timedelta(seconds=30 * (second % 2))
        for process, slots_seen in zip((one, other), seen, strict=True):
            process.follow()
            looking.tick(process.service, one.clock.at, TICK, slots_seen)
    one.clock.at = began + timedelta(seconds=120)
    assert 120 / 16 - 1 <= looked(one) <= 120 / 10


def test_a_worker_that_slept_over_its_lease_decides_nothing(two: tuple[Process, Process]) -> None:
    """Its slot is somebody else's by now; what it decided is rolled back with it."""
    one, other = two
    lease, slot = timedelta(seconds=60), one.clock.at
    asleep = timers.claim(one.database, "digest", slot, one.clock.at, lease)
    one.clock.turn(hours=8)
    awake = timers.claim(other.database, "digest", slot, one.clock.at, lease)
    assert asleep is not None
    assert awake is not None
    with one.database.writing_outside_log() as connection:
        assert not timers.finish(connection, "digest", slot, asleep)
    with other.database.writing_outside_log() as connection:
        assert timers.finish(connection, "digest", slot, awake)


def test_many_rollouts_are_not_looked_at_in_one_breath(two: tuple[Process, Process]) -> None:
    one, _ = two
    for number in (2, 3, 11):
        one.plan(number, f"plan {number}")
    begun: dict[str, list[int]] = {}
    known = slots(one)
    seen = due_times.DueTimes()
    one.clock.at = one.clock.at.replace(second=20, microsecond=0)
    for second in range(20):
        looking.tick(one.service, one.clock.at, TICK, seen)
        for rollout in sorted(slots(one) - known):
            begun.setdefault(rollout[0], []).append(second)
        known |= slots(one)
        one.clock.turn(seconds=1)
    assert begun == {"R-1": [0, 10], "R-2": [0, 1, 11], "R-3": [0, 2, 12], "R-4": [0, 3, 13]}, (
        "caught up, then by turns"
    )


def slots(process: Process) -> set[tuple[str, datetime]]:
    """Every slot in which a rollout was dealt with."""
    with process.database.reading() as connection:
        rows = connection.execute(select(timer.c.name, timer.c.slot)).all()
    return {(row.name.split(":")[1], row.slot) for row in rows}
