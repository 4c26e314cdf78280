"""A command takes two trips to Postgres, and whoever listens is told of it."""

import threading
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from core.store import postgres_append
from core.store.appending import appending
from core.store.database import connect
from core.store.event_log import Entry, Origin
from core.store.folds import Folds
from core.store.wakeups import Wakeups
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


def test_one_trip_locks_and_reads_and_one_writes_and_commits(postgres, monkeypatch, noon):
    trips, pipe = [], postgres_append.pipe
    carry_out(postgres, "the first one prepares", noon)
    monkeypatch.setattr(postgres_append, "pipe", lambda raw, steps: trips.append(len(steps)) or pipe(raw, steps))
    carry_out(postgres, "c1", noon)
    assert trips == [2, 2]
    carry_out(postgres, "c1", noon)
    assert trips == [2, 2, 2, 1], "a repeat has nothing to write"


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
