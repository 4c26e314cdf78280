"""A command takes two trips to Postgres, or one, and whoever listens is told of it."""

import threading
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from core.rollout import commands as c
from core.rollout.refusal import NotFound
from core.service import Service
from core.store import erasing, event_log, postgres_append, timers
from core.store.appending import appending
from core.store.appending import carry_out as append
from core.store.database import connect
from core.store.errors import LeaseLost
from core.store.event_log import Entry, Origin
from core.store.folds import Folds
from core.store.sealing import ERASED
from core.store.two_trips import Claim
from core.store.verify import verify
from core.store.wakeups import Wakeups
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
            wakeups = Wakeups(database, woken.set, lambda _: deaf.set())
            stack.callback(wakeups.stop)
            wakeups.start()
            return woken, deaf

        yield start


def origin(command_id, at):
    return Origin(command_id=command_id, actor="cli:test", at=at, recorded_at=at)


@pytest.fixture
def trips(monkeypatch):
    """What each trip consisted of."""
    seen, pipe = [], postgres_append.pipe

    def piped(raw, steps):
        seen.append(" ".join(name.decode() for name, _ in steps))
        return pipe(raw, steps)

    monkeypatch.setattr(postgres_append, "pipe", piped)
    return seen


READ, WRITE, ONCE, UNDO = "begin open", "append commit", "once", "undo"


def test_the_first_command_takes_two_trips_and_whatever_follows_takes_one(postgres, trips, noon):
    carry_out(postgres, "c1", noon)
    assert trips == [READ, WRITE], "one locks and reads, one writes and commits"
    carry_out(postgres, "c2", noon)
    carry_out(postgres, "c3", noon)
    assert trips[2:] == [ONCE, ONCE]
    with postgres.reading() as connection:
        assert [e.command_id for e in event_log.after(connection, 0)] == ["c1", "c1", "c2", "c2", "c3", "c3"]
        assert verify(connection).problems == ()


def test_what_was_decided_before_somebody_else_appended_is_decided_anew(postgres, trips, noon):
    carry_out(postgres, "c1", noon)
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as other:
        carry_out(other, "c2", noon)
    trips.clear()
    assert carry_out(postgres, "c3", noon) == '{"first":5}'
    assert trips == [ONCE, READ, WRITE]
    with postgres.reading() as connection:
        assert verify(connection).problems == ()


def test_who_read_what_others_appended_does_not_guess(postgres, trips, noon):
    carry_out(postgres, "c1", noon)
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as other:
        carry_out(other, "c2", noon)
    writer._FOLDS[postgres].refresh()
    trips.clear()
    carry_out(postgres, "c3", noon)
    assert trips == [READ, WRITE]


def test_a_repeat_writes_nothing(postgres, trips, noon):
    first = carry_out(postgres, "c1", noon)
    trips.clear()
    assert carry_out(postgres, "c1", noon) == first
    assert trips == [ONCE, READ, "commit"]


def test_a_refusal_counts_only_on_the_newest_state(postgres, trips, noon):
    def unknown_to_one_who_is_behind(log):
        if log.world.position < 4:
            raise NotFound("There is no such thing.")
        return log.world.position

    carry_out(postgres, "c1", noon)
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as other:
        carry_out(other, "c2", noon)
    trips.clear()
    assert append(postgres, writer._FOLDS[postgres], "c3", unknown_to_one_who_is_behind) == 4
    assert trips == [READ, "commit"]


def test_a_slot_that_somebody_else_has_by_now_is_not_run_in_one_trip_either(postgres, trips, noon):
    carry_out(postgres, "c1", noon)
    ours = timers.claim(postgres, "tick", noon, now=noon, lease=timedelta(seconds=1))
    theirs = timers.claim(postgres, "tick", noon, now=noon + timedelta(seconds=2), lease=timedelta(seconds=9))
    trips.clear()
    for token, done in ((ours, False), (theirs, True)):
        command = f"by {token}"
        write = partial(writer._write, command, noon)
        with nullcontext() if done else pytest.raises(LeaseLost):
            append(postgres, writer._FOLDS[postgres], command, write, claim=Claim("tick", noon, token))
    assert trips == [ONCE, READ, UNDO, ONCE]
    assert timers.claim(postgres, "tick", noon, now=noon + timedelta(days=1), lease=timedelta(seconds=9)) is None
    with postgres.reading() as connection:
        assert {e.command_id for e in event_log.after(connection, 0)} == {"c1", f"by {theirs}"}


def test_words_are_sealed_in_one_trip_too_and_never_with_a_key_that_is_gone(postgres, trips, noon):
    desk = Desk(Service(postgres)).start()

    def stop_and_go(number, by=LEE):
        desk.later(seconds=9).say(c.Pause(reason=f"stop {number}"), by=by)
        desk.later(seconds=9).say(c.Resume(reason=f"go {number}"), by=by)

    stop_and_go(1)
    assert trips[-2:] == [ONCE, ONCE], "a key that is made goes along"
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as other:
        assert erasing.erase(other, Folds(other), LEE.id, by="cli:ops", at=desk.at, recorded_at=desk.at)
    desk.service.world()
    stop_and_go(0, by=DANA)  # now it is this process that has appended last
    stop_and_go(2)
    stop_and_go(3)
    assert trips[-2:] == [ONCE, ONCE]
    assert erasing.erase(postgres, desk.service.folds, LEE.id, by="cli:ops", at=desk.at, recorded_at=desk.at)
    stop_and_go(4)
    said = [
        r
        for r in Service(postgres).history("R-1")
        if r.actor == LEE.id and r.type in ("rollout.paused", "rollout.resumed")
    ]
    assert [r.event.reason for r in said] == [*[ERASED] * 6, "stop 4", "go 4"]
    with postgres.reading() as connection:
        assert verify(connection).problems == ()


def test_text_that_postgres_cannot_keep_is_refused_and_never_cut_short(postgres, noon):
    with pytest.raises(Exception, match="NUL character"):
        carry_out(postgres, "before\0after", noon)
    assert carry_out(postgres, "after", noon) == '{"first":1}'


def test_a_command_of_many_megabytes_is_sent_whole(postgres, noon):
    """More than fits into the socket at once: the other side must be let read meanwhile."""
    large = "x" * 8_000_000
    folds = Folds(postgres)
    with appending(postgres, folds, "large") as log:
        log.append([Entry(stream="surface:a", event=declared("a", large))], origin("large", noon))
    assert Folds(postgres).refresh().surfaces["a"].title == large


def test_another_process_is_woken_by_a_commit(postgres, listening, noon):
    with connect(postgres.engine.url.render_as_string(hide_password=False)) as other:
        woken, _ = listening(other)
        assert woken.wait(SOON), "once when it begins, for what came before"
        woken.clear()
        carry_out(postgres, "c1", noon)
        assert woken.wait(SOON)


def test_a_listener_that_is_cut_off_says_so_and_listens_again(postgres, listening, monkeypatch, noon):
    monkeypatch.setattr("core.store.wakeups._RECONNECT_AFTER", 0.05)
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
