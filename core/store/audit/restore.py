"""Restores a backup into an empty database: completely or not at all, and only if its log verifies."""

import base64
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from core.store.audit import backup, backup_file, verify
from core.store.coordination import outbox
from core.store.database.connections import Database
from core.store.database.postgres import postgres_roles
from core.store.errors import BackupRefused
from core.store.formats.instants import Instant, parse_instant
from core.store.models import events, is_unfinished, metadata
from core.store.models import outbox as outbox_table
from core.store.schema import migrations, triggers
from core.store.world import rollout_rows

_ROWS = 500
_RESERVED_IDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSummary:
    """What was restored: rows by table, the time of the backup, the verified log, and the unsent outbox rows."""

    counts: dict[str, int]
    copied_at: datetime
    report: verify.VerificationReport
    backlog: outbox.OutboxBacklog


def restore_backup(database: Database, path: Path) -> RestoreSummary:
    """Fill a database that is empty, or has no tables yet, from a file of `backup.write_backup`.

    BackupRefused, with nothing written, if the file is damaged, cut or of a newer program, if the database is not
    empty, or if the restored log does not verify. Unsent outbox rows become pending again and count as tried, so that
    the sender first checks whether they arrived after the backup was taken.
    """
    try:
        return _restore(database, path)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration, zlib.error) as error:
        raise BackupRefused(
            f"{path} is not a complete backup ({type(error).__name__}: {error}), so nothing was restored: use "
            "another one."
        ) from error


def _restore(database: Database, path: Path) -> RestoreSummary:
    lines = backup_file.read_lines(path)
    header = next(lines)
    if header["schema"] > migrations.REVISION:
        raise BackupRefused(
            f"{path} has schema {header['schema']}, but this program knows only up to {migrations.REVISION}. "
            "Restore it with the program that made it, or a newer one."
        )
    with postgres_roles.owner_required("restore a backup"), database.writing() as connection:
        _prepare_tables(connection, header["schema"])
        counts = _fill_tables(connection, lines)
        _reset_unsent_rows(connection)
        _reserve_outbox_ids(connection, parse_instant(header["at"]))
        migrations.bring_up_to_date(connection)
        rollout_rows.rebuild(connection)
        report = verify.verify(connection)
        if report.problems:
            first = report.problems[0]
            where = f"position {first.position} " if first.position else ""
            raise BackupRefused(f"The log in {path} is not intact, so nothing was restored: {where}{first.what}.")
        waiting = outbox.measure_backlog(connection)
    return RestoreSummary(counts=counts, copied_at=parse_instant(header["at"]), report=report, backlog=waiting)


def _prepare_tables(connection: Connection, revision: str) -> None:
    """Create empty tables in the schema of the backup. BackupRefused if any table has rows or another schema."""
    found = migrations.read_revision(connection)
    if found is None:
        migrations.upgrade(connection, revision)
    elif found != revision:
        raise BackupRefused(
            f"The backup has schema {revision}, but the database has {found}. Restore into a database without "
            "tables: they are created to match the backup, then upgraded."
        )
    there = set(inspect(connection).get_table_names())
    for table in backup.list_tables():
        if table.name in there and connection.execute(select(func.count()).select_from(table)).scalar_one():
            raise BackupRefused(
                f"The database is not empty (table {table.name}): restore into a new one, so that histories do not mix."
            )
    triggers.install(connection)


def _fill_tables(connection: Connection, lines: Iterator[Any]) -> dict[str, int]:
    """Insert all rows; the number by table. BackupRefused if they are not as many as the backup says."""
    counts = {table.name: 0 for table in backup.list_tables()}
    add: Callable[[list[Any]], None] = _refuse_rows
    name = ""
    for line in _group_rows(lines):
        match line:
            case {"table": name, "columns": columns}:
                add = _build_inserter(connection, metadata.tables[name], columns)
            case {"counts": wanted}:
                if wanted != counts:
                    raise BackupRefused("The backup does not contain as many rows as it states: use another one.")
                return counts
            case list():
                add(line)
                counts[name] += len(line)
    raise BackupRefused("The backup is truncated: use another one.")


def _group_rows(lines: Iterator[Any]) -> Iterator[Any]:
    """Group consecutive rows into lists of up to `_ROWS`; yield other lines unchanged."""
    rows: list[Any] = []
    for line in lines:
        if isinstance(line, list):
            rows.append(line)
            if len(rows) < _ROWS:
                continue
        if rows:
            yield rows
            rows = []
        if not isinstance(line, list):
            yield line


def _refuse_rows(_: list[Any]) -> None:
    raise BackupRefused("The backup contains rows that belong to no table: use another one.")


def _build_inserter(connection: Connection, table: Table, columns: list[str]) -> Callable[[list[Any]], None]:
    types = [table.c[name].type for name in columns]

    def add(rows: list[Any]) -> None:
        named = [
            {name: _parse_value(value, type_) for name, value, type_ in zip(columns, row, types, strict=True)}
            for row in rows
        ]
        try:
            connection.execute(insert(table), named)
        except DBAPIError as error:
            raise BackupRefused(f"The backup's rows for {table.name} do not fit: {error.orig}.") from error

    return add


def _parse_value(value: Any, type_: Any) -> Any:
    if value is None:
        return None
    if isinstance(type_, Instant):
        return parse_instant(value)
    return base64.b85decode(value) if isinstance(type_, LargeBinary) else value


def _reset_unsent_rows(connection: Connection) -> None:
    """Make unsent rows pending and tried once, so that the sender checks whether they arrived before sending again."""
    tried = (
        func.max(outbox_table.c.attempt, 1)
        if connection.dialect.name == "sqlite"
        else func.greatest(outbox_table.c.attempt, 1)
    )
    connection.execute(
        update(outbox_table)
        .where(is_unfinished(outbox_table))
        .values(state="pending", attempt=tried, lease_until=None, lease_token=None)
    )


def _reserve_outbox_ids(connection: Connection, copied_at: datetime) -> None:
    """Skip outbox ids that rows written after the backup, now lost, may have had.

    A Slack message is recognised by the id of its row: the message of a lost row must not be taken for a new row's.
    """
    last = connection.execute(select(func.max(outbox_table.c.id))).scalar()
    if last is None:
        return
    marker = outbox_table.insert().values(
        id=last + _RESERVED_IDS,
        position=select(func.max(events.c.position)).scalar_subquery(),
        kind="restored",
        ordering_key="restored",
        idempotency_key=f"restored:{last}",
        request="{}",
        state="done",
        attempt=0,
        due_at=copied_at,
    )
    connection.execute(marker)
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('outbox', 'id'), {last + _RESERVED_IDS})"))
