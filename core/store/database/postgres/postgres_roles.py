"""A Postgres role for the running program that may append to the log but not change it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from core.store.database.postgres import postgres_functions
from core.store.errors import StoreError

_INSUFFICIENT_PRIVILEGE = "42501"  # insufficient_privilege
_SELECT, _INSERT, _UPDATE, _DELETE = "SELECT", "INSERT", "UPDATE", "DELETE"
# Exactly the rights that the running program needs on each table; migrations are the owner's.
GRANTS: Mapping[str, tuple[str, ...]] = {
    "alembic_version": (_SELECT,),
    "anchor": (_SELECT, _INSERT),
    "cell": (_SELECT, _INSERT, _UPDATE),
    "checkpoint": (_SELECT, _INSERT, _DELETE),
    "commands": (_SELECT, _INSERT),
    "counted_trace": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "events": (_SELECT, _INSERT),
    "exposure": (_SELECT, _INSERT, _UPDATE),
    "exposure_count": (_SELECT, _INSERT, _UPDATE),
    "intake_batch": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "intake_item": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "judging_account": (_SELECT, _INSERT, _UPDATE),
    "look": (_SELECT, _INSERT, _UPDATE),
    "marked_cell": (_SELECT, _INSERT, _UPDATE),
    "outbox": (_SELECT, _INSERT, _UPDATE),
    "person_key": (_SELECT, _INSERT, _DELETE),
    "process": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "projection": (_SELECT,),
    "pulled_cell": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "pulled_exposure_count": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "rollout_view": (_SELECT, _INSERT, _UPDATE),
    "served_unit": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "shadow_sample": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "source_pull": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "timer": (_SELECT, _INSERT, _UPDATE, _DELETE),
    "trace_part": (_SELECT, _INSERT, _DELETE),
}


TO_READ_THE_REVISION: Mapping[str, tuple[str, ...]] = {"alembic_version": (_SELECT,)}


class RoleRefused(StoreError):
    """The role cannot be restricted to appending, or lacks the owner's rights; nothing was changed."""


def grant_append_only(connection: Connection, role: str) -> None:
    """Grant `role` the rights that the running program needs, and revoke all others on these tables; safe to repeat.

    RoleRefused on SQLite, if the role does not exist, and if rights cannot restrict it: a superuser, the owner of the
    log, or a member of the owner's role.
    """
    if connection.dialect.name != "postgresql":
        raise RoleRefused(
            "SQLite has no roles: anyone who can write the file can change it. The hash chain reveals that."
        )
    _assert_restrictable(connection, role)
    quoted = connection.dialect.identifier_preparer.quote(role)
    here = connection.dialect.identifier_preparer.quote(
        connection.execute(text("SELECT current_schema()")).scalar_one()
    )
    statements = [
        *(f"REVOKE ALL ON {table} FROM {quoted}" for table in GRANTS),
        f"REVOKE ALL ON SEQUENCE outbox_id_seq FROM {quoted}",
        f"REVOKE CREATE ON SCHEMA {here} FROM {quoted}",
        f"GRANT USAGE ON SCHEMA {here} TO {quoted}",
        f"GRANT USAGE ON SEQUENCE outbox_id_seq TO {quoted}",
        *(f"GRANT EXECUTE ON FUNCTION {name} TO {quoted}" for name in postgres_functions.FUNCTION_NAMES),
        *(f"GRANT {', '.join(rights)} ON {table} TO {quoted}" for table, rights in GRANTS.items()),
    ]
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))


def explain_excess_rights(connection: Connection) -> str | None:
    """Why the role of this connection could change the log; None if it can only append (and on SQLite)."""
    if connection.dialect.name != "postgresql":
        return None
    name = connection.execute(text("SELECT current_user")).scalar_one()
    return _explain_role_rights(connection, name)


def explain_missing_rights(connection: Connection, needed: Mapping[str, tuple[str, ...]]) -> str | None:
    """Why nothing that needs these rights works as the role of this connection, and what to do; None if it has them
    all (and on SQLite). A table that is not there yet is not asked about."""
    if connection.dialect.name != "postgresql":
        return None
    wanted = [(table, right) for table, rights in needed.items() for right in rights]
    asked = text(
        "SELECT DISTINCT name FROM unnest(CAST(:tables AS text[]), CAST(:rights AS text[])) AS wanted (name, needed)"
        " WHERE NOT has_table_privilege(to_regclass(name), needed) ORDER BY name"  # NULL where there is no such table
    )
    given = {"tables": [table for table, _ in wanted], "rights": [right for _, right in wanted]}
    missing = list(connection.execute(asked, given).scalars())
    if not missing:
        return None
    role = connection.execute(text("SELECT current_user")).scalar_one()
    others = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return (
        f"The database role {role} lacks rights that the program needs (on {', '.join(missing[:3])}{others}): run "
        f"`rollout migrate --app-role {role}` with the DATABASE_URL of the tables' owner, as after every upgrade and "
        "every restore."
    )


@contextmanager
def owner_required(what: str) -> Iterator[None]:
    """Turn a missing privilege inside the block into a RoleRefused that says to use the owner's role for `what`."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        raise RoleRefused(
            f"This database role may not {what}, so nothing was changed: use the DATABASE_URL of the tables' owner. "
            f"(The database says: {str(error.orig).strip().splitlines()[0]})"
        ) from error


def _assert_restrictable(connection: Connection, role: str) -> None:
    known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.execute(known, {"role": role}).first() is None:
        raise RoleRefused(
            f"There is no role {role}, so nothing was granted. Create it first: CREATE ROLE {role} LOGIN PASSWORD '…'."
        )
    why = _explain_role_rights(connection, role)
    if why is not None:
        raise RoleRefused(f"The role {role} {why}, so its rights cannot be restricted. Choose another.")


def _explain_role_rights(connection: Connection, role: str) -> str | None:
    asked = text(
        "SELECT rolsuper, pg_has_role(rolname, tableowner, 'MEMBER') AS owns"
        " FROM pg_roles, pg_tables WHERE rolname = :role AND tablename = 'events' AND schemaname = current_schema()"
    )
    found = connection.execute(asked, {"role": role}).first()
    if found is None:
        return "cannot see the log in its schema"
    if found.rolsuper:
        return "is a superuser"
    return "owns the log, or may act as its owner" if found.owns else None
