"""The log cannot be changed by accident, and a change made on purpose is found and located."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.store.audit.verify import LogProblem, verify
from core.store.database.append_queries import EVENT_COLUMNS
from core.store.schema import migrations, triggers

INSERT = "INSERT INTO events SELECT {columns} FROM events WHERE position = {like}"


@pytest.fixture
def five(append, entry):
    """A log of five events in three commands."""
    append("c1", [entry("surface:a"), entry("surface:b")])
    append("c2", [entry("surface:a"), entry("surface:a")])
    append("c3", [entry("surface:b")])


def problems(database, **span):
    with database.reading() as connection:
        return verify(connection, **span).problems


def positions(database, **span):
    return [problem.position for problem in problems(database, **span)]


def unprotected(database, *statements):
    """Change the log as somebody with full rights would, and put the triggers back so that only the change shows."""
    with database.writing() as connection:
        if database.dialect == "sqlite":
            for name in ("events_continue_the_chain", "events_never_change", "events_never_go"):
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement))
        if database.dialect == "sqlite":
            triggers.install(connection)
        else:
            connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            for name in ("events_continue_the_chain", "events_never_change", "events_never_go"):
                connection.execute(text(f"ALTER TABLE events ENABLE ALWAYS TRIGGER {name}"))


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'someone else' WHERE position = 2",
        "DELETE FROM events WHERE position = 5",
        "DELETE FROM events",
        # a gap, a repeated position, and an event that forgets the chain
        INSERT.format(columns=", ".join(EVENT_COLUMNS).replace("position", "7", 1), like=5),
        INSERT.format(columns=", ".join(EVENT_COLUMNS), like=5),
        INSERT.format(columns=", ".join(EVENT_COLUMNS).replace("position", "6", 1).replace("version", "3", 1), like=5),
    ],
)
def test_the_database_refuses_to_change_what_happened(database, statement):
    with pytest.raises(DBAPIError, match="events: "), database.writing() as connection:
        connection.execute(text(statement))
    assert problems(database) == ()


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stream", "'surface:c'"),
        ("version", "7"),
        ("event_id", "'e'"),
        ("type", "'rollout.paused'"),
        ("schema_version", "2"),
        ("command_id", "'c9'"),
        ("command_seq", "5"),
        ("actor", "'slack:U2'"),
        ("source", "'elsewhere'"),
        ("cause_id", "'c'"),
        ("correlation_id", "'c'"),
        ("at", "'2026-11-23T12:00:00.250001Z'"),
        ("recorded_at", "'2026-11-23T12:00:00.250001Z'"),
        ("pii_ref", "'k'"),
        ("body", "replace(body, 'hm', 'ha')"),
    ],
)
def test_a_change_of_any_column_is_found_at_its_position(database, column, value):
    unprotected(database, f"UPDATE events SET {column} = {value} WHERE position = 3")
    found = problems(database)
    assert (found[0].position, found[0].what) == (3, "was altered: its hash does not match its content")


@pytest.mark.usefixtures("five")
def test_a_missing_event_is_named(database):
    unprotected(database, "DELETE FROM events WHERE position = 2")
    assert problems(database)[0] == LogProblem(position=2, what="is missing (positions 2)")


def test_what_is_wrong_deep_in_a_long_log_is_named_there_and_only_there(database, append, entry):
    append("c1", [entry()] * 1203)
    assert problems(database) == ()
    unprotected(database, "UPDATE events SET actor = 'x' WHERE position IN (700, 1200)")
    assert positions(database) == [700, 1200]


@pytest.mark.usefixtures("five")
def test_a_cut_tail_is_noticed_from_the_commands(database):
    unprotected(database, "DELETE FROM events WHERE position > 3")
    assert positions(database) == [4]
    assert "positions up to 5 were written" in problems(database)[0].what


@pytest.mark.usefixtures("five")
def test_a_part_of_the_log_can_be_checked_alone(database):
    assert problems(database, first=3, last=4) == ()
    unprotected(database, "UPDATE events SET actor = 'x' WHERE position = 2")
    assert positions(database, first=1, last=3) == [2]
    assert positions(database, first=3) == []
    assert positions(database, first=3, last=9) == [6]


@pytest.mark.usefixtures("five")
def test_a_missing_or_hollowed_out_trigger_is_reported_and_migrate_puts_it_back(database):
    with database.writing() as connection:
        if database.dialect == "sqlite":
            connection.execute(text("DROP TRIGGER events_never_change"))
            connection.execute(text("CREATE TRIGGER events_never_change BEFORE UPDATE ON events BEGIN SELECT 1; END"))
        else:
            connection.execute(text("ALTER TABLE events DISABLE TRIGGER events_never_change"))
    assert [p.what for p in problems(database)] == ["the trigger events_never_change is missing or altered"]
    with pytest.raises(migrations.SchemaMismatch, match="not protected"):
        migrations.assert_current(database)
    migrations.migrate(database)
    assert problems(database) == ()
    migrations.assert_current(database)


@pytest.mark.usefixtures("five")
def test_a_command_that_points_at_the_wrong_events_is_found(database):
    with database.writing() as connection:
        connection.execute(text("UPDATE commands SET first_position = 1 WHERE command_id = 'c3'"))
    assert [p.what for p in problems(database)] == ["should belong to the command c3"]
