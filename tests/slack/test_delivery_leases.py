"""Who may send a message: one process at a time, not for long, and nobody who slept past it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from bot.delivery import slack_api
from bot.delivery.consumer import LEASE
from bot.delivery.messages import deliver_due
from core.rollout import commands as c
from core.store.coordination import outbox
from core.store.models import outbox as table

SECOND = timedelta(seconds=1)


class Killed(BaseException):
    """kill -9: nothing that stands in the program's way is run."""


class Process:
    """Another sender, whose clock says when it was stopped."""

    def __init__(self, office, read_clock: Callable[[], datetime], speed: float = 1.0) -> None:
        self._office, self._read_clock, self._speed = office, read_clock, speed

    def deliver(self) -> None:
        office = self._office
        deliver_due(
            office.service,
            office.client,
            self._read_clock,
            speed=self._speed,
            channel_pause=0 * SECOND,
        )


def killed_after_posting(office) -> Process:
    """It ends when it would record its first message."""

    def clock() -> datetime:
        if office.sandbox.list_messages("#ai-rollouts"):
            raise Killed
        return office.at

    return Process(office, clock)


def marks(office):
    """The rows by which messages were said, in their order in each channel, threads included."""
    return [
        m.metadata["event_payload"]["outbox"]
        for name in ("#ai-rollouts", "#support", "#marketing")
        for m in office.sandbox.list_messages(name)
        if m.metadata
    ]


def unsent(office):
    with office.service.database.reading() as connection:
        return outbox.measure_backlog(connection)


def planned(office):
    office.apply(office.surface_file)
    office.apply(office.rollout_file)
    return office


def test_a_killed_process_silences_its_channel_for_fifteen_seconds_and_no_other(office):
    planned(office)
    with pytest.raises(Killed):
        killed_after_posting(office).deliver()
    office.later(seconds=14).deliver()
    assert len(office.sandbox.list_messages("#ai-rollouts")) == 1
    assert office.sandbox.list_messages("#support")
    office.later(seconds=1).deliver()
    assert len(office.thread()) > 1


def test_killed_between_saying_and_recording_it_is_found_and_not_said_again(office):
    planned(office)
    with pytest.raises(Killed):
        killed_after_posting(office).deliver()
    assert office.rollout.messages == {}
    office.later(seconds=15).deliver()
    assert office.rollout.messages["card"].ts == office.card().ts
    assert len(marks(office)) == len(set(marks(office)))
    assert unsent(office).pending + unsent(office).leased == 0


CLAIMED, ABOUT_TO_POST = 1, 2  # how often the clock was read by then


@pytest.mark.parametrize("stopped", [CLAIMED, ABOUT_TO_POST])
@pytest.mark.parametrize("asleep", [timedelta(seconds=16), timedelta(hours=3)])
def test_a_process_that_was_stopped_past_its_lease_says_nothing_when_it_wakes(office, asleep, stopped):
    planned(office)
    readings = iter(range(1000))

    def stopped_after_claiming() -> datetime:
        if next(readings) == stopped:
            office.at += asleep
            office.deliver()  # everything, by another process
        return office.at

    Process(office, stopped_after_claiming).deliver()
    posts = [call for call in office.sandbox.api_calls if call.method == "chat.postMessage"]
    assert len(posts) == len(marks(office)) == len(set(marks(office)))
    assert unsent(office).pending + unsent(office).leased == 0


def test_a_process_that_slept_and_was_not_replaced_goes_on(office):
    planned(office)
    readings = iter(range(1000))

    def stopped_after_claiming() -> datetime:
        if next(readings) == 1:
            office.at += timedelta(hours=3)
        return office.at

    Process(office, stopped_after_claiming).deliver()
    assert len(office.thread()) > 1
    assert len(marks(office)) == len(set(marks(office)))


def test_a_delivery_of_many_calls_keeps_its_row_by_renewing_it(office):
    """The alert is posted, and edited where the switch was confirmed meanwhile; looking comes before a repeat."""
    office.start()
    office.say(c.RollBack(reason="wrong answers"))
    leases = []

    def clock() -> datetime:
        office.at += 5 * SECOND  # a slow day: every step takes long
        with office.service.database.reading() as connection:
            found = [x for x in rows_of(connection) if x.state == "leased"]
        leases.extend(x.lease_until - office.at for x in found)
        return office.at

    office.sandbox.fail_next("chat.postMessage", "cut_after")
    Process(office, clock).deliver()
    Process(office, clock).deliver()
    assert leases
    assert min(leases) >= timedelta(0), "never run out while somebody worked"
    assert len(marks(office)) == len(set(marks(office)))


def test_leases_are_real_time_however_fast_the_clock_runs(office):
    planned(office)
    with office.service.database.reading() as connection:
        first = rows_of(connection)[0]

    def killed_at_once() -> datetime:
        with office.service.database.reading() as connection:
            if rows_of(connection)[0].state == "leased":
                raise Killed
        return office.at

    with pytest.raises(Killed):
        Process(office, killed_at_once, speed=60.0).deliver()
    with office.service.database.reading() as connection:
        left = next(x for x in rows_of(connection) if x.id == first.id).lease_until - office.at
    assert left == 60 * LEASE


def test_two_processes_at_once_say_everything_once_and_in_order(office):
    planned(office)
    with ThreadPoolExecutor(2) as processes:
        for done in [processes.submit(Process(office, lambda: office.at).deliver) for _ in range(2)]:
            done.result()
    Process(office, lambda: office.at).deliver()
    assert unsent(office).pending + unsent(office).leased == 0
    said = [m.metadata["event_payload"]["outbox"] for m in office.sandbox.list_messages("#ai-rollouts") if m.metadata]
    assert said == sorted(set(said))


def test_an_earlier_try_is_found_however_much_was_said_since(office):
    office.sandbox.fail_next("chat.postMessage", "cut_after")
    planned(office).deliver()
    for number in range(450):
        office.person("sam").say(f"message {number}")
    for _ in range(5):  # on a busy machine a call may time out, and is made again later
        office.later(minutes=10).deliver()
        if "card" in office.rollout.messages:
            break
    assert len(marks(office)) == len(set(marks(office)))
    assert office.rollout.messages["card"].ts == office.card().ts
    pages = {x.args.get("cursor") for x in office.sandbox.api_calls if x.method == "conversations.history"}
    assert len(pages) == 3


def test_in_a_long_thread_too(office):
    office.plan()
    card, before = office.card(), len(marks(office))
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=True)
    office.say(c.RaiseConcern(text="is that so?", notice=""), by=sam)
    office.sandbox.fail_next("chat.postMessage", "cut_after")
    office.deliver()
    assert len(marks(office)) == before + 1, "it arrived, and only its answer did not"
    for number in range(450):
        office.person("sam").say(f"reply {number}", thread=card)
    office.later(minutes=10).deliver()
    assert len(marks(office)) == len(set(marks(office)))
    assert unsent(office).pending == 0


def test_an_alert_that_arrived_before_there_was_a_card_is_found(office):
    dana = office.directory.resolve_actor("T0SANDBOX1", "U0DANA0001", moves_forward=True)
    office.apply(office.surface_file)
    told_nobody = "\n".join(
        x
        for x in office.rollout_file.splitlines()
        if "before:" not in x and "behaviour" not in x and "audience" not in x
    )
    office.apply(told_nobody.replace("risk: standard", "risk: low"))
    for command in (c.Start(), c.RollBack(reason="stop")):
        office.say(command, by=dana)
    office.sandbox.fail_next("chat.postMessage", "cut_after")
    office.deliver()
    assert not office.card().in_thread
    assert "Rolled back" in office.shown(office.card()), "what is urgent is said first"
    office.later(minutes=10).deliver()
    assert len(marks(office)) == len(set(marks(office)))
    assert unsent(office).pending == 0


def test_looking_needs_no_permission_to_say(office):
    """Without the right to read a channel, saying it again is better than silence."""
    office.sandbox.fail_next("chat.postMessage", "cut_before")
    office.sandbox.fail_next("conversations.list", "error:missing_scope")
    planned(office).deliver()
    office.later(minutes=10).deliver()
    assert len(office.thread()) > 1
    assert unsent(office).dead == 0


def test_one_slow_call_fits_into_the_lease():
    assert timedelta(seconds=2 * slack_api.TIMEOUT) < LEASE


def rows_of(connection):
    return connection.execute(select(table).order_by(table.c.id)).all()
