"""A backup is one whole state of everything, beside whoever writes; what is not whole to the bit restores nothing."""

import zlib
from datetime import timedelta
from hashlib import sha256

import orjson
import pytest
from sqlalchemy import BigInteger, Double, Integer, LargeBinary, SmallInteger, inspect, select, text

from core.rollout import commands as c
from core.service.service import RolloutService
from core.store.audit import backup, backup_file, restore, witnesses
from core.store.audit.export import export_events, import_events
from core.store.audit.verify import verify
from core.store.coordination import outbox
from core.store.database.connections import connect
from core.store.errors import BackupRefused, SchemaMismatch
from core.store.formats.instants import Instant
from core.store.log import event_log
from core.store.models import metadata
from core.store.schema import migrations
from tests.forks import start_program
from tests.journey import processes
from tests.service.conftest import MONDAY, Desk
from tests.store.test_migrations import OLD_LOG

BACK = c.RollBack(reason='"ä" \\ \n ✓')


@pytest.fixture
def lived_in(database):
    """A database with a rollout, and a row in every table."""
    desk = Desk(RolloutService(database)).start()
    desk.say(BACK, command_id="back")
    with database.writing() as connection:
        witnesses.save_anchor(connection, *event_log.read_head(connection), "slack:C1/1.0", MONDAY)
        for table in backup.list_tables():
            if connection.execute(select(table)).first() is None:
                connection.execute(table.insert().values({c.name: _some(c.type) for c in table.columns}))
    return database


@pytest.fixture
def file(tmp_path):
    return tmp_path / "rampart.backup"


@pytest.fixture
def elsewhere(new_sqlite, new_postgres, database):
    """An empty database of the other kind."""
    with connect(new_postgres() if database.dialect == "sqlite" else new_sqlite()) as other:
        yield other


@pytest.fixture
def bare(tmp_path):
    """A database without tables."""
    with connect(f"sqlite:///{tmp_path}/bare.db") as database:
        yield database


def _some(type_):
    if isinstance(type_, LargeBinary):
        return bytes(range(256))
    if isinstance(type_, Instant):
        return MONDAY + timedelta(microseconds=1)
    if isinstance(type_, Double):
        return 0.25
    return 2**62 if isinstance(type_, BigInteger) else 7 if isinstance(type_, Integer | SmallInteger) else "ä\n\\ ✓"


def rows(database):
    with database.reading() as connection:
        found = {
            table.name: list(connection.execute(select(table).order_by(*table.primary_key.columns)))
            for table in metadata.sorted_tables
            if table.name not in {"projection", "process", "timer"}
        }
    return {**found, "outbox": [row for row in found["outbox"] if row.kind != "restored"]}


def sent(stored):
    """Rows as `restore` leaves them: what waits has been tried once, as far as anybody can tell."""
    waiting = [r._mapping for r in stored["outbox"] if r.state in ("pending", "leased")]
    lifted = {
        r["id"]: {**r, "state": "pending", "attempt": max(1, r["attempt"]), "lease_until": None, "lease_token": None}
        for r in waiting
    }
    return {**stored, "outbox": [tuple(lifted.get(r.id, r._mapping).values()) for r in stored["outbox"]]}


def assert_nothing_written(database):
    if not inspect(database.engine).has_table("events"):
        return
    assert not any(found for name, found in rows(database).items())


def test_there_and_back_everything_is_the_same(lived_in, elsewhere, file, new_sqlite, new_postgres):
    copied = backup.write_backup(lived_in, file, MONDAY)
    there = restore.restore_backup(elsewhere, file)
    assert (there.counts, there.report.head, there.copied_at) == (copied.counts, copied.head, MONDAY)
    assert min(copied.counts.values()) > 0
    assert rows(elsewhere) == sent(rows(lived_in))
    with connect(new_sqlite() if lived_in.dialect == "sqlite" else new_postgres()) as again:
        backup.write_backup(elsewhere, file, MONDAY, replace=True)
        restore.restore_backup(again, file)
        assert rows(again) == rows(elsewhere)
        with lived_in.reading() as first, again.reading() as last:
            assert list(export_events(first)) == list(export_events(last))
            assert verify(last).problems == ()


def test_a_restored_database_goes_on(lived_in, elsewhere, file):
    backup.write_backup(lived_in, file, MONDAY)
    restore.restore_backup(elsewhere, file)
    desk = Desk(RolloutService(elsewhere)).later(hours=1)
    before = len(rows(elsewhere)["outbox"])
    assert desk.say(BACK, command_id="back").repeated  # its answer came along
    desk.say(c.ConfirmFlip(seconds=0.2, processes=1), command_id="new")
    after = rows(elsewhere)["outbox"]
    assert len(after) > before
    assert len({row.id for row in after}) == len(after)
    # What was written, and lost, after the backup stands in Slack under its row's id: no new row may have that id.
    assert min(row.id for row in after[before:]) > after[before - 1].id + 100_000


def test_what_waited_is_looked_for_before_it_is_said(lived_in, elsewhere, file):
    leased = outbox.claim(lived_in, MONDAY + timedelta(hours=1), kind="slack", lease=timedelta(minutes=1))
    backup.write_backup(lived_in, file, MONDAY)
    waiting = restore.restore_backup(elsewhere, file).backlog
    with lived_in.reading() as connection:
        before = outbox.measure_backlog(connection)
    assert (waiting.pending, waiting.leased) == (before.pending + before.scheduled + before.leased, 0)
    claimed = outbox.claim(elsewhere, MONDAY + timedelta(hours=1), kind="slack", lease=timedelta(minutes=1))
    assert (claimed.id, claimed.attempt) == (leased.id, 2)  # above 1: an earlier try may have arrived


def written(database):
    with database.reading() as connection:
        return event_log.read_head(connection)[0]


def test_a_backup_beside_writers_is_one_moment_of_all_tables(database, database_url, file, new_sqlite):
    writers = [start_program("tests.store.writer", database_url, name, "0", "150", is_read=True) for name in ("a", "b")]
    heads = []
    while not written(database):
        assert all(writer.poll() in (None, 0) for writer in writers)
    while any(writer.poll() is None for writer in writers):
        heads.append(backup.write_backup(database, file, MONDAY, replace=True).head[0])
        with connect(new_sqlite()) as other:
            restored = restore.restore_backup(other, file)  # verifies that commands and outbox fit the log
            counts = restored.counts
            assert counts["events"] == 2 * counts["commands"] == 2 * counts["outbox"] == restored.report.head[0]
    assert [writer.read_rest(30).count("\n") for writer in writers] == [150, 150]
    assert any(0 < head < 600 for head in heads)
    assert heads == sorted(heads)


def test_every_damaged_byte_and_every_cut_is_noticed_before_anything_is_written(lived_in, bare, file):
    backup.write_backup(lived_in, file, MONDAY)
    whole = file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        with pytest.raises(BackupRefused, match=r"damaged or truncated|not a backup|does not know"):
            next(backup_file.read_lines(file))
    for length in {0, 1, 16, 17, 18, 40, *range(60, len(whole), 97), len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(BackupRefused):
            restore.restore_backup(bare, file)
    file.write_bytes(whole + b"\n")
    with pytest.raises(BackupRefused, match="damaged or truncated"):
        restore.restore_backup(bare, file)
    assert not inspect(bare.engine).get_table_names()
    file.write_bytes(whole)
    restore.restore_backup(bare, file)


def rewritten(file, change):
    """The file with other lines and a digest that fits: what somebody who knows the form could make."""
    lines = change(list(backup_file.read_lines(file)))
    packed = b"Rampart backup 1\n" + zlib.compress(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    file.write_bytes(packed + sha256(packed).digest())


def _changed(lines, **changes):
    header = next(i for i, line in enumerate(lines) if isinstance(line, dict) and line.get("table") == "events")
    for name, value in changes.items():
        lines[header + 3][lines[header]["columns"].index(name)] = value
    return lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: _changed(lines, actor="slack:T1/U9"), "not intact.*position 3 was altered"),
        (lambda lines: _changed(lines, position=9), "do not fit: .*position does not follow"),
        (lambda lines: [x for x in lines if not (isinstance(x, list) and x[0] == 3)], "do not fit|as many rows"),
        (lambda lines: lines[:-1], "is truncated"),
        (lambda lines: [*lines[:-2], lines[-1]], "as many rows"),
        (lambda lines: [{**lines[0], "schema": "9999"}, *lines[1:]], "schema 9999.*newer"),
    ],
)
@pytest.mark.parametrize("into", ["bare", "elsewhere"])
def test_a_file_made_to_fit_is_refused_and_nothing_is_written(request, lived_in, file, into, change, message):
    database = request.getfixturevalue(into)
    backup.write_backup(lived_in, file, MONDAY)
    rewritten(file, change)
    with pytest.raises(BackupRefused, match=message):
        restore.restore_backup(database, file)
    assert_nothing_written(database)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a backup"), (b'{"position":1}', "not a backup"), (b"Rampart backup 2\n" + b"x" * 99, "newer program")],
)
def test_a_file_of_another_program_is_named(bare, file, content, message):
    file.write_bytes(content)
    with pytest.raises(BackupRefused, match=message):
        restore.restore_backup(bare, file)


@pytest.mark.parametrize(
    "crafted",
    [
        [],
        [7],
        [{}],
        [{"schema": 3}],
        [{"schema": migrations.REVISION, "at": "never", "head": [0, ""]}],
        [{"schema": migrations.REVISION, "at": "2026-11-23T09:00:00.000000Z"}, {"table": "nothing", "columns": []}],
        [
            {"schema": migrations.REVISION, "at": "2026-11-23T09:00:00.000000Z"},
            {"table": "events", "columns": ["odd"]},
            [1],
        ],
        [
            {"schema": migrations.REVISION, "at": "2026-11-23T09:00:00.000000Z"},
            {"table": "events", "columns": ["hash"]},
            ["%"],
        ],
    ],
    ids=str,
)
def test_a_crafted_backup_with_a_right_digest_is_refused_in_one_line(bare, file, crafted):
    with backup_file.writing_lines(file) as put:
        for line in crafted:
            put(line)
    with pytest.raises(BackupRefused, match="backup"):
        restore.restore_backup(bare, file)


def test_a_file_that_is_no_json_inside_is_refused(bare, file):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backup_file.orjson, "dumps", lambda _: b"\xff{")
        with backup_file.writing_lines(file) as put:
            put({})
    with pytest.raises(BackupRefused, match="is not a complete backup"):
        restore.restore_backup(bare, file)


def test_a_new_database_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "rollout.db"
    with connect(f"sqlite:///{path}") as database:
        migrations.migrate(database)
        beside = [one for one in tmp_path.iterdir() if one.suffix in (".db", ".db-wal", ".db-shm")]
        assert {one.name: one.stat().st_mode & 0o777 for one in beside} == {one.name: 0o600 for one in beside}


def test_a_database_that_holds_anything_takes_no_restore(lived_in, file):
    backup.write_backup(lived_in, file, MONDAY)
    before = rows(lived_in)
    with pytest.raises(BackupRefused, match=r"not empty \(table \w+\)"):
        restore.restore_backup(lived_in, file)
    assert rows(lived_in) == before


def test_a_backup_never_replaces_a_file_unasked_and_leaves_nothing_behind_where_it_fails(lived_in, bare, file):
    file.write_text("precious")
    with pytest.raises(BackupRefused, match="already exists"):
        backup.write_backup(lived_in, file, MONDAY)
    assert file.read_text() == "precious"
    with pytest.raises(SchemaMismatch, match="no tables"):
        backup.write_backup(bare, file, MONDAY, replace=True)
    assert file.read_text() == "precious"
    backup.write_backup(lived_in, file, MONDAY, replace=True)
    assert [path.name for path in file.parent.iterdir() if "backup" in path.name] == [file.name]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_database_of_a_newer_program_is_not_backed_up_by_an_older_one(lived_in, file):
    with lived_in.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="Upgrade this one"):
        backup.write_backup(lived_in, file, MONDAY)
    assert not file.exists()


def test_a_backup_from_before_an_upgrade_is_restored_as_it_was_and_then_upgraded(bare_url, bare, elsewhere, file):
    with connect(bare_url) as old:
        with old.writing() as connection:
            migrations.upgrade(connection, "0001")
        with OLD_LOG.open(encoding="utf-8") as lines:
            import_events(old, lines)
        copied = backup.write_backup(old, file, MONDAY)
    with pytest.raises(
        BackupRefused, match=f"has schema 0001, but the database has {migrations.REVISION}.*without tables"
    ):
        restore.restore_backup(elsewhere, file)
    if bare_url.startswith("sqlite"):
        bare.close()
        bare = connect(bare_url.replace("bare.db", "other.db"))
    with bare:
        assert restore.restore_backup(bare, file).report.head == copied.head
        migrations.assert_current(bare)


def test_a_log_that_is_not_intact_is_not_restored(lived_in, elsewhere, file):
    with lived_in.writing() as connection:
        connection.execute(text("UPDATE commands SET first_position = 1 WHERE command_id = 'command-3'"))
    backup.write_backup(lived_in, file, MONDAY)
    with pytest.raises(BackupRefused, match=r"not intact.*position 1 should belong"):
        restore.restore_backup(elsewhere, file)
    assert_nothing_written(elsewhere)


def test_from_the_command_line(lived_in, database_url, file, tmp_path):
    with lived_in.reading() as connection:
        position, newest = event_log.read_head(connection)
    told = processes.run("backup", str(file), DATABASE_URL=database_url)
    assert (told.returncode, told.stderr) == (0, "")
    assert f"copied to {file}: the log up to #{position} ({newest.hex()[:16]})" in told.stdout
    again = processes.run("backup", str(file), DATABASE_URL=database_url)
    assert (again.returncode, again.stdout) == (1, "")
    assert "--replace" in again.stderr
    new = f"sqlite:///{tmp_path}/restored.db"
    restored = processes.run("restore", str(file), DATABASE_URL=new)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert f"Log intact: {position} events checked" in restored.stdout
    assert "messages are waiting: each is looked up" in restored.stdout
    assert processes.run("restore", str(file), DATABASE_URL=new).returncode == 1
