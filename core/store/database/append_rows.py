"""The rows that one command writes, by table, and the SQL that inserts them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table

from core.store.formats.instants import format_instant
from core.store.models import commands, events, outbox, person_key, rollout_view

_SET_ON_DELIVERY = ("id", "lease_until", "lease_token", "response", "last_error")  # set by the database or on delivery
# In the order of their foreign keys.
TABLES: Mapping[str, Table] = {table.name: table for table in (person_key, events, outbox, rollout_view, commands)}
COLUMNS_BY_TABLE: Mapping[str, tuple[str, ...]] = {
    name: tuple(column.name for column in table.columns if table is not outbox or column.name not in _SET_ON_DELIVERY)
    for name, table in TABLES.items()
}
_VIEW_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS_BY_TABLE["rollout_view"] if name != "id")
ON_CONFLICT = {
    "outbox": "ON CONFLICT (idempotency_key) DO NOTHING",
    "rollout_view": f"ON CONFLICT (id) DO UPDATE SET {_VIEW_UPDATES}",
}
_SUPERSEDE_KEY_INDEX = COLUMNS_BY_TABLE["outbox"].index("supersede_key")


def _build_insert(table: str, values: str) -> str:
    columns = COLUMNS_BY_TABLE[table]
    marks = ", ".join(f"?{number}" for number in range(1, len(columns) + 1))
    into = f"INSERT INTO {table} ({', '.join(columns)}) {values.format(marks)}"
    return f"{into} {ON_CONFLICT.get(table, '')}"


INSERTS_BY_TABLE = {table: _build_insert(table, "VALUES ({})") for table in COLUMNS_BY_TABLE}
# Only for rows with a supersede key: SQLite takes twice as long for this form.
_PENDING_SAME_KEY = f"SELECT 1 FROM outbox WHERE supersede_key = ?{_SUPERSEDE_KEY_INDEX + 1} AND state = 'pending'"  # noqa: S608
_INSERT_UNLESS_PENDING = _build_insert("outbox", f"SELECT {{}} WHERE NOT EXISTS ({_PENDING_SAME_KEY})")


class PendingWrites:
    """The rows that one transaction will write, collected by table."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Sequence[Any]]] = {table: [] for table in COLUMNS_BY_TABLE}
        self._superseding: set[str] = set()
        self._erased: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._erased) or any(self._rows.values())

    def add_row(self, table: str, row: Sequence[Any]) -> None:
        """Add a row, its values in the order of `COLUMNS_BY_TABLE`; one outbox row at most per supersede key."""
        if table == "outbox" and (key := row[_SUPERSEDE_KEY_INDEX]) is not None:
            if key in self._superseding:
                return
            self._superseding.add(key)
        self._rows[table].append(row)

    def erase_key(self, key_id: str) -> None:
        """Delete a person's sealing key in this transaction."""
        self._erased.append(key_id)

    def sqlite_statements(self) -> Iterator[tuple[str, list[Any]]]:
        """The statements for SQLite, with `?n` placeholders, and their parameters."""
        for table, rows in self._rows.items():
            for row in rows:
                superseding = table == "outbox" and row[_SUPERSEDE_KEY_INDEX] is not None
                sql = _INSERT_UNLESS_PENDING if superseding else INSERTS_BY_TABLE[table]
                yield sql, [format_instant(v) if isinstance(v, datetime) else v for v in row]
        for key_id in self._erased:
            yield "DELETE FROM person_key WHERE key_id = ?", [key_id]

    def postgres_arrays(self) -> tuple[str | None, ...]:
        """The parameters for Postgres: one array literal of text per table, as `postgres_functions` expects them."""
        rows = [f"{{{','.join(map(format_array, rows))}}}" if rows else None for rows in self._rows.values()]
        return (*rows, format_array(self._erased) if self._erased else None)


def format_array(values: Sequence[Any]) -> str:
    """Values of any type as a Postgres array literal; several times faster than the driver's own conversion."""
    return f"{{{','.join(map(_format_element, values))}}}"


def _format_element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case datetime():
            return f'"{format_instant(value)}"'
        case bytes():
            return f'"\\\\x{value.hex()}"'
    return str(value)
