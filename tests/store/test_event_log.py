"""The log: gapless positions, versions per stream, a chain over everything, and nothing lost or told twice."""

import hashlib
import json
from datetime import timedelta
from uuid import UUID, uuid5

import pytest
from sqlalchemy.exc import IntegrityError

from core.store.formats import chain, instants
from core.store.log import event_log
from core.store.log.event_log import EventOrigin
from core.store.transaction import append_transaction
from core.store.world.world_cache import WorldCache


def test_what_was_appended_is_read_back(database, append, entry, noon):
    recorded = append("c1", [entry("surface:a", "one"), entry("surface:b", "two"), entry("surface:a", "drei – ✓")])
    with database.reading() as connection:
        assert event_log.read_after(connection, 0) == recorded
        assert event_log.read_stream(connection, "surface:a") == (recorded[0], recorded[2])
        assert event_log.read_head(connection) == (3, recorded[2].hash)
    assert [(each.position, each.stream, each.version, each.command_seq) for each in recorded] == [
        (1, "surface:a", 1, 1),
        (2, "surface:b", 1, 2),
        (3, "surface:a", 2, 3),
    ]
    assert (recorded[0].at, recorded[0].actor, recorded[0].type) == (noon, "slack:U1", "surface.declared")


def test_an_empty_log_has_a_head_of_zeros(database):
    with database.reading() as connection:
        assert event_log.read_head(connection) == (0, bytes(32))


def test_each_hash_covers_the_one_before(append):
    first, second = append("c1")[0], append("c2")[0]
    assert first.prev_hash == chain.GENESIS_HASH
    assert second.prev_hash == first.hash
    assert second.hash != first.hash


def test_the_hash_is_the_documented_one(database, append):
    append("c1")
    with database.reading() as connection:
        row = next(event_log.iterate_raw_rows(connection))
    header = json.dumps(row[:15], separators=(",", ":"), ensure_ascii=False).encode()
    by_hand = hashlib.sha256(bytes(32) + header + hashlib.sha256(row[15].encode()).digest()).digest()
    assert bytes(row[17]) == by_hand


def test_a_long_log_is_read_in_pages_each_event_once(database, append, entry):
    append("c1", [entry()] * 1203)
    with database.reading() as connection:
        pages = list(event_log.iterate_raw_pages(connection))
        assert len(pages) > 1
        read = [row for page in pages for row in page]
        assert [row[0] for row in read] == list(range(1, 1204))
        assert list(event_log.iterate_raw_rows(connection)) == read
        assert list(event_log.iterate_raw_rows(connection, 7, 1100)) == read[6:1100]


def test_the_time_of_recording_never_goes_back(append, noon):
    append("c1", at=noon)
    earlier = append("c2", at=noon - timedelta(hours=1))[0]
    assert earlier.at == noon - timedelta(hours=1)
    assert earlier.recorded_at == noon


def test_a_command_that_fails_half_way_leaves_nothing(database, entry, noon):
    folds = WorldCache(database)

    def half() -> None:
        with append_transaction(database, folds, "c") as log:
            log.append([entry()], EventOrigin(command_id="c", actor="a", at=noon, recorded_at=noon))
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        half()
    assert folds.refresh().position == 0


def test_only_a_writing_transaction_may_insert(database, append):
    append("c1")
    with database.writing_outside_log() as connection, pytest.raises(RuntimeError, match="append lock"):
        event_log.insert_rows(connection, list(event_log.iterate_raw_rows(connection)))


def test_the_same_command_cannot_append_twice(database, append):
    append("c1")
    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        append("c1")
    with database.reading() as connection:
        assert event_log.read_head(connection)[0] == 1


def test_a_moment_without_a_zone_is_refused(append, noon):
    with pytest.raises(ValueError, match="time zone"):
        append("c1", at=noon.replace(tzinfo=None))


def test_many_streams_in_pages(database, append, entry):
    for number in range(5):
        append(f"c{number}", [entry(f"surface:{number}")])
    with database.reading() as connection:
        first = event_log.read_after(connection, 0, limit=3)
        rest = event_log.read_after(connection, first[-1].position, limit=3)
    assert [each.position for each in (*first, *rest)] == [1, 2, 3, 4, 5]


def test_moments_sort_as_text(noon):
    assert instants.format_instant(noon) == "2026-11-23T12:00:00.250000Z"
    assert instants.format_instant(noon.replace(microsecond=0)) < instants.format_instant(noon)
    assert instants.parse_instant(instants.format_instant(noon)) == noon


@pytest.mark.parametrize("command", ["c1", "slack:Ev0/1", "a\x1fb", "é", ""])
def test_the_id_of_an_event_is_the_uuid_of_its_command_and_number(command):
    ours = UUID("6f1f2f7c-3c53-4a39-9b0e-2a4f6d1c9e77")
    assert event_log.derive_event_id(command, 7) == str(uuid5(ours, f"{command}\x1f7"))
