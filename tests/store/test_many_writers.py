"""Several writers at once, and writers that are killed: nothing lost, nothing twice, nothing out of order."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from core.store.audit.verify import verify
from core.store.coordination import outbox
from core.store.database.connections import connect
from core.store.errors import DatabaseBusy, IdempotencyConflict
from core.store.log import answered_commands, event_log
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.models import outbox as outbox_table
from core.store.transaction import append_transaction
from core.store.world.world_cache import WorldCache
from tests.forks import start_program

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def carry_out():
    spec = importlib.util.spec_from_file_location("writer", WRITER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.carry_out


def start(url, prefix, first, count):
    return start_program("tests.store.writer", url, prefix, str(first), str(count), is_read=True)


def test_a_tail_reader_sees_every_event_once_and_in_order(database, database_url, carry_out, noon):
    each, seen = 60, []
    processes = [start(database_url, name, 0, each) for name in ("p1", "p2")]
    with ThreadPoolExecutor(2) as threads:
        work = [
            threads.submit(lambda name=name: [carry_out(database, f"{name}-{n}", noon) for n in range(each)])
            for name in ("t1", "t2")
        ]
        while len(seen) < 4 * each * 2:
            assert all(process.poll() in (None, 0) for process in processes)
            assert not [done for done in work if done.done() and done.exception()]
            with database.reading() as connection:
                seen += [e.position for e in event_log.read_after(connection, seen[-1] if seen else 0, limit=50)]
        assert all(len(done.result()) == each for done in work)
    for process in processes:
        process.read_rest(timeout=30)
    assert seen == list(range(1, 4 * each * 2 + 1))
    with database.reading() as connection:
        assert verify(connection).problems == ()


def test_the_same_command_at_the_same_moment_is_carried_out_once(database, carry_out, noon):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: carry_out(database, "twice-clicked", noon), range(16)))
    assert set(answers) == {'{"first":1}'}
    with database.reading() as connection:
        assert event_log.read_head(connection)[0] == 2
        assert connection.execute(select(outbox_table.c.id)).all() == [(1,)]


def test_a_key_that_was_used_for_something_else_is_a_conflict(database, append):
    append("c1")
    with database.reading() as connection:
        assert answered_commands.find_answer(connection, "unknown", "f") is None
        assert answered_commands.find_answer(connection, "c1", "f").last_position == 1
        with pytest.raises(IdempotencyConflict, match="new key"):
            answered_commands.find_answer(connection, "c1", "another request")


def test_a_command_without_events_is_remembered_too(database, noon):
    with append_transaction(database, WorldCache(database), "refused") as log:
        answer = CommandAnswer(first_position=None, last_position=None, result_json='{"refused":"no"}', at=noon)
        log.store_answer("refused", "f", answer)
    with database.reading() as connection:
        answer = answered_commands.find_answer(connection, "refused", "f")
    assert (answer.first_position, answer.result_json, answer.at) == (None, '{"refused":"no"}', noon)


def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_done_twice(database, database_url):
    wanted, acknowledged = 40, []
    for kill_after in (1, 7, 18):
        process = start(database_url, "k", 0, wanted)
        acknowledged = [process.stdout.readline().strip() for _ in range(kill_after)]
        process.kill()
        process.read_rest(timeout=30)
        with database.reading() as connection:
            done = {each.command_id for each in event_log.read_after(connection, 0)}
            assert set(acknowledged) <= done
            assert verify(connection).problems == ()
    finishing = start(database_url, "k", 0, wanted)
    finishing.read_rest(timeout=60)
    assert finishing.poll() == 0
    with database.reading() as connection:
        log = event_log.read_after(connection, 0)
        assert [e.command_id for e in log] == [f"k-{n}" for n in range(wanted) for _ in range(2)]
        assert [e.position for e in log] == list(range(1, 2 * wanted + 1))
        assert outbox.measure_backlog(connection).pending == wanted
        assert verify(connection).problems == ()


def test_sqlite_and_postgres_give_the_same_hashes(new_sqlite, new_postgres, carry_out, noon):
    heads = []
    for url in (new_sqlite(), new_postgres()):
        with connect(url) as database:
            for number in range(5):
                carry_out(database, f"c-{number}", noon)
            with database.reading() as connection:
                heads.append(event_log.read_head(connection))
    assert heads[0] == heads[1]
    assert heads[0][0] == 10


def test_a_reader_does_not_wait_for_a_writer_and_sees_one_moment(database, append, entry, noon):
    append("c1")
    with database.reading() as reading:
        assert event_log.read_head(reading)[0] == 1
        with append_transaction(database, WorldCache(database), "c2") as log:
            log.append([entry()], EventOrigin(command_id="c2", actor="a", at=noon, recorded_at=noon))
            assert event_log.read_head(reading)[0] == 1
        assert event_log.read_head(reading)[0] == 1
    with database.reading() as reading:
        assert event_log.read_head(reading)[0] == 2


def test_writing_inside_writing_is_refused_instead_of_waiting_for_ever(database):
    with database.writing(), pytest.raises(RuntimeError, match="already inside"), database.writing_outside_log():
        pass
    with database.writing():
        pass


def test_a_lock_held_by_others_is_busy_and_not_for_ever(new_postgres, monkeypatch, carry_out, noon):
    monkeypatch.setattr("core.store.database.connections.LOCK_TIMEOUT", "50ms")
    with connect(new_postgres()) as one, connect(str(one.engine.url.render_as_string(hide_password=False))) as two:
        with one.writing(), pytest.raises(DatabaseBusy, match="Try again"), two.writing():
            pass
        with one.writing(), pytest.raises(DatabaseBusy, match="Try again"):
            carry_out(two, "c", noon)
        with two.writing():
            pass
        assert carry_out(two, "c", noon) == '{"first":1}'


def test_a_connection_that_was_lost_while_nobody_used_it_is_replaced_unseen(new_postgres, carry_out, noon):
    with connect(new_postgres()) as database:
        carry_out(database, "before", noon)
        with database.reading() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
        assert carry_out(database, "after", noon) == '{"first":3}'


def test_a_connection_that_is_cut_is_known_as_such_and_the_command_can_be_sent_again(new_postgres, carry_out, noon):
    with connect(new_postgres()) as database:
        carry_out(database, "before", noon)

        def cut() -> None:
            with append_transaction(database, WorldCache(database), "cut"), database.engine.connect() as other:
                holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
                other.execute(text(f"SELECT pg_terminate_backend(({holder}))"))

        with pytest.raises(DBAPIError) as caught:
            cut()
        assert caught.value.connection_invalidated
        assert carry_out(database, "before", noon) == '{"first":1}'
        assert carry_out(database, "after", noon) == '{"first":3}'
