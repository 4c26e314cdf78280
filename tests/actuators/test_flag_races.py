"""Driven flags: one worker at a time writes, and what a late one wrote is looked at once more."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.actuators.unleash import UnleashFlag
from bot.delivery import driven_flags
from bot.delivery.consumer import LEASE
from bot.outbound.client import OutboundClient
from core.rollout.state import events as e
from core.service.service import RolloutService
from tests.actuators.house import House


class Killed(BaseException):
    """kill -9: nothing that stands in the program's way is run."""


def test_a_killed_worker_is_succeeded_wherever_it_was(house):
    """It ends at each of its readings of the clock and of the system, one after the other."""
    house.begin()
    for number in range(1, 30):
        calls = iter(range(1, 1000))

        def dying(calls=calls, number=number) -> object:
            if next(calls) >= number:  # what is dead does nothing more
                raise Killed
            return house.at

        try:
            house.drive(clock=dying)
        except Killed:
            house.later(seconds=LEASE.total_seconds())
            continue
        break
    else:
        raise AssertionError("it was killed every time")
    house.until_quiet()
    assert house.unleash.percent == "5"
    assert house.found in ([(0, 5)], [(5, 5)])
    assert number > 4, "it was killed at every reading"


@pytest.mark.parametrize("after", ["written", "recorded"])
def test_killed_after_writing_or_recording_it_ends_there_and_is_told_once(house, after, monkeypatch):
    house.begin()
    where = {"written": (UnleashFlag, "write"), "recorded": (driven_flags._FlagReconciler, "_record_flag")}[after]
    real = getattr(*where)

    def killed(*arguments):
        real(*arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(*where, killed)
        with pytest.raises(Killed):
            house.drive()
    assert house.drive() == 0, "its lease holds"
    house.later(seconds=15).drive()
    assert house.unleash.history == ["5"]
    assert len(house.found) == 1
    assert house.unsent() == []


def asleep(house: House, while_away: Callable[[], None], *, before: str) -> None:
    """A worker that is stopped in the moment before this call reaches Unleash, and wakes up when all that happened."""
    met = threading.Event()

    def stop(said: str) -> None:
        if said == before and not met.is_set():
            met.set()
            while_away()

    house.unleash.on_call = stop


def test_a_worker_that_lost_its_lease_does_nothing(house):
    house.begin()

    def asleep_past_the_lease() -> None:
        house.later(seconds=16)
        assert house.drive() == 1

    house.drive(claimed=asleep_past_the_lease)
    assert house.unleash.log == ["GET", "PATCH 5", "GET"], "the other one's"
    assert house.found == [(0, 5)]


def test_what_a_sleeper_wrote_after_the_rollback_is_undone(house):
    """Stopped between looking at its lease and writing, it wakes up hours later and writes what was decided then."""

    def meanwhile() -> None:
        house.later(hours=1)
        house.drive()
        house.back().drive()
        assert house.unleash.percent == "0"
        assert house.reading.percent == 0

    asleep(house, meanwhile, before="PATCH 5")
    house.begin().drive()
    assert house.unleash.history[:3] == ["5", "0", "5"], "the sleeper's comes last"
    house.until_quiet()
    assert house.unleash.percent == "0"


def test_a_sleeper_that_reads_after_the_rollback_confirms_nothing_of_before(house):
    def meanwhile() -> None:
        house.back()

    asleep(house, meanwhile, before="GET")
    house.begin().drive()
    assert house.found == [(0, 0)]
    assert [x.percent for x in house.happened(e.FlagSet)] == [0]
    assert house.unleash.history == []


@pytest.mark.parametrize("order", ["step first", "rollback first"])
def test_two_workers_that_race_end_at_the_rollback(house, second_service, order):
    house.begin().drive()
    house.step()
    other = second_service()

    def race() -> None:
        house.back()
        assert house.drive(service=other) >= 1

    asleep(house, race, before="PATCH 50" if order == "step first" else "GET")
    house.drive()
    house.until_quiet()
    assert house.unleash.percent == "0"
    assert house.reading.percent == 0


def test_two_workers_at_once_in_earnest(house, second_service):
    """Threads of their own on databases of their own, through the steps and back."""
    house.begin()
    other = second_service()
    over = threading.Event()
    failed: list[BaseException] = []

    def work(service: RolloutService) -> None:
        while not over.is_set():
            try:
                house.drive(service=service)
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)
                return

    workers = [threading.Thread(target=work, args=(service,)) for service in (house.service, other)]
    for worker in workers:
        worker.start()
    house.step().step().back()
    over.set()
    for worker in workers:
        worker.join(30)
    house.until_quiet()
    assert failed == []
    assert house.unleash.percent == "0"
    assert house.reading.percent == 0


def test_one_call_fits_into_the_lease():
    assert timedelta(seconds=OutboundClient.__init__.__kwdefaults__["timeout"]) < LEASE
