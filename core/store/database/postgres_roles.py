"""A Postgres role for the running program that may append to the log but not change it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from core.store.database import postgres_functions
from core.store.errors import StoreError

_MAY_NOT = "42501"  # insufficient_privilege
_READ, _ADD, _CHANGE, _FORGET = "SELECT", "INSERT", "UPDATE", "DELETE"
# Exactly the rights that the running program needs on each table; migrations are the owner's.
GRANTS: Mapping[str, tuple[str, ...]] = {
    "alembic_version": (_READ,),
    "anchor": (_READ, _ADD),
    "cell": (_READ, _ADD, _CHANGE),
    "checkpoint": (_READ, _ADD, _FORGET),
    "commands": (_READ, _ADD),
    "events": (_READ, _ADD),
    "exposure": (_READ, _ADD, _CHANGE),
    "exposure_count": (_READ, _ADD, _CHANGE),
    "intake_batch": (_READ, _ADD, _CHANGE, _FORGET),
    "intake_item": (_READ, _ADD, _CHANGE, _FORGET),
    "look": (_READ, _ADD, _CHANGE),
    "outbox": (_READ, _ADD, _CHANGE),
    "person_key": (_READ, _ADD, _FORGET),
    "process": (_READ, _ADD, _CHANGE, _FORGET),
    "projection": (_READ,),
    "rollout_view": (_READ, _ADD, _CHANGE),
    "timer": (_READ, _ADD, _CHANGE, _FORGET),
}


class RoleRefused(StoreError):
    """The role cannot be restricted to appending, or lacks the owner's rights; nothing was changed."""


def grant(connection: Connection, role: str) -> None:
    """Grant `role` the rights that the running program needs, and revoke all others on these tables; safe to repeat.

    RoleRefused on SQLite, if the role does not exist, and if rights cannot restrict it: a superuser, the owner of the
    log, or a member of the owner's role.
    """
    if connection.dialect.name != "postgresql":
        raise RoleRefused("SQLite has no roles: whoever may write the file may change it. The hash chain shows that.")
    _assert_bindable(connection, role)
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
        *(f"GRANT EXECUTE ON FUNCTION {name} TO {quoted}" for name in postgres_functions.NAMES),
        *(f"GRANT {', '.join(rights)} ON {table} TO {quoted}" for table, rights in GRANTS.items()),
    ]
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))


def unbound(connection: Connection) -> str | None:
    """Why the role of this connection could change the log; None if it can only append (and on SQLite)."""
    if connection.dialect.name != "postgresql":
        return None
    name = connection.execute(text("SELECT current_user")).scalar_one()
    return _why_unbound(connection, name)


@contextmanager
def owners_work(what: str) -> Iterator[None]:
    """Turn a missing privilege inside the block into a RoleRefused that says to use the owner's role for `what`."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _MAY_NOT:
            raise
        raise RoleRefused(
            f"This database role may not {what}, so nothing was changed: use the DATABASE_URL of the tables' owner. "
            f"(The database says: {str(error.orig).strip().splitlines()[0]})"
        ) from error


def _assert_bindable(connection: Connection, role: str) -> None:
    known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.execute(known, {"role": role}).first() is None:
        raise RoleRefused(
            f"There is no role {role}, so no right was given. Create it first: CREATE ROLE {role} LOGIN PASSWORD '…'."
        )
    why = _why_unbound(connection, role)
    if why is not None:
        raise RoleRefused(f"The role {role} {why}, so no right could bind it. Choose another.")


def _why_unbound(connection: Connection, role: str) -> str | None:
    asked = text(
        "SELECT rolsuper, pg_has_role(rolname, tableowner, 'MEMBER') AS owns"
        " FROM pg_roles, pg_tables WHERE rolname = :role AND tablename = 'events' AND schemaname = current_schema()"
    )
    found = connection.execute(asked, {"role": role}).first()
    if found is None:
        return "does not find the log in its schema"
    if found.rolsuper:
        return "is a superuser"
    return "owns the log, or may act as its owner" if found.owns else None
