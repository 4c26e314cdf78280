"""Migrates a database to the schema of this program, and refuses to run on any other schema."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from core.store.database.connections import Database
from core.store.database.postgres import postgres_functions, postgres_roles
from core.store.errors import SchemaMismatch
from core.store.schema import triggers
from core.store.world import rollout_rows

REVISION = "0009"
_MIGRATIONS = Path(__file__).resolve().parents[3] / "migrations"


def migrate(database: Database) -> None:
    """Create or upgrade the tables, restore the triggers, rebuild read models whose code changed; safe to repeat.

    SchemaMismatch if a newer program has upgraded the database. Concurrent migrations wait for each other.
    """
    with postgres_roles.owner_required("create, upgrade or protect the tables"), database.writing() as connection:
        bring_up_to_date(connection)


def bring_up_to_date(connection: Connection) -> None:
    """Do what `migrate` does, inside a transaction of `Database.writing()`."""
    found = read_revision(connection)
    if found is not None:
        assert_known_revision(found)
    if found != REVISION:
        upgrade(connection)
    triggers.install(connection)
    if connection.dialect.name == "postgresql":
        postgres_functions.install(connection)
    rollout_rows.ensure_current(connection)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Create or upgrade only the tables, in the transaction of `connection`, up to the revision `to`."""
    # Imported here because it takes half a second, which a start with nothing to upgrade should not pay.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def assert_current(database: Database) -> None:
    """SchemaMismatch unless the schema is exactly that of this program, this role may use it, and the triggers protect
    the log."""
    with database.reading() as connection:
        found = read_revision(connection)
        if found is None:
            raise SchemaMismatch("The database has no tables yet: run `rollout migrate`.")
        assert_known_revision(found)
        if found < REVISION:
            raise SchemaMismatch(
                f"The database has schema {found}, this program needs {REVISION}: run `rollout migrate`."
            )
        _assert_rights(connection, postgres_roles.GRANTS)
        absent = triggers.find_missing(connection)
        if connection.dialect.name == "postgresql" and (functions := postgres_functions.find_missing(connection)):
            raise SchemaMismatch(
                f"The database lacks the functions of this program ({', '.join(functions)}): run `rollout migrate`."
            )
    if absent:
        raise SchemaMismatch(
            f"The log is not protected: {', '.join(absent)} missing or altered. Run `rollout audit verify` to see "
            "whether it was changed, then `rollout migrate` to restore them."
        )


def read_revision(connection: Connection) -> str | None:
    """The schema revision of the database; None if it has no tables. SchemaMismatch if this role may not use them."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    _assert_rights(connection, postgres_roles.TO_READ_THE_REVISION)
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _assert_rights(connection: Connection, needed: Mapping[str, tuple[str, ...]]) -> None:
    """SchemaMismatch unless the role of the connection has these rights."""
    why = postgres_roles.explain_missing_rights(connection, needed)
    if why is not None:
        raise SchemaMismatch(why)


def assert_known_revision(found: str) -> None:
    """SchemaMismatch if a newer program made this revision."""
    if found > REVISION:
        raise SchemaMismatch(
            f"The database has schema {found}, this program knows up to {REVISION}: a newer program has upgraded it. "
            "Upgrade this one before it runs again."
        )
