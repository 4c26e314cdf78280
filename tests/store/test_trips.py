"""A command takes two trips to Postgres, or one, and whoever listens is told of it."""

import threading
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot import doctor
from bot.settings import Settings
from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.coordination import timers
from core.store.database.append_backend import TimerClaim
from core.store.database.connections import connect
from core.store.database.postgres import postgres_append
from core.store.errors import DatabaseUnwritable, LeaseLost
from core.store.formats.sealing import ERASED
from core.store.log import event_log
from core.store.log.append_notifications import AppendListener
from core.store.log.event_log import EventOrigin
from core.store.maintenance import erasure
from core.store.transaction import append_transaction
from core.store.transaction import run_append_transaction as append
from core.store.world.world_cache import WorldCache
from tests.service.conftest import DANA, LEE, Desk
from tests.store import writer
from tests.store.writer import carry_out, declared

SOON = 10  # seconds, within which a thread that has something to do has done it


@pytest.fixture
def postgres(new_postgres):
    with connect(new_postgres()) as database:
        yield database


@pytest.fixture
def listening():
    with ExitStack() as stack:

        def start(database):
            woken, deaf = threading.Event(), threading.Event()
            wakeups = AppendListener(database, woken.set, lambda _: deaf.set())
            stack.callback(wakeups.stop)
            wakeups.start()
            return woken, deaf

        yield start


def origin(command_id, at):
    return EventOrigin(command_id=command_id, actor="cli:test", at=at, recorded_at=at)


@pytest.fixture
def trips(monkeypatch):
    """What each trip consisted of."""
    seen, pipe = [], postgres_append.run_pipeline

    def piped(raw, steps):
        seen.append(" ".join(name.decode() for name, _ in steps))
        return pipe(raw, steps)

    monkeypatch.setattr(postgres_append, "run_pipeline", piped)
    return seen


READ, WRITE, ONCE, UNDO = "begin open", "append commit", "once", "undo"


@pytest.fixture
def settled(postgres, noon):
    """A process that has appended twice, and nobody else has."""
    for command in ("c1", "c2"):
        carry_out(postgres, command, noon)
    return postgres


@pytest.fixture
def other(postgres):
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as database:
        yield database


def commands_of(database):
    with database.reading() as connection:
        assert verify(connection).problems == ()
        return [e.command_id for e in event_log.read_after(connection, 0)][::2]


def test_who_appends_alone_takes_one_trip_after_a_while(postgres, trips, noon):
    for number in range(4):
        carry_out(postgres, f"c{number}", noon)
    assert trips == [READ, WRITE, READ, WRITE, ONCE, ONCE], (
        "one locks and reads, one writes and commits; or all at once"
    )
    assert commands_of(postgres) == ["c0", "c1", "c2", "c3"]


def test_what_was_decided_before_somebody_else_appended_is_decided_anew(settled, other, trips, noon):
    carry_out(other, "others", noon)
    trips.clear()
    assert carry_out(settled, "ours", noon) == '{"first":7}'
    assert trips == [ONCE, READ, WRITE]
    assert commands_of(settled) == ["c1", "c2", "others", "ours"]


def test_those_who_take_turns_do_not_guess(settled, other, trips, noon):
    for number in range(3):
        carry_out(other, f"others {number}", noon)
        carry_out(settled, f"ours {number}", noon)
    assert trips.count(ONCE) == 1, "the first time, when nobody else had appended yet"


def test_who_read_what_others_appended_does_not_guess(settled, other, trips, noon):
    carry_out(other, "others", noon)
    writer._FOLDS[settled].refresh()
    trips.clear()
    carry_out(settled, "ours", noon)
    assert trips == [READ, WRITE]


def test_a_repeat_writes_nothing(settled, trips, noon):
    first = carry_out(settled, "c3", noon)
    trips.clear()
    assert carry_out(settled, "c3", noon) == first
    assert trips == [ONCE, READ, "commit"]


def test_a_refusal_on_what_is_outdated_is_neither_told_nor_kept(postgres, other, trips):
    desk = Desk(RolloutService(postgres)).start()
    elsewhere = Desk(RolloutService(other))
    elsewhere.say(c.Pause(reason="by another process"), by=DANA)
    trips.clear()
    desk.later(seconds=9).say(c.Resume(reason="which is nothing to a process that is behind"), by=LEE)
    assert trips[:3] == [ONCE, READ, WRITE]
    assert desk.service.load_world().rollouts["R-1"].state is RolloutState.RUNNING


def test_a_commit_that_is_refused_at_the_very_end_leaves_nothing_behind(settled, trips, noon):
    """What is checked only at the commit fails after the single trip has already answered that all is well."""
    deferred = (
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END'",
        "CREATE CONSTRAINT TRIGGER never AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION never()",
    )
    with settled.writing_outside_log() as connection:
        for statement in deferred:
            connection.exec_driver_sql(statement)
    trips.clear()
    with pytest.raises(DBAPIError, match="not today"):
        carry_out(settled, "c3", noon)
    assert trips == [ONCE]
    with settled.writing_outside_log() as connection:
        connection.exec_driver_sql("DROP TRIGGER never ON outbox")
    carry_out(settled, "c4", noon)
    assert commands_of(settled) == ["c1", "c2", "c4"]


def test_who_cannot_know_whether_it_was_written_is_not_told_that_nothing_was(new_postgres, monkeypatch):
    """The answer was lost on its way, and what could tell is kept waiting for too long."""
    monkeypatch.setattr("core.store.database.connections.LOCK_TIMEOUT", "50ms")
    url = new_postgres()
    with connect(url) as database, connect(url) as other:
        desk = Desk(RolloutService(database)).start()
        pipe, cut = postgres_append.run_pipeline, []

        def once_lost(raw, steps):
            row = pipe(raw, steps)
            if not cut and steps[0][0] == b"once":
                cut.append(True)
                locked.__enter__()
                raw.close()
                raise postgres_append.ConnectionLost("the connection is lost")
            return row

        monkeypatch.setattr(postgres_append, "run_pipeline", once_lost)
        locked = other.writing()
        with pytest.raises(DBAPIError) as told:
            desk.say(c.Pause(reason="a look"), by=DANA)
        locked.__exit__(None, None, None)
        assert told.value.connection_invalidated
        assert desk.service.load_world().rollouts["R-1"].state is RolloutState.PAUSED


def test_a_pooler_that_mixes_up_prepared_statements_is_named(new_postgres):
    """Its next connection to Postgres lacks those of this one, or has those of another client."""
    with connect(new_postgres()) as database:
        desk = Desk(RolloutService(database)).start()
        database.try_append()
        with database.appending() as backend:
            backend._dedicated.get_or_open().dbapi_connection.execute("DEALLOCATE ALL")
        with pytest.raises(DatabaseUnwritable, match=r"pooler.*prepared statement.*PgBouncer"):
            desk.say(c.Pause(reason="a look"), by=DANA)
        desk.say(c.Pause(reason="a look"), by=DANA)
        assert desk.service.load_world().rollouts["R-1"].state is RolloutState.PAUSED


def test_a_trip_that_was_broken_off_is_not_taken_for_the_next_one(settled, monkeypatch, noon):
    waiting = postgres_append._wait_for_socket

    def interrupted(*_):
        monkeypatch.setattr(postgres_append, "_wait_for_socket", waiting)
        raise KeyboardInterrupt

    monkeypatch.setattr(postgres_append, "_wait_for_socket", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carry_out(settled, "c3", noon)
    assert carry_out(settled, "c4", noon) == carry_out(settled, "c4", noon)
    done = commands_of(settled)
    assert done[-1] == "c4"
    assert done.count("c4") == 1


def test_another_log_of_the_same_length_is_not_taken_for_ours(settled, new_postgres, trips, monkeypatch, noon):
    """As after a fail-over to a standby that had not got everything."""
    with connect(new_postgres()) as instead:
        for command in ("c1", "something else"):
            carry_out(instead, command, noon)
        trips.clear()
        monkeypatch.setattr(settled._append_backend, "_dedicated", instead._append_backend._dedicated)
        append(settled, writer._FOLDS[settled], "c3", lambda _: None)
        assert trips == [ONCE, READ, "commit"]


def test_a_slot_that_somebody_else_has_by_now_is_not_run_in_one_trip_either(settled, trips, noon):
    ours = timers.claim(settled, "tick", noon, now=noon, lease=timedelta(seconds=1))
    theirs = timers.claim(settled, "tick", noon, now=noon + timedelta(seconds=2), lease=timedelta(seconds=9))
    trips.clear()
    for token, done in ((ours, False), (theirs, True)):
        command = f"by {token}"
        write = partial(writer._write, command, noon)
        with nullcontext() if done else pytest.raises(LeaseLost):
            append(settled, writer._FOLDS[settled], command, write, claim=TimerClaim("tick", noon, token))
    assert trips == [ONCE, READ, UNDO, ONCE]
    assert timers.claim(settled, "tick", noon, now=noon + timedelta(days=1), lease=timedelta(seconds=9)) is None
    assert commands_of(settled) == ["c1", "c2", f"by {theirs}"]


def test_words_are_sealed_in_one_trip_too_and_never_with_a_key_that_is_gone(postgres, other, trips):
    desk = Desk(RolloutService(postgres)).start()

    def stop_and_go(number, by=LEE):
        desk.later(seconds=9).say(c.Pause(reason=f"stop {number}"), by=by)
        desk.later(seconds=9).say(c.Resume(reason=f"go {number}"), by=by)

    stop_and_go(1)
    assert trips[-2:] == [ONCE, ONCE], "a key that is made goes along"
    assert erasure.erase_words(other, WorldCache(other), LEE.id, by="cli:ops", at=desk.at, recorded_at=desk.at)
    desk.service.load_world()
    stop_and_go(0, by=DANA)  # now it is this process that has appended last
    stop_and_go(2)
    stop_and_go(3)
    assert trips[-2:] == [ONCE, ONCE]
    assert erasure.erase_words(
        postgres, desk.service.world_cache, LEE.id, by="cli:ops", at=desk.at, recorded_at=desk.at
    )
    stop_and_go(4)
    by_lee = [r.event for r in RolloutService(postgres).load_history("R-1") if r.actor == LEE.id]
    assert [one.reason for one in by_lee if isinstance(one, e.Paused | e.Resumed)] == [
        *[ERASED] * 6,
        "stop 4",
        "go 4",
    ]
    with postgres.reading() as connection:
        assert verify(connection).problems == ()


def test_text_that_postgres_cannot_keep_is_refused_and_never_cut_short(postgres, noon):
    with pytest.raises(Exception, match="NUL character"):
        carry_out(postgres, "before\0after", noon)
    assert carry_out(postgres, "after", noon) == '{"first":1}'


def test_a_command_of_many_megabytes_is_sent_whole(postgres, noon):
    """More than fits into the socket at once: the other side must be let read meanwhile."""
    large = "x" * 8_000_000
    folds = WorldCache(postgres)
    with append_transaction(postgres, folds, "large") as log:
        log.append([NewEvent(stream="surface:a", event=declared("a", large))], origin("large", noon))
    assert WorldCache(postgres).refresh().surfaces["a"].title == large


def test_another_process_is_woken_by_a_commit(postgres, listening, noon):
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as other:
        woken, _ = listening(other)
        assert woken.wait(SOON), "once when it begins, for what came before"
        woken.clear()
        carry_out(postgres, "c1", noon)
        assert woken.wait(SOON)


def test_a_listener_that_is_cut_off_says_so_and_listens_again(postgres, listening, monkeypatch, noon):
    monkeypatch.setattr("core.store.log.append_notifications._RECONNECT_AFTER", 0.05)
    woken, deaf = listening(postgres)
    assert woken.wait(SOON)
    woken.clear()
    with postgres.engine.connect() as connection:
        listeners = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        connection.execute(text(f"{listeners} AND datname = current_database()"))
    assert deaf.wait(SOON)
    assert woken.wait(SOON), "it looks at once for what it has not heard"
    woken.clear()
    carry_out(postgres, "c1", noon)
    assert woken.wait(SOON)


def test_on_sqlite_nobody_listens(sqlite_database, listening):
    woken, deaf = listening(sqlite_database)
    assert not woken.is_set()
    assert not deaf.is_set()


def test_the_doctor_finds_that_no_command_gets_through(new_postgres, monkeypatch):
    monkeypatch.setattr("core.store.database.connections.LOCK_TIMEOUT", "50ms")
    url = new_postgres()
    with connect(url) as other, other.writing():
        found = {one.what: one for one in doctor.examine_installation(Settings(database_url=url))}
    assert not found["database"].ok
    assert "takes no command, so no rollback can be saved: The database stayed locked" in found["database"].text
