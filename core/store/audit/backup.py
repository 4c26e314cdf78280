"""Backs up a database into one file while writers go on."""

import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, inspect, select

from core.store.audit import backup_file
from core.store.database.connections import Database
from core.store.errors import BackupRefused, SchemaMismatch
from core.store.formats.instants import format_instant
from core.store.log import event_log
from core.store.models import metadata
from core.store.schema import migrations

# Derived tables are rebuilt from the log; process reports and timers are of no use elsewhere.
EXCLUDED_TABLES = frozenset({"rollout_view", "projection", "checkpoint", "process", "timer"})
_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSummary:
    """What a backup holds: the number of rows by table, and the (position, hash) of the log's head."""

    counts: dict[str, int]
    head: tuple[int, bytes]


def write_backup(database: Database, path: Path, at: datetime, *, replace: bool = False) -> BackupSummary:
    """Copy one consistent snapshot of every table to `path`, row by row, while writers go on.

    BackupRefused if `path` exists (unless `replace`); SchemaMismatch if a newer program has upgraded the database.
    """
    with backup_file.writing_lines(path, replace=replace) as put, database.reading() as connection:
        revision = migrations.read_revision(connection)
        if revision is None:
            raise SchemaMismatch("The database has no tables yet: there is nothing to back up.")
        migrations.assert_known_revision(revision)
        head = event_log.read_head(connection)
        put({"schema": revision, "at": format_instant(at), "head": [head[0], head[1].hex()]})
        counts = {str(table.name): 0 for table in list_tables()}
        for table, columns in _find_present_columns(connection):
            put({"table": table.name, "columns": columns})
            counts[str(table.name)] = _copy_rows(connection, table, columns, put)
        put({"counts": counts})
    return BackupSummary(counts=counts, head=head)


def list_tables() -> list[Table]:
    """The tables that a backup holds, in an order that satisfies foreign keys."""
    return [table for table in metadata.sorted_tables if table.name not in EXCLUDED_TABLES]


def _find_present_columns(connection: Connection) -> list[tuple[Table, list[str]]]:
    """The tables and columns of this database, whose schema may be older: backups are taken before an upgrade.

    BackupRefused if a table has a column that this program does not know.
    """
    found = inspect(connection)
    names = set(found.get_table_names())
    present = []
    for table in list_tables():
        if table.name not in names:
            continue
        stored = {column["name"] for column in found.get_columns(table.name)}
        unknown = stored - set(table.columns.keys())
        if unknown:
            raise BackupRefused(
                f"The table {table.name} has a column that this program does not know ({min(unknown)}), so the "
                "backup would lose it."
            )
        present.append((table, [column.name for column in table.columns if column.name in stored]))
    return present


def _copy_rows(connection: Connection, table: Table, columns: list[str], put: Any) -> int:
    wanted = select(*(table.c[name] for name in columns)).order_by(*table.primary_key.columns)
    binary = [isinstance(table.c[name].type, LargeBinary) for name in columns]
    count = 0
    for row in connection.execute(wanted, execution_options={"yield_per": _ROWS}):
        put([_to_json_value(value, packed) for value, packed in zip(row, binary, strict=True)])
        count += 1
    return count


def _to_json_value(value: Any, is_binary: bool) -> Any:
    if isinstance(value, datetime):
        return format_instant(value)
    return base64.b85encode(value).decode() if is_binary and value is not None else value
