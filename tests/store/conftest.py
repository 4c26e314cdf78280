"""Events, moments and commands that the tests of the store write."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from core.rollout.events import ConcernRaised
from core.store import commands, event_log
from core.store.database import Database
from core.store.event_log import Entry, Recorded

NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)

Append = Callable[..., tuple[Recorded, ...]]


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def entry() -> Callable[..., Entry]:
    def make(stream: str = "surface:support", text: str = "hm") -> Entry:
        return Entry(stream=stream, event=ConcernRaised(notice="n", by="U1", handle="@ana", text=text))

    return make


@pytest.fixture
def append(database: Database, entry: Callable[..., Entry]) -> Append:
    """Appends events as one command in a transaction of its own."""

    def go(command_id: str, entries: Sequence[Entry] | None = None, at: datetime = NOON) -> tuple[Recorded, ...]:
        with database.writing() as connection:
            recorded = event_log.append(
                connection, entries or (entry(),), command_id=command_id, actor="slack:U1", at=at, recorded_at=at
            )
            commands.remember(connection, command_id, "f", recorded[0].position, recorded[-1].position, "{}", at)
        return recorded

    return go
