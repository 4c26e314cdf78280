"""Jobs are called at intervals of real time, and once a day by the clock on the wall."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from bot.startup import scheduler as clocks
from bot.startup.scheduler import JobScheduler

SOON = 30
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_a_job_that_raises_is_called_again_and_what_it_raised_is_told() -> None:
    told: list[tuple[str, str]] = []
    often = threading.Event()

    def job() -> None:
        if len(told) == 3:
            often.set()
        raise KeyError(str(len(told)))

    clock = JobScheduler(lambda name, error: told.append((name, str(error))))
    clock.run_every(timedelta(milliseconds=1), job, "deliver")
    clock.start()
    assert often.wait(SOON)
    clock.stop(SOON)
    assert told[:3] == [("deliver", "'0'"), ("deliver", "'1'"), ("deliver", "'2'")]


def test_a_job_that_hangs_keeps_no_other_and_is_not_called_twice_at_once() -> None:
    let_go, others, entered = threading.Event(), threading.Event(), []
    clock = JobScheduler(lambda *_: None)
    clock.run_every(timedelta(milliseconds=1), lambda: (entered.append(1), let_go.wait(SOON)), "slow")
    clock.run_every(timedelta(milliseconds=1), others.set, "quick")
    clock.start()
    assert others.wait(SOON)
    others.clear()
    assert others.wait(SOON)
    assert len(entered) <= 1
    let_go.set()
    clock.stop(SOON)


def test_an_interval_that_gets_shorter_counts_for_a_job_that_waits_already() -> None:
    interval, waits, called = [timedelta(hours=1)], threading.Event(), threading.Event()

    def read() -> timedelta:
        waits.set()
        return interval[0]

    clock = JobScheduler(lambda *_: None)
    clock.run_every(read, called.set, "tick")
    clock.start()
    assert waits.wait(SOON)
    assert not called.is_set()
    interval[0] = timedelta(milliseconds=1)
    assert called.wait(SOON)
    clock.stop(SOON)


def test_it_stops_while_every_job_waits_for_its_turn() -> None:
    clock = JobScheduler(lambda *_: None)
    clock.run_every(timedelta(hours=1), lambda: None, "rare")
    clock.start()
    clock.stop(SOON)
    assert not any(thread.name == "clock-rare" for thread in threading.enumerate())


def test_once_a_week_is_at_the_start_and_on_monday_at_nine_in_a_zone_that_may_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clocks, "_WALL_CLOCK_CHECK_SECONDS", 0.001)
    sunday = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    wall, zone, called, asked = [sunday], ["Europe/Berlin"], [], threading.Semaphore(0)

    def now() -> datetime:
        asked.release()
        return wall[0]

    clock = JobScheduler(lambda *_: None)
    clock.run_weekly(lambda: called.append(wall[0]), "digest", now, lambda: zone[0], weekday=0, hour=9)
    clock.start()
    early, nine = datetime(2026, 11, 30, 7, 59, tzinfo=UTC), datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
    for wall[0], zone[0] in (
        (sunday, "Europe/Berlin"),
        (early, "Europe/Berlin"),
        (nine, "Europe/Berlin"),
        (nine + timedelta(days=6), "Europe/Berlin"),
        (nine + timedelta(days=7), "America/New_York"),
        (nine + timedelta(days=7, hours=6), "America/New_York"),
    ):
        for _ in range(6):
            assert asked.acquire(timeout=SOON)
        while asked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert asked.acquire(timeout=SOON)
    clock.stop(SOON)
    again = nine + timedelta(days=7)
    assert called == [sunday, nine, again, again + timedelta(hours=6)], "at the old hour once more, and at the new one"


def test_once_a_day_is_at_the_start_and_when_a_day_begins_also_where_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clocks, "_WALL_CLOCK_CHECK_SECONDS", 0.001)
    wall, called, asked = [NOON], [], threading.Semaphore(0)

    def now() -> datetime:
        asked.release()
        return wall[0]

    clock = JobScheduler(lambda *_: None)
    clock.run_daily(lambda: called.append(wall[0]), "head", now)
    clock.start()
    moments = (NOON, NOON + timedelta(hours=11), NOON + timedelta(hours=13), NOON - timedelta(hours=48))
    for wall[0] in (*moments, NOON - timedelta(hours=35), NOON - timedelta(hours=30)):
        for _ in range(6):
            assert asked.acquire(timeout=SOON)
        while asked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert asked.acquire(timeout=SOON)
    clock.stop(SOON)
    assert called == [NOON, NOON + timedelta(hours=13), NOON - timedelta(hours=35)]


def test_what_is_due_at_the_start_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "_WALL_CLOCK_CHECK_SECONDS", 3600.0)
    called = threading.Event()
    clock = JobScheduler(lambda *_: None)
    clock.run_daily(called.set, "head", lambda: NOON)
    clock.start()
    assert called.wait(SOON), "else it is about what happened meanwhile, too"
    clock.stop(SOON)
