"""How a used Postgres database becomes as good as new: in one message, which takes a tenth of creating a database."""

import json
from dataclasses import dataclass

import psycopg
from psycopg import sql

from core.store.database.connections import connect
from core.store.models import metadata
from core.store.schema import triggers

_TRIGGERS = """
SELECT string_agg(concat_ws(' ', tgname, tgenabled, pg_get_triggerdef(t.oid), prosrc), E'\n' ORDER BY tgname),
       string_agg(format('ENABLE ALWAYS TRIGGER %I', tgname), ', ')
FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid WHERE tgrelid = 'events'::regclass AND NOT tgisinternal
"""


@dataclass(frozen=True, slots=True)
class Emptying:
    """What makes a database like the one it was read from: `statements` for its rows, once its triggers are whole."""

    triggers: str
    statements: sql.Composed

    @classmethod
    def read_from(cls, url: str) -> "Emptying":
        """From a database that is migrated and in which nothing has happened."""
        with psycopg.connect(url, autocommit=True) as connection:
            whole, enabling = connection.execute(_TRIGGERS).fetchone()  # type: ignore[misc]
            tables = [table.name for table in reversed(metadata.sorted_tables)]
            parts: list[sql.Composable] = [
                sql.SQL(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ),
                sql.SQL("ALTER TABLE events DISABLE TRIGGER USER"),
                *(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in (*tables, "alembic_version")),
                sql.SQL(f"ALTER TABLE events {enabling}"),
                sql.SQL("ALTER SEQUENCE outbox_id_seq RESTART"),
            ]
            for name in (*reversed(tables), "alembic_version"):
                found = connection.execute(sql.SQL("SELECT to_json(t) FROM {} t").format(sql.Identifier(name)))
                if rows := [row for (row,) in found]:
                    again = "INSERT INTO {0} SELECT * FROM json_populate_recordset(NULL::{0}, {1})"
                    parts.append(sql.SQL(again).format(sql.Identifier(name), sql.Literal(json.dumps(rows))))
        return cls(triggers=whole, statements=sql.SQL("; ").join(parts))

    def empty(self, url: str) -> None:
        """Make the database at this address so, whatever a test has done to its rows and triggers."""
        with psycopg.connect(url, autocommit=True) as connection:
            whole, _ = connection.execute(_TRIGGERS).fetchone()  # type: ignore[misc]
            if whole != self.triggers:
                _restore_triggers(url)
            connection.execute(self.statements)


def _restore_triggers(url: str) -> None:
    with connect(url) as database, database.writing() as connection:
        triggers.install(connection)
