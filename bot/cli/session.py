"""What a command works with: settings, database, and who is at the keyboard."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from bot.settings import EMBEDDED, Settings, database_url, read
from core.rollout.context import Actor
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from core.service import Service
    from core.store.database.connections import Database


def settings(*, listens: bool = False) -> Settings:
    """The settings from the environment. SettingsError lists everything that is wrong with them."""
    return read(os.environ, listens=listens)


@contextmanager
def service(*, urgent: bool = False) -> "Iterator[Service]":
    """The service on the database of `DATABASE_URL`, which must exist and be up to date. If none is named, the built-in
    one is created by the first command.

    An `urgent` command ignores settings that it does not need, and never creates an empty log.
    """
    from core.service import Service
    from core.store.database.connections import connect
    from core.store.schema import schema

    url = database_url(os.environ) if urgent else settings().database_url
    with connect(url) as database:
        if url == EMBEDDED and not urgent and _is_new(database):
            schema.migrate(database)
        schema.check(database)
        yield Service(database)


def _is_new(database: "Database") -> bool:
    from core.store.schema import schema

    with database.reading() as connection:
        return schema.revision(connection) is None


@contextmanager
def log_as_it_is() -> "Iterator[Database]":
    """The database even if its log is no longer protected by triggers; for examining it, not for writing."""
    from sqlalchemy import inspect

    from core.store.database.connections import connect
    from core.store.errors import SchemaMismatch
    from core.store.schema import schema

    with connect(settings().database_url) as database:
        try:
            schema.check(database)
        except SchemaMismatch:
            if not inspect(database.engine).has_table("events"):
                raise
        yield database


def somebody() -> Actor:
    """The user who is logged in on this machine; recorded with everything they do."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under any user id
        name = f"uid-{os.getuid()}"
    return Actor(id=f"cli:{name}", handle=name)


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)


def command_id() -> str:
    """A new command id."""
    return f"cli:{uuid4().hex}"


def refuse(refused: Refused) -> NoReturn:
    """Print what was refused and what to do next, and exit with status 1."""
    print(refused.message, file=sys.stderr)
    if refused.hint:
        print(refused.hint, file=sys.stderr)
    raise SystemExit(1)
