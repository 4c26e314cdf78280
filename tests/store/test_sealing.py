"""What people write is sealed with a key of their own; without it the words are gone, and the log is still whole."""

from dataclasses import replace

import pytest
from sqlalchemy import select, text

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.service.service import RolloutService
from core.store.audit.export import export_events, import_events
from core.store.audit.verify import verify
from core.store.database.connections import connect
from core.store.formats import codec
from core.store.formats.sealing import ERASED, SealingKey
from core.store.log import event_log
from core.store.log.sealing_keys import PersonKey
from core.store.maintenance import erasure
from core.store.models import person_key
from core.store.transaction import append_transaction
from tests.service.conftest import DANA, LEE, Desk
from tests.store.writer import NOON

WORDS = "Mrs Miller from Hanover called twice"


@pytest.fixture
def desk(database):
    desk = Desk(RolloutService(database)).start()
    desk.say(c.Pause(reason="a look"), by=DANA)
    desk.later(seconds=9).say(c.Resume(reason="it is fine"), by=DANA)
    desk.later(seconds=9).say(c.Pause(reason=WORDS), by=LEE)
    return desk


def bodies(database):
    with database.reading() as connection:
        return [row[15] for row in event_log.iterate_raw_rows(connection)]


def reasons(service):
    return {
        r.actor: r.event.reason for r in service.load_history("R-1") if r.type in ("rollout.paused", "rollout.resumed")
    }


def erase(desk, person):
    service = RolloutService(desk.service.database)
    return erasure.erase_words(
        service.database, service.world_cache, person, by="cli:ops", at=desk.at, recorded_at=desk.at
    )


def test_words_are_read_by_the_program_and_not_in_the_database(database, desk):
    assert reasons(desk.service) == {LEE.id: WORDS, DANA.id: "it is fine"}
    assert reasons(RolloutService(database)) == reasons(desk.service), "another process reads them too"
    assert not any(WORDS in body or "@lee" in body for body in bodies(database))


def test_erased_words_are_gone_everywhere_and_the_log_is_whole(database, desk):
    desk.later(seconds=9).say(c.RollBack(reason=WORDS), by=LEE)
    other = RolloutService(database)
    assert WORDS in repr(other.load_world().rollouts["R-1"]), "another process has them in its memory"
    before = bodies(database)
    assert erase(desk, LEE.id)
    assert reasons(desk.service) == {LEE.id: ERASED, DANA.id: "it is fine"}
    assert bodies(database)[: len(before)] == before, "what is stored stays as it was"
    assert WORDS not in repr(other.load_world()), "and it has forgotten them"
    with database.reading() as connection:
        assert verify(connection).problems == ()
        assert event_log.read_after(connection, 0)[-1].event.by == "cli:ops", "that it was done stands in the log"
        assert LEE.id not in connection.execute(select(person_key.c.person)).scalars().all()


def test_what_was_decided_while_words_were_erased_does_not_bring_them_back(database, desk):
    desk.later(seconds=9).say(c.RollBack(reason=WORDS), by=LEE)
    service = RolloutService(database)
    service.load_world()
    with append_transaction(database, service.world_cache, "late") as log:  # builds on what is in memory now
        held = log.log_state
    erase(desk, LEE.id)
    service.load_world()
    late = replace(held, tail=replace(held.tail, position=held.tail.position + 9))
    service.world_cache.store_committed(late, held.tail.position, LEE.id, None)
    assert WORDS not in repr(service.cached_world())


def test_a_key_that_is_gone_without_a_word_is_a_problem(database, desk):
    with database.writing_outside_log() as connection:
        connection.execute(person_key.delete().where(person_key.c.person == LEE.id))
    with database.reading() as connection:
        (problem,) = verify(connection).problems
    assert "cannot be read" in problem.what
    assert problem.position is not None


def test_an_imported_log_has_no_keys_and_is_whole(desk, new_sqlite):
    with desk.service.database.reading() as connection:
        lines = list(export_events(connection))
    with connect(new_sqlite()) as elsewhere:
        import_events(elsewhere, lines)
        with elsewhere.reading() as connection:
            assert verify(connection).problems == ()


def test_who_writes_again_gets_a_new_key(desk):
    erase(desk, LEE.id)
    desk.later(seconds=9).say(c.Resume(reason="again"), by=LEE)
    assert reasons(desk.service)[LEE.id] == "again"
    assert erase(desk, LEE.id)
    assert not erase(desk, "slack:T1/nobody")


def test_what_somebody_wrote_under_every_id_of_theirs_is_erased(database, desk):
    ids = ("slack:E1/U3", "token:operator@U3")
    for actor in ids:
        desk.later(seconds=9).say(c.Resume(reason=WORDS), by=Actor(id=actor, handle="lee"))
        desk.later(seconds=9).say(c.Pause(reason=WORDS), by=Actor(id=actor, handle="lee"))
    assert erase(desk, "slack:E1/U3")
    assert reasons(desk.service) == {**dict.fromkeys((LEE.id, *ids), ERASED), DANA.id: "it is fine"}


def test_a_process_goes_on_deciding_after_somebody_elses_words_were_erased(desk):
    erase(desk, LEE.id)
    desk.later(seconds=9).say(c.Resume(reason="still here"), by=DANA)
    assert desk.service.load_world().rollouts["R-1"].state == "running"
    with desk.service.database.reading() as connection:
        assert verify(connection).problems == ()


def test_the_same_words_look_different_in_every_event_and_the_same_in_the_same():
    key = SealingKey.generate()
    first, again, second = (key.seal({"text": "hm"}, ("text",), event) for event in ("e1", "e1", "e2"))
    assert first == again
    assert first != second
    assert key.seal({"text": ""}, ("text",), "e1") == {"text": ""}


def test_words_under_a_wrong_key_or_in_another_event_are_as_good_as_erased():
    sealed = SealingKey.generate().seal({"text": "hm"}, ("text",), "e1")
    for event, secret in (("e1", SealingKey.generate().secret), ("e2", SealingKey.generate().secret), ("e1", None)):
        assert codec.unseal(sealed, ("text",), event, secret) == {"text": ERASED}


def test_every_field_that_holds_words_exists():
    for kind in codec.EVENT_CODEC.classes.values():
        assert set(getattr(kind, "WRITTEN", ())) <= set(kind.__dataclass_fields__)


def test_an_erased_key_leaves_no_trace_in_a_sqlite_file(sqlite_database):
    desk = Desk(RolloutService(sqlite_database)).start()
    with sqlite_database.reading() as connection:
        (secret,) = connection.execute(text("SELECT secret FROM person_key WHERE person = :p"), {"p": LEE.id}).one()
    erase(desk, LEE.id)
    sqlite_database.close()
    assert secret not in sqlite_database.path.read_bytes()


def test_a_key_that_was_made_and_never_written_is_made_anew():
    words = NewEvent(stream="rollout:R-1", event=e.ConcernRaised(notice="general", by="U1", handle="@lee", text=WORDS))
    held = PersonKey("lee", None)
    key = held.get_or_create([words])
    assert held.stored_key is None
    assert held.take_new_row(NOON) == (key.key_id, "lee", key.secret, NOON)
    assert held.stored_key == (key.key_id, key.secret)
