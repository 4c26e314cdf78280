"""Many rows in one statement that goes straight to the driver: as a source to read from, or to insert."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from core.store.database.append_rows import format_array
from core.store.database.driver import fetch_all


def build_row_source(
    connection: Connection, types: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[str, Sequence[Any]]:
    """A query that yields these rows, and its parameters. `types` are the columns' types, as Postgres names them.

    On Postgres one array per column, so that the text is the same for any number of rows and the driver parses it once:
    parsing a placeholder per value would take as long as everything else.
    """
    if connection.dialect.name == "postgresql":
        arrays = ", ".join(f"?::{kind}[]" for kind in types)
        return f"SELECT * FROM unnest({arrays})", [format_array(column) for column in zip(*rows, strict=True)]  # noqa: S608
    row = f"({', '.join('?' * len(types))})"
    return f"VALUES {', '.join([row] * len(rows))}", [value for one in rows for value in one]


def upsert_rows(
    connection: Connection,
    into: str,
    types: Sequence[str],
    rows: Sequence[Sequence[Any]],
    then: str,
    parameters: Sequence[Any] = (),
) -> list[Any]:
    """Insert rows `into` a table with its columns in brackets, and return the rows that `then` returns.

    `then` is what follows, from ON CONFLICT to RETURNING, with its own `parameters`. Errors as in `fetch_all`.
    """
    listed, values = build_row_source(connection, types, rows)
    # Without the WHERE, SQLite would read the ON of the conflict clause as a join condition.
    statement = f"INSERT INTO {into} SELECT * FROM ({listed}) AS rows WHERE true {then}"  # noqa: S608
    return fetch_all(connection, statement, [*values, *parameters])
