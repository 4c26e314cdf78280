"""A connection that ends around a commit: the caller gets one answer, and the log one set of events."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.http.observations.writer import ObservationBatch, ObservationWriter
from core.rollout import commands as c
from core.rollout.serving import exposure
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database.connections import connect
from tests.trials.faults import installation, laborer
from tests.trials.faults.proxy import Cut, Line
from tests.trials.faults.test_many_kills import begun


@pytest.fixture
def line(new_postgres: Callable[[], str]) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:  # a short path, as sockets need one
        opened = Line(new_postgres(), Path(folder))
        yield opened
        opened.close()


# As a command's prepared statements are called in the message that runs them.
COMMAND_BEGINS, COMMAND_COMMITS, IN_ONE_TRIP = b"\0open\0", b"\0commit\0", b"\0once\0"


@pytest.fixture
def service(line: Line) -> Iterator[RolloutService]:
    with connect(line.url) as database:
        yield RolloutService(database)


def newcomer(service: RolloutService) -> RolloutService:
    """A process that has not appended yet: its next command takes two trips."""
    return RolloutService(service.database)


@pytest.mark.parametrize("trip", [COMMAND_COMMITS, IN_ONE_TRIP])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_command_whose_commit_is_cut_off_has_one_answer_and_is_carried_out_once(
    when: Cut, trip: bytes, service: RolloutService, line: Line
) -> None:
    begun(service)
    for number in range(5):
        if trip == IN_ONE_TRIP:  # which a process takes when it has appended twice and nobody else has
            for settling in (c.Pause(reason="on"), c.Resume(reason="and off")):
                laborer.command(service, settling, f"{type(settling).__name__}-{number}")
        line.cut(when, trip)
        who = service if trip == IN_ONE_TRIP else newcomer(service)
        laborer.command(who, c.RaiseConcern(notice="general", text=f"c-{number}"), f"c-{number}")
        assert line.cuts == number + 1
    assert _concerns(service) == [f"c-{number}" for number in range(5)]
    position = service.load_world().position
    for number in range(5):  # asked once more: the same answer
        laborer.command(service, c.RaiseConcern(notice="general", text=f"c-{number}"), f"c-{number}")
    assert service.load_world().position == position
    assert RolloutService(service.database).load_world() == service.load_world()
    with service.database.reading() as connection:
        assert verify.verify(connection).problems == ()


def test_a_connection_that_ends_while_a_command_is_begun_is_no_matter(service: RolloutService, line: Line) -> None:
    begun(service)
    for when in ("before", "after"):
        line.cut(when, COMMAND_BEGINS)
        laborer.command(newcomer(service), c.RaiseConcern(notice="general", text=when), when)
    assert line.cuts == 2
    assert _concerns(service) == ["before", "after"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_batch_whose_commit_is_cut_off_is_counted_once_when_it_is_sent_again(
    when: Cut, service: RolloutService, line: Line
) -> None:
    variant = begun(service)
    intake = ObservationWriter(service.database, lambda: exposure.build_snapshot(service.cached_world()), laborer.now)

    def send(number: int) -> bytes:
        body = laborer.BATCH % variant.encode()
        batch = ObservationBatch(body=body, content_type="application/json", token="", key=f"b-{number}")
        return intake.submit(batch).result()

    try:
        first = send(0)
        for number in range(1, 4):
            line.cut(when)
            with pytest.raises(DBAPIError):
                send(number)
            assert line.cuts == number
            assert send(number) == first
            assert send(number) == first
    finally:
        intake.close()
    assert installation.requests_counted(service.database) == 4


def test_both_tries_cut_off_are_told_and_the_third_finds_what_was_done(service: RolloutService, line: Line) -> None:
    begun(service)
    line.cut("after", COMMAND_COMMITS, times=2)
    with pytest.raises(DBAPIError) as told:
        laborer.command(newcomer(service), c.RaiseConcern(notice="general", text="c"), "c")
    assert told.value.connection_invalidated
    laborer.command(service, c.RaiseConcern(notice="general", text="c"), "c")
    assert _concerns(service) == ["c"]


def test_backends_that_are_ended_at_random_cost_nobody_an_answer(service: RolloutService) -> None:
    begun(service)
    for number in range(30):
        if number % 3 == 0:
            with service.database.reading() as connection:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
        laborer.command(service, c.RaiseConcern(notice="general", text=f"c-{number}"), f"c-{number}")
    assert _concerns(service) == [f"c-{number}" for number in range(30)]


def _concerns(service: RolloutService) -> list[str]:
    return [r.event.text for r in service.load_history("R-1") if isinstance(r.event, e.ConcernRaised)]
