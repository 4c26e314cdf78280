"""What a command works with: settings, database, and who is at the keyboard."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from bot.settings import DEFAULT_DATABASE_URL, Settings, read_database_url, read_settings
from core.rollout.context import Actor
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from core.service.service import RolloutService
    from core.store.database.connections import Database


_acting_agent: ContextVar[Actor | None] = ContextVar("acting_agent", default=None)


def load_settings(*, listens: bool = False) -> Settings:
    """The settings from the environment. SettingsError lists everything that is wrong with them."""
    return read_settings(os.environ, listens=listens)


@contextmanager
def open_service(*, urgent: bool = False) -> "Iterator[RolloutService]":
    """The service on the database of `DATABASE_URL`, which must exist and be up to date. If none is named, the built-in
    one is created by the first command.

    An `urgent` command ignores settings that it does not need, and never creates an empty log.
    """
    from core.service.service import RolloutService
    from core.store.database.connections import connect
    from core.store.schema import migrations

    url = read_database_url(os.environ) if urgent else load_settings().database_url
    with connect(url) as database:
        if url == DEFAULT_DATABASE_URL and not urgent and _is_empty_database(database):
            migrations.migrate(database)
        migrations.assert_current(database)
        yield RolloutService(database)


def _is_empty_database(database: "Database") -> bool:
    from core.store.schema import migrations

    with database.reading() as connection:
        return migrations.read_revision(connection) is None


@contextmanager
def open_log_for_audit() -> "Iterator[Database]":
    """The database even if its log is no longer protected by triggers; for examining it, not for writing."""
    from sqlalchemy import inspect

    from core.store.database.connections import connect
    from core.store.errors import SchemaMismatch
    from core.store.schema import migrations

    with connect(load_settings().database_url) as database:
        try:
            migrations.assert_current(database)
        except SchemaMismatch:
            if not inspect(database.engine).has_table("events"):
                raise
        yield database


def current_user() -> Actor:
    """The user who is logged in on this machine, or the agent that acts for them; recorded with everything they do."""
    return _acting_agent.get() or Actor(id=f"cli:{(name := login_name())}", handle=name)


@contextmanager
def acting_as(agent: Actor) -> Iterator[None]:
    """Within this, commands of this thread are given by `agent`."""
    token = _acting_agent.set(agent)
    try:
        yield
    finally:
        _acting_agent.reset(token)


def login_name() -> str:
    """The name of the user who is logged in on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under any user id
        return f"uid-{os.getuid()}"


def current_time() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)


def new_command_id() -> str:
    """A new command id."""
    return f"cli:{uuid4().hex}"


def exit_refused(refused: Refused) -> NoReturn:
    """Print what was refused and what to do next, and exit with status 1."""
    print(refused.message, file=sys.stderr)
    if refused.hint:
        print(refused.hint, file=sys.stderr)
    raise SystemExit(1)
