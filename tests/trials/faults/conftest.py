"""Fixtures for trials with real processes: a Slack that outlives them, and where they are born."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.sandbox.control import Sandbox
from core.store.database.connections import connect
from core.store.schema import migrations
from tests.trials.faults.disks import mounted
from tests.trials.faults.nursery import Nursery
from tests.trials.faults.server import Server


@pytest.fixture
def slack() -> Iterator[Sandbox]:
    with Sandbox.start(rate_limits="off") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _server(postgres_url: Callable[[str], str]) -> Iterator[Server]:
    opened = Server()
    yield opened
    opened.close()


@pytest.fixture
def server(_server: Server) -> Iterator[Server]:
    """A Postgres for this test alone to fall over, with a migrated database; the next test gets it in good order."""
    with _server.lent():
        with connect(_server.url()) as database:
            migrations.migrate(database)
        yield _server


@pytest.fixture
def nursery(tmp_path: Path, slack: Sandbox) -> Iterator[Callable[..., Nursery]]:
    """Gives a place where processes are born: `nursery(database_url, ROLLOUT_TICK="1s")`."""
    opened: list[Nursery] = []

    def open_(database_url: str, **settings: str) -> Nursery:
        connected = {
            "DATABASE_URL": database_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "SLACK_API_URL": slack.api_url,
            "ROLLOUT_TICK": "1s",
        }
        folder = tmp_path / f"nursery-{len(opened)}"
        folder.mkdir()
        opened.append(Nursery(folder=folder, settings={**connected, **settings}))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB, where this user may mount one."""
    with mounted(tmp_path / "disk", 16) as disk:
        yield disk
