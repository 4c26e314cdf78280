"""Databases for trials that need hundreds of empty ones, and the way to the sandbox's Slack."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from core.store.database.connections import connect
from core.store.models import metadata
from core.store.schema import triggers
from core.store.world import rollout_rows
from tests.trials.slack_in_process import in_process


@pytest.fixture(autouse=True)
def _slack_in_process() -> Iterator[None]:
    with in_process():
        yield


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the address of an empty database per call; the one given before is not used any more."""
    new: Callable[[], str] = request.getfixturevalue(f"new_{request.param}")
    if request.param == "sqlite":
        return new
    url = new()

    def emptied() -> str:
        with connect(url) as database, database.writing() as connection:
            _forget_everything(connection)
        return url

    return emptied


def _forget_everything(connection: Any) -> None:
    connection.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())
    connection.execute(text("ALTER SEQUENCE outbox_id_seq RESTART"))
    triggers.install(connection)
    rollout_rows.ensure_current(connection)
