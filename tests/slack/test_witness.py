"""The head of the log is shown in Slack, once per end and at most once a day, and read back to convict a forger."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from bot.jobs import workspace_messages
from bot.rendering.messages.workspace import witness
from core.rollout import commands as c
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.audit.witnesses import load_anchors
from core.store.coordination import outbox
from core.store.database.append_queries import EVENT_COLUMNS
from core.store.formats import chain
from core.store.log import event_log
from core.store.models import metadata
from core.store.models import outbox as outbox_table
from core.store.schema import migrations
from core.store.world import rollout_rows
from tests.journey import processes
from tests.service.conftest import Desk

HEADER = len(chain.HEADER_COLUMNS)


def witnesses(office):
    """(position, hash, whether it stands in a thread) of every witness in the engineering channel, in order."""
    top = office.sandbox.list_messages("#ai-rollouts")
    said = {m.ts: m for message in top for m in (message, *office.sandbox.list_replies(message))}
    found = [(witness.parse_metadata(m.metadata), m.in_thread) for _, m in sorted(said.items())]
    return [(*head, in_thread) for head, in_thread in found if head is not None]


def last(office, kind):
    return next(r for r in reversed(office.service.load_history("R-1")) if type(r.event).__name__ == kind)


def head(office):
    with office.service.database.reading() as connection:
        return event_log.read_head(connection)


def remembered(office):
    with office.service.database.reading() as connection:
        return load_anchors(connection)


def show_head(office):
    workspace_messages.queue_daily_witness(office.service, office.at)
    office.deliver()


@pytest.fixture
def audit(office):
    """`rollout audit verify` against the database and the Slack of this office."""

    def go(*arguments):
        return processes.run(
            "audit",
            "verify",
            *arguments,
            DATABASE_URL=f"sqlite:///{office.service.database.path}",
            SLACK_BOT_TOKEN=office.sandbox.bot_token,
            SLACK_API_URL=office.sandbox.api_url,
        )

    return go


@pytest.mark.parametrize(
    ("command", "event"), [(c.RollBack(reason="wrong answers"), "RolledBack"), (c.Abandon(reason="later"), "Abandoned")]
)
def test_the_event_that_ends_a_rollout_is_shown_in_its_thread(office, command, event):
    by = office.directory.resolve_actor("T0SANDBOX1", "U0ANA00001", moves_forward=True)
    (office.plan() if event == "Abandoned" else office.start()).say(command, by=by)
    office.deliver()
    ended = last(office, event)
    assert witnesses(office) == [(ended.position, ended.hash.hex(), True)]
    shown = next(text for text in office.thread() if "log witness" in text)
    assert witness.parse_line(shown) == (ended.position, ended.hash.hex()[:16])
    assert [(a.position, a.hash, a.at) for a in remembered(office)] == [(ended.position, ended.hash.hex(), office.at)]
    assert remembered(office)[0].place.startswith(f"slack:{office.card().channel}/")


def test_one_end_is_shown_once_even_where_the_answer_was_lost(office):
    office.start()
    office.say(c.RollBack(reason="wrong answers"))
    office.deliver()
    office.sandbox.fail_next("chat.postMessage", "cut_after")
    show_head(office.later(days=1))
    assert remembered(office)[1:] == []
    office.later(minutes=10).deliver()
    assert [a.position for a in remembered(office)] == [position for position, _, _ in witnesses(office)]
    assert len(witnesses(office)) == 2
    with office.service.database.reading() as connection:
        assert outbox.measure_backlog(connection).pending == 0


def test_a_day_on_which_the_log_has_grown_shows_its_head_once_however_many_workers_ask(office):
    office.start()
    before = head(office)
    for _ in range(3):
        workspace_messages.queue_daily_witness(RolloutService(office.service.database), office.at)
    office.deliver()
    assert witnesses(office) == [(before[0], before[1].hex(), False)]
    assert head(office) == before, "showing the log must not make it grow"
    for days in range(1, 4):
        show_head(office.later(days=days))
    assert len(witnesses(office)) == 1, "nothing has happened since"
    office.say(c.Pause(reason="a look"))
    office.deliver()
    show_head(office)
    show_head(office.later(hours=2))
    assert len(witnesses(office)) == 2
    office.say(c.Resume(reason="looked"))
    show_head(office)
    assert len(witnesses(office)) == 2, "once a day"
    show_head(office.later(days=1))
    assert len(witnesses(office)) == 3


def test_of_many_workers_that_ask_at_once_one_is_heard(database):
    desk = Desk(RolloutService(database)).start()
    workers = [RolloutService(database) for _ in range(8)]
    with ThreadPoolExecutor(len(workers)) as pool:
        for day in range(3):
            desk.later(days=1).say(c.Resume(reason="looked") if day % 2 else c.Pause(reason="a look"))
            list(pool.map(lambda service: workspace_messages.queue_daily_witness(service, desk.at), workers))
    with database.reading() as connection:
        wanted = select(outbox_table.c.idempotency_key).where(outbox_table.c.idempotency_key.contains("witness"))
        keys = connection.execute(wanted.order_by(outbox_table.c.id)).scalars().all()
    assert keys == [f"daily_witness:2026-11-{day}" for day in (24, 25, 26)]


def test_without_a_rollout_there_is_nobody_to_show_it_to(office):
    office.apply(office.surface_file)
    show_head(office)
    assert (head(office)[0], witnesses(office)) == (1, [])


def test_anchors_agree_with_a_log_that_is_what_it_was(office, audit):
    office.start()
    show_head(office)
    office.say(c.RollBack(reason="wrong answers"))
    office.deliver()
    told = audit("--anchors")
    assert (told.returncode, told.stderr) == (0, "")
    ended = last(office, "RolledBack").position
    assert f"2 anchors agree with the log, the newest at #{ended}, shown less than an hour ago." in told.stdout


def test_without_an_anchor_nothing_is_confirmed(office, audit):
    office.plan()
    told = audit("--anchors")
    assert (told.returncode, "No anchor was found" in told.stderr) == (1, True)


def shown_and_ended(office):
    office.start()
    show_head(office)
    office.say(c.RollBack(reason="wrong answers"))
    office.deliver()
    return [position for position, _, _ in witnesses(office)]


def rewrite(database, change, last_position):
    """What whoever owns the file can do: events changed and cut, and every hash and every other table made to fit."""
    with database.writing() as connection:
        rows = [list(row) for row in event_log.iterate_raw_rows(connection)][:last_position]
        kept = _other_tables(connection, last_position)
        for trigger in ("events_continue_the_chain", "events_never_change", "events_never_go"):
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        previous = chain.GENESIS_HASH
        for row in rows:
            change(row)
            row[-2:] = previous, chain.hash_event(previous, row[:HEADER], row[HEADER])
            previous = row[-1]
        marks = ", ".join("?" * len(EVENT_COLUMNS))
        connection.exec_driver_sql(
            f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES ({marks})", [tuple(row) for row in rows]
        )
        for table, found in kept:
            connection.execute(table.insert(), found)
    migrations.migrate(database)
    with database.writing() as connection:
        rollout_rows.rebuild(connection)


def _other_tables(connection, last_position):
    kept = []
    for table in metadata.sorted_tables:
        if table.name not in {"events", "anchor", "rollout_view"}:
            rows = [dict(row._mapping) for row in connection.execute(table.select())]
            rows = [r for r in rows if (r.get("last_position") or r.get("position") or 0) <= last_position]
            if rows:
                kept.append((table, rows))
    return kept


def test_a_whole_log_rewritten_with_hashes_that_fit_is_found_by_what_was_shown(office, audit):
    shown = shown_and_ended(office)

    def whitewash(row):
        if row[4] == "rollout.rolled_back":
            row[HEADER] = row[HEADER].replace("wrong answers", "no reason")

    rewrite(office.service.database, whitewash, head(office)[0])
    with office.service.database.reading() as connection:
        assert verify(connection).problems == ()
    assert audit().returncode == 0, "the log alone cannot show it"
    told = audit("--anchors")
    assert told.returncode == 1
    assert f"position {shown[1]}: has changed" in told.stderr
    assert "1 anchor does not match the log, 1 do" in told.stderr


def test_an_end_cut_off_every_table_is_found_by_what_was_shown(office, audit):
    shown = shown_and_ended(office)
    rewrite(office.service.database, lambda row: None, shown[1] - 1)
    assert audit().returncode == 0, "the log alone cannot show it"
    told = audit("--anchors")
    assert told.returncode == 1
    assert f"position {shown[1]}: is missing" in told.stderr


def test_a_log_that_has_lost_every_rollout_is_found_in_the_channel_that_is_named(office, audit):
    shown = shown_and_ended(office)
    rewrite(office.service.database, lambda row: None, 1)
    told = audit("--anchors", "--channel", "#ai-rollouts")
    assert told.returncode == 1
    assert [line.split(":")[0] for line in told.stderr.splitlines()[:2]] == [f"position {p}" for p in shown]


def test_what_people_copied_out_of_slack_is_compared_too(office, audit, tmp_path):
    shown = shown_and_ended(office)
    file = tmp_path / "anchors.txt"
    lines = [text for text in office.thread() if "log witness" in text]
    position, newest = head(office)
    file.write_text("\n".join(["# kept by Ana", *lines, "", f"{position} {newest.hex()}", audit().stdout]))
    told = audit("--anchors-file", str(file))
    assert (told.returncode, told.stderr) == (0, "")
    assert f"3 anchors agree with the log, the newest at #{position}." in told.stdout
    file.write_text(f"{shown[0]} {'0' * 64}\n999 {'1' * 64}\n")
    told = audit("--anchors-file", str(file))
    assert told.returncode == 1
    assert f"position {shown[0]}: has changed" in told.stderr
    assert "position 999: is missing, but 1111111111111111 was posted in" in told.stderr
    file.write_text("hello\n")
    told = audit("--anchors-file", str(file))
    assert (told.returncode, "line 1 has no position and hash" in told.stderr) == (1, True)


def test_the_anchors_that_the_database_remembers_are_compared_by_every_verify(office, audit):
    shown = shown_and_ended(office)
    with office.service.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE anchor SET hash = zeroblob(32) WHERE position = {shown[0]}")
    told = audit()
    assert told.returncode == 1
    assert f"position {shown[0]}: has changed" in told.stderr


def test_a_slack_that_is_not_there_is_said(office, audit):
    office.plan()
    office.sandbox.fail_next("conversations.list", "500")
    told = audit("--anchors")
    assert told.returncode == 2
    assert "The anchors could not be read from Slack" in told.stderr


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"12 {'ab' * 32}", (12, "ab" * 32)),
        (f"Log intact: 44 events checked, up to #44 ({'0a' * 8}).", (44, "0a" * 8)),
        (f"For auditors: log witness #7 {'cd' * 32}. If", (7, "cd" * 32)),
        (f"#7 {'cd' * 40}", None),
        ("7 cafe", None),
        ("", None),
    ],
)
def test_a_line_is_read_however_it_was_kept(line, found):
    assert witness.parse_line(line) == found
