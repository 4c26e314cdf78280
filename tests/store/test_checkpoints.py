"""A process may start from a saved world: it then knows what the log says, or it is not used."""

from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy import delete, select, update

from bot.jobs import upkeep
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World, fold_events
from core.service.service import RolloutService
from core.store.audit import backup, restore
from core.store.audit.verify import verify
from core.store.database.connections import Database, connect
from core.store.log import event_log
from core.store.maintenance import checkpointing, erasure
from core.store.models import checkpoint
from core.store.world import checkpoints
from core.store.world.world_cache import WorldCache
from tests.service.conftest import LEE, ROLLOUT, SURFACE, Desk

LATER = timedelta(days=30)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(RolloutService(database))


def roll_out_and_back(desk: Desk, number: int) -> str:
    """One whole rollout, that somebody takes back."""
    named = ROLLOUT.replace("rollout: support-tone", f"rollout: tone-{number}")
    rollout = desk.apply(named.replace("9f2c51e0", f"9f2c51{number:02x}")).outcome.rollout
    key = f"notice:{rollout.fingerprint}:support:#support"
    desk.say(c.RecordPosted(key=key, channel="C2", ts="1.0"), rollout=rollout.id)
    desk.say(c.Approve(), rollout=rollout.id)
    desk.later(hours=4).say(c.Start(), rollout=rollout.id)
    desk.later(minutes=9).say(c.RollBack(reason=f"answers are odd, the {number}th time"), rollout=rollout.id)
    return rollout.id


@pytest.fixture
def history(desk: Desk) -> Desk:
    """Twelve rollouts that ended a month ago, and one that runs."""
    desk.start()
    desk.say(c.RollBack(reason="odd"))
    for number in range(11):
        roll_out_and_back(desk, number)
    desk.at += LATER
    return desk


def take(desk: Desk) -> bool:
    return checkpointing.take_checkpoint(
        desk.service.database, desk.service.world_cache, by="system:checkpoint", at=desk.at, recorded_at=desk.at
    )


def fold_whole(database: Database) -> World:
    """The world after every event, with nothing archived."""
    with database.reading() as connection:
        log = event_log.read_after(connection, 0, 10_000)
    return fold_events(World(), ((one.stream, one.event, one.at, one.position) for one in log))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each read of the log gave."""
    read: list[int] = []
    after = event_log.read_after

    def counting(*asked: Any) -> Any:
        found = after(*asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(event_log, "read_after", counting)
    return read


def test_a_start_reads_only_what_came_after_the_checkpoint(history, monkeypatch):
    assert take(history)
    read = counted(monkeypatch)
    world = RolloutService(history.service.database).load_world()
    assert sum(read) <= 2, "the event that it begins after, and the one that speaks of it"
    assert world.position == history.service.load_world().position


def test_what_it_knows_is_what_the_whole_log_says(history):
    take(history)
    history.apply(ROLLOUT.replace("support-tone", "one-more").replace("9f2c51e0", "aaaaaaaa"))
    whole = fold_whole(history.service.database)
    begun = RolloutService(history.service.database).load_world()
    assert begun.archived > 0
    assert len(begun.rollouts) + begun.archived == len(whole.rollouts)
    assert begun.next_id == whole.next_id
    assert begun.open_rollouts == whole.open_rollouts
    for name, rollout in whole.rollouts.items():
        assert begun.find_rollout(name) == rollout
    assert begun.policy == whole.policy
    for name, surface in whole.surfaces.items():
        assert begun.surfaces[name].versions == surface.versions
        assert begun.surfaces[name].live == surface.live


def test_the_process_that_takes_it_forgets_the_same(history):
    take(history)
    world = history.service.load_world()
    assert world.archived > 0
    assert world == RolloutService(history.service.database).load_world()


def test_an_ended_rollout_is_found_by_its_name_too(history):
    take(history)
    world = RolloutService(history.service.database).load_world()
    assert "R-1" not in world.rollouts
    assert world.find_named("support-tone").id == "R-1"
    assert world.find_named("nothing-of-that-name") is None
    assert world.find_rollout("R-99") is None


def test_the_newest_of_a_name_is_found_whether_it_is_in_memory_or_not(desk):
    """The first of that name was abandoned, and something late brings it back into memory; the second was not."""
    desk.apply(SURFACE)
    desk.apply(ROLLOUT)
    desk.say(c.Abandon(reason="not now"))
    again = desk.apply(ROLLOUT).outcome.rollout.id
    desk.say(c.Abandon(reason="nor now"), rollout=again)
    desk.at += LATER
    take(desk)
    desk.say(c.RecordPosted(key="card", channel="C1", ts="9.9"), rollout="R-1")
    world = desk.service.load_world()
    assert list(world.rollouts) == ["R-1"]
    assert world.find_named("support-tone").id == again == "R-2"


def test_what_happens_to_a_rollout_that_was_archived_goes_on_where_it_ended(history):
    take(history)
    fresh = Desk(RolloutService(history.service.database))
    fresh.at = history.at
    before = fresh.service.load_world()
    assert "R-1" not in before.rollouts
    fresh.say(c.RecordPosted(key="card", channel="C1", ts="9.9"), rollout="R-1", command_id="late")
    after = fresh.service.load_world()
    assert after.rollouts["R-1"].messages["card"].ts == "9.9"
    assert after.archived == before.archived - 1
    assert list(after.rollouts) == ["R-1", *before.rollouts], "in the order in which they were planned"
    assert after.next_id == before.next_id
    assert fold_whole(history.service.database).rollouts["R-1"] == after.rollouts["R-1"]
    assert before.find_rollout("R-1").messages.get("card") is None, "as it was at that position"
    with history.service.database.reading() as connection:
        assert verify(connection).problems == ()


def test_commands_go_on_after_a_start_from_it(history):
    take(history)
    fresh = Desk(RolloutService(history.service.database))
    fresh.at = history.at
    fresh._ids = iter(range(1000, 2000))
    name = roll_out_and_back(fresh, 77)
    assert fresh.service.load_world().rollouts[name].state is RolloutState.ROLLED_BACK
    with history.service.database.reading() as connection:
        assert verify(connection).problems == ()


def spoil_the_saved_world(database: Database) -> None:
    with database.writing_outside_log() as connection:
        packed = connection.execute(select(checkpoint.c.world)).scalar_one()
        forged = checkpoints.pack_world(RolloutService(database).load_world())
        assert forged != packed
        connection.execute(update(checkpoint).values(world=forged))


def lose_the_saved_world(database: Database) -> None:
    with database.writing_outside_log() as connection:
        connection.execute(delete(checkpoint))


@pytest.mark.parametrize("spoil", [spoil_the_saved_world, lose_the_saved_world])
def test_one_that_the_log_does_not_speak_of_is_not_used(history, monkeypatch, spoil):
    take(history)
    history.apply(ROLLOUT.replace("support-tone", "one-more").replace("9f2c51e0", "aaaaaaaa"))
    spoil(history.service.database)
    read = counted(monkeypatch)
    position = RolloutService(history.service.database).load_world().position
    assert sum(read) == position


def test_one_of_another_version_of_the_program_is_not_used(history, monkeypatch):
    take(history)
    monkeypatch.setattr(checkpoints, "code_hash", lambda: "another")
    read = counted(monkeypatch)
    position = RolloutService(history.service.database).load_world().position
    assert sum(read) == position
    assert take(history), "and the next one is of this version"
    read.clear()
    RolloutService(history.service.database).load_world()
    assert sum(read) <= 2


def test_words_that_were_erased_are_in_no_checkpoint(history):
    take(history)
    database = history.service.database
    assert erasure.erase_words(
        database, WorldCache(database), LEE.id, by="cli:ops", at=history.at, recorded_at=history.at
    )
    with database.reading() as connection:
        assert connection.execute(select(checkpoint.c.position)).all() == []
    said = RolloutService(database).load_world().rollouts["R-2"].rollback
    assert "odd" not in said.reason
    assert "odd" not in history.service.load_world().find_rollout("R-2").rollback.reason


def test_a_process_that_still_knows_erased_words_saves_nothing(history):
    database, folds = history.service.database, history.service.world_cache
    assert erasure.erase_words(database, folds, LEE.id, by="cli:ops", at=history.at, recorded_at=history.at)
    assert not take(history)
    folds.refresh()
    assert take(history)
    assert "odd" not in RolloutService(database).load_world().find_rollout("R-2").rollback.reason


def test_two_that_are_taken_at_the_same_position_are_one(history):
    other = RolloutService(history.service.database)
    other.load_world()
    assert take(history)
    assert not checkpointing.take_checkpoint(
        other.database, other.world_cache, by="system:checkpoint", at=history.at, recorded_at=history.at
    )


def test_one_is_due_when_the_log_has_grown_enough(history, monkeypatch):
    upkeep.take_checkpoint(history.service, history.at)
    assert history.service.load_world().archived == 0
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL", 50)
    upkeep.take_checkpoint(history.service, history.at)
    world = history.service.load_world()
    assert world.archived > 0
    upkeep.take_checkpoint(history.service, history.at)
    assert history.service.load_world().position == world.position


@pytest.mark.parametrize("spoil", [spoil_the_saved_world, lose_the_saved_world])
def test_the_next_one_is_due_at_once_where_the_newest_cannot_be_trusted(history, monkeypatch, spoil):
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL", 50)
    upkeep.take_checkpoint(history.service, history.at)
    history.apply(ROLLOUT.replace("support-tone", "one-more").replace("9f2c51e0", "aaaaaaaa"))
    spoil(history.service.database)
    upkeep.take_checkpoint(history.service, history.at)
    read = counted(monkeypatch)
    RolloutService(history.service.database).load_world()
    assert sum(read) <= 2


def test_one_that_a_shorter_log_does_not_reach_counts_for_nothing(history, monkeypatch):
    """As after a failover that lost the end, and where a process died before it could tell the log."""
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL", 50)
    database = history.service.database
    with database.writing_outside_log() as connection:
        checkpoints.save(connection, 1_000_000, checkpoints.pack_world(history.service.load_world()))
    upkeep.take_checkpoint(history.service, history.at)
    assert history.service.load_world().archived > 0
    with database.reading() as connection:
        assert 1_000_000 not in connection.execute(select(checkpoint.c.position)).scalars().all()


def test_a_backup_holds_none_and_what_is_restored_knows_the_same(history, tmp_path):
    take(history)
    backup.write_backup(history.service.database, tmp_path / "rampart.backup", history.at)
    with connect(f"sqlite:///{tmp_path}/restored.db") as restored:
        restore.restore_backup(restored, tmp_path / "rampart.backup")
        with restored.reading() as connection:
            assert connection.execute(select(checkpoint.c.position)).all() == []
        service = RolloutService(restored)
        whole = fold_whole(restored)
        assert all(service.load_world().find_rollout(name) == rollout for name, rollout in whole.rollouts.items())
        assert take(Desk(service)), "and the next one is taken there"


def test_the_hash_of_the_program_covers_every_class_of_a_world():
    covered = {checkpoints.__name__, *(module.__name__ for module in checkpoints.SAVED_MODULES)}
    for kind in classes_of(checkpoints.SavedWorld, set()):
        module = kind.__module__
        assert module.startswith("core.rollout.") or module in covered, f"{kind} is not in `checkpoints.code_hash`"


def classes_of(kind: Any, met: set[Any]) -> set[Any]:
    """Every dataclass that a value of this type may consist of."""
    if is_dataclass(kind) and kind not in met:
        met.add(kind)
        hints = get_type_hints(kind)
        for one in fields(kind):
            classes_of(hints[one.name], met)
    for inner in get_args(kind):
        classes_of(inner, met)
    return met
