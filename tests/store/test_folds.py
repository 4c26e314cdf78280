"""The log folded in memory: every event once, also while several threads learn of it at the same moment."""

from collections.abc import Callable
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.store.database.connections import Database
from core.store.log import event_log
from tests.store.test_tampering import unprotected
from tests.trials.faults import laborer
from tests.trials.faults.test_many_kills import begun


def test_what_another_thread_has_kept_meanwhile_is_not_folded_in_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = RolloutService(database), RolloutService(database)
    begun(writer)
    reader.load_world()
    laborer.command(writer, c.Pause(reason="once"), "pause")
    laborer.command(writer, c.RaiseConcern(notice="general", text="after it"), "concern")
    asked: Callable[..., Any] = event_log.read_after

    def asked_while_another_thread_keeps_the_first(*arguments: Any, **options: Any) -> Any:
        news = asked(*arguments, **options)
        if len(news) == 2:
            reader.world_cache.store_committed(reader.world_cache.cached_state().with_events(news[:1]), 0, "", None)
        return news

    monkeypatch.setattr(event_log, "read_after", asked_while_another_thread_keeps_the_first)
    assert reader.load_world() == writer.load_world()


@pytest.fixture(params=["only shorter", "grown again"])
def cut(request: pytest.FixtureRequest, database: Database) -> Callable[[int], None]:
    """Let the database lose what came after a position, as one does that takes over before it has received it."""

    def lose(position: int) -> None:
        after = f"position > {position}"
        unprotected(
            database,
            f"DELETE FROM outbox WHERE {after}",
            f"DELETE FROM commands WHERE last_{after}",
            f"DELETE FROM events WHERE {after}",
        )
        if request.param == "grown again":
            for number in range(3):
                concern = c.RaiseConcern(notice="general", text=f"after it, {number}")
                laborer.command(RolloutService(database), concern, f"concern-{number}")

    return lose


def test_a_log_that_lost_its_end_is_read_anew(database: Database, cut: Callable[[int], None]) -> None:
    writer, reader = RolloutService(database), RolloutService(database)
    begun(writer)
    position = writer.load_world().position
    laborer.command(writer, c.Pause(reason="lost"), "pause")
    assert reader.load_world().rollouts["R-1"].state is RolloutState.PAUSED
    told: list[World] = []
    reader.world_cache.on_change(told.append)
    cut(position)
    assert reader.load_world() == RolloutService(database).load_world() == told[-1]
    assert reader.load_world().rollouts["R-1"].state is RolloutState.RUNNING


def test_a_thread_that_reads_anew_more_slowly_than_another_takes_nothing_back(
    database: Database, cut: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, process = RolloutService(database), RolloutService(database)
    begun(writer)
    position = writer.load_world().position
    laborer.command(writer, c.Pause(reason="lost"), "pause")
    process.load_world()
    cut(position)
    asked: Callable[..., Any] = event_log.read_after

    def asked_while_another_thread_goes_on(connection: Any, position: int, limit: int) -> Any:
        news = asked(connection, position, limit)
        if position == 0:
            monkeypatch.undo()
            process.load_world()
            laborer.command(process, c.Pause(reason="meanwhile"), "meanwhile")
        return news

    monkeypatch.setattr(event_log, "read_after", asked_while_another_thread_goes_on)
    told: list[int] = []
    process.world_cache.on_change(lambda world: told.append(world.position))
    assert process.load_world() == RolloutService(database).load_world()
    assert told[1:] == sorted(told[1:]), "after the one log, only forward in the other"


def test_nothing_is_decided_on_what_was_lost(database: Database, cut: Callable[[int], None]) -> None:
    writer = RolloutService(database)
    begun(writer)
    laborer.command(writer, c.RaiseConcern(notice="general", text="one"), "one")
    position = writer.load_world().position
    laborer.command(writer, c.Pause(reason="lost"), "pause")
    cut(position)
    if RolloutService(database).load_world().position == position:
        writer.load_world()  # a log that is shorter than what it knows: the database refuses, until it has looked
    laborer.command(writer, c.Pause(reason="again"), "again")
    assert writer.load_world() == RolloutService(database).load_world()
    assert writer.load_world().rollouts["R-1"].state is RolloutState.PAUSED
