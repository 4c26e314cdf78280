"""Events, moments and commands that the tests of the store write."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from core.rollout.surface import SurfaceDeclared
from core.store.database.connections import Database
from core.store.log.answered_commands import Answer
from core.store.log.event_log import Entry, Origin, Recorded
from core.store.transaction import appending
from core.store.world.world_cache import Folds

NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)

Append = Callable[..., tuple[Recorded, ...]]


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def entry() -> Callable[..., Entry]:
    def make(stream: str = "surface:support", text: str = "hm") -> Entry:
        declared = SurfaceDeclared(
            surface=stream.removeprefix("surface:"),
            title=text,
            owner="@ana",
            version="v1",
            content={"model": "m1"},
            daily_requests=None,
            notices=(),
            fingerprint="f",
        )
        return Entry(stream=stream, event=declared)

    return make


@pytest.fixture
def append(database: Database, entry: Callable[..., Entry]) -> Append:
    """Appends events as one command in a transaction of its own."""

    folds = Folds(database)

    def go(command_id: str, entries: Sequence[Entry] | None = None, at: datetime = NOON) -> tuple[Recorded, ...]:
        with appending(database, folds, command_id) as log:
            origin = Origin(command_id=command_id, actor="slack:U1", at=at, recorded_at=at)
            recorded = tuple(step.recorded for step in log.append(entries or (entry(),), origin))
            first, last = recorded[0].position, recorded[-1].position
            log.remember(command_id, "f", Answer(first_position=first, last_position=last, result_json="{}", at=at))
        return recorded

    return go
