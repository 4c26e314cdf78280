"""Any single bit of a stored event that is not what it was is named at that event's position, and at no other."""

import random

import pytest
from sqlalchemy.exc import DBAPIError

from core.store.audit.verify import verify
from core.store.database.append_queries import EVENT_COLUMNS
from core.store.log import event_log
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.transaction import append_transaction
from core.store.world.world_cache import WorldCache
from tests.trials.length import pick

TIMES = ("at", "recorded_at")
SAMPLES = {"sqlite": pick(1_800, None), "postgresql": pick(200, None)}  # how many of the bits; None: all


@pytest.fixture
def three(database, entry, noon):
    """Three events in two commands and two streams, with something in every column that can hold something."""
    folds = WorldCache(database)
    for command_id, entries in (("c1", [entry("surface:a"), entry("surface:b")]), ("c2", [entry("surface:b")])):
        with append_transaction(database, folds, command_id) as log:
            origin = EventOrigin(
                command_id=command_id,
                actor="slack:T1/U1",
                at=noon,
                recorded_at=noon,
                source="C1/1.0",
                cause_id="e-0",
                correlation_id="r-1",
            )
            steps = log.append(entries, origin)
            first, last = steps[0].stored.position, steps[-1].stored.position
            log.store_answer(
                command_id, "f", CommandAnswer(first_position=first, last_position=last, result_json="{}", at=noon)
            )
    return database


def unprotect(connection):
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER USER")
        return
    for name in ("events_continue_the_chain", "events_never_change", "events_never_go"):
        connection.exec_driver_sql(f"DROP TRIGGER {name}")


def width(value):
    return 64 if isinstance(value, int) else 8 * len(value.encode() if isinstance(value, str) else value)


def flipped(value, bit):
    """The stored value with one bit turned over; text as the bytes that stand in the file."""
    if isinstance(value, int):
        turned = (value ^ (1 << bit)) & (2**64 - 1)
        return turned - 2**64 if turned >= 2**63 else turned
    turned = bytearray(value.encode() if isinstance(value, str) else value)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


def sqlite_set(connection, position, column, value, was):
    mark = "CAST(? AS TEXT)" if isinstance(was, str) else "?"
    statement = f"UPDATE events SET {column} = {mark} WHERE position = ?"
    connection.exec_driver_sql(statement, (value, position))


def postgres_set(connection, position, column, bit, value, was):
    if column in TIMES:
        change = f"{column} + interval '{2 ** (bit % 40)} microseconds'"
    elif isinstance(was, str):
        change = f"convert_from('\\x{value.hex()}', 'LATIN1')"
    else:
        change = f"'\\x{value.hex()}'" if isinstance(value, bytes) else str(value)
    connection.exec_driver_sql(f"UPDATE events SET {column} = {change} WHERE position = {position}".replace("%", "%%"))


def named(connection):
    """The positions at which something is wrong; that the triggers are off is known."""
    return sorted({p.position for p in verify(connection).problems if p.position is not None})


def bits(rows):
    for position, row in enumerate(rows, start=1):
        for column, value in zip(EVENT_COLUMNS, row, strict=True):
            if value is not None:
                yield from ((position, column, value, bit) for bit in range(width(value)))


def test_every_flipped_bit_is_named_at_its_position_and_only_there(three):
    with three.writing() as connection:
        unprotect(connection)
        rows = list(event_log.iterate_raw_rows(connection))
        flips = list(bits(rows))
        assert len(flips) > 7000
        flips = random.Random(20261123).sample(flips, SAMPLES[three.dialect] or len(flips))
        wrong = []
        for position, column, was, bit in flips:
            turned = flipped(was, bit)
            connection.exec_driver_sql("SAVEPOINT before")
            try:
                if three.dialect == "sqlite":
                    sqlite_set(connection, position, column, turned, was)
                else:
                    postgres_set(connection, position, column, bit, turned, was)
                found = named(connection)
            except DBAPIError:
                found = None  # the database cannot hold it, or another event holds it: nothing was changed
            finally:
                connection.exec_driver_sql("ROLLBACK TO before")
            if found is not None and not located(column, position, turned, found):
                wrong.append((position, column, bit, found))
        assert wrong == []
        assert named(connection) == []


def located(column, position, turned, found):
    """A row whose own position is another stands elsewhere: then the gap is named, and where it stands now."""
    if column == "position":
        return position in found and set(found) <= {position, turned, 4}
    return found == [position]
