"""The log as a file: it moves between databases unchanged, and a cut or forged file moves nothing."""

import json
from dataclasses import replace

import pytest

from core.rollout.state.events import NewEvent
from core.store.audit.export import export_events, import_events
from core.store.audit.verify import verify
from core.store.database.connections import connect
from core.store.errors import ImportRefused
from core.store.log import answered_commands, event_log


@pytest.fixture
def lines(database, append, entry):
    append("c1", [entry("surface:a", 'ä " \\ \n ✓'), entry("surface:b")])
    tiny = replace(entry("surface:b").event, content={"params": {"temperature": 2.5e-05}})
    append("c2", [NewEvent(stream="surface:b", event=tiny)])
    return exported(database)


@pytest.fixture
def elsewhere(new_sqlite, new_postgres, database):
    """An empty database of the other kind."""
    with connect(new_postgres() if database.dialect == "sqlite" else new_sqlite()) as other:
        yield other


def exported(database, form="jsonl"):
    with database.reading() as connection:
        return list(export_events(connection, form))


def test_an_event_is_a_line_with_everything_that_is_hashed(lines):
    first = json.loads(lines[0])
    assert len(lines) == 3
    assert (first["position"], first["of"], first["type"]) == (1, 3, "surface.declared")
    assert first["data"]["title"] == 'ä " \\ \n ✓'
    assert first["prev_hash"] == "00" * 32
    assert json.loads(lines[1])["prev_hash"] == first["hash"]


@pytest.mark.parametrize("form", ["jsonl", "cloudevents"])
def test_there_and_back_nothing_changes(database, elsewhere, lines, form):
    assert import_events(elsewhere, exported(database, form)) == 3
    assert exported(elsewhere) == lines
    assert exported(elsewhere, "cloudevents") == exported(database, "cloudevents")
    with database.reading() as here, elsewhere.reading() as there:
        assert event_log.read_head(here) == event_log.read_head(there)
        assert event_log.read_after(here, 0) == event_log.read_after(there, 0)
        assert verify(there).problems == ()


@pytest.mark.usefixtures("lines")
def test_cloudevents_have_the_required_attributes(database):
    event = json.loads(exported(database, "cloudevents")[0])
    assert event["specversion"] == "1.0"
    assert (event["source"], event["subject"], event["sequence"]) == ("/surface:a", "surface:a", "1")
    assert all(name.isalnum() and name == name.lower() for name in event)
    assert None not in event.values()


def test_a_command_of_an_imported_log_is_not_carried_out_again(elsewhere, lines):
    import_events(elsewhere, lines)
    with elsewhere.reading() as connection:
        answer = answered_commands.find_answer(connection, "c1", "any fingerprint")
    assert (answer.first_position, answer.last_position, answer.result_json) == (1, 2, "{}")


def test_a_log_that_is_not_empty_takes_no_import(database, lines):
    with pytest.raises(ImportRefused, match="not empty"):
        import_events(database, lines)


def forged(line, **changes):
    return json.dumps({**json.loads(line), **changes}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [], "no event"),
        (lambda lines: lines[:-1], "truncated: it ends after event 2 of 3"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "Line 3"),
        (lambda lines: lines[1:], "Line 1 holds event 2"),
        (lambda lines: [lines[1], lines[0], lines[2]], "Line 1"),
        (lambda lines: [*lines, lines[-1]], "Line 4"),
        (lambda lines: [forged(lines[0], actor="slack:U2"), *lines[1:]], "Line 1 was altered"),
        (lambda lines: [lines[0], forged(lines[1], data={"by": "U9"}), lines[2]], "Line 2 was altered"),
        (lambda lines: [forged(each, of=2) for each in lines[:2]] + lines[2:], "Line 3"),
        (lambda lines: ["[]"], "Line 1 is not an exported event"),
        (lambda lines: ["not json"], "Line 1 is not an exported event"),
    ],
)
def test_a_cut_or_forged_file_is_refused_and_nothing_is_written(elsewhere, lines, damage, message):
    with pytest.raises(ImportRefused, match=message):
        import_events(elsewhere, damage(lines))
    assert exported(elsewhere) == []
    assert import_events(elsewhere, lines) == 3
