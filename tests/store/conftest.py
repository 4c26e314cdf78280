"""Events, moments and commands that the tests of the store write."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from core.rollout.state.events import NewEvent
from core.rollout.state.surface import SurfaceDeclared
from core.store.database.connections import Database
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin, StoredEvent
from core.store.transaction import append_transaction
from core.store.world.world_cache import WorldCache

NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)

Append = Callable[..., tuple[StoredEvent, ...]]


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def entry() -> Callable[..., NewEvent]:
    def make(stream: str = "surface:support", text: str = "hm") -> NewEvent:
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
        return NewEvent(stream=stream, event=declared)

    return make


@pytest.fixture
def append(database: Database, entry: Callable[..., NewEvent]) -> Append:
    """Appends events as one command in a transaction of its own."""

    folds = WorldCache(database)

    def go(command_id: str, entries: Sequence[NewEvent] | None = None, at: datetime = NOON) -> tuple[StoredEvent, ...]:
        with append_transaction(database, folds, command_id) as log:
            origin = EventOrigin(command_id=command_id, actor="slack:U1", at=at, recorded_at=at)
            recorded = tuple(step.stored for step in log.append(entries or (entry(),), origin))
            first, last = recorded[0].position, recorded[-1].position
            log.store_answer(
                command_id, "f", CommandAnswer(first_position=first, last_position=last, result_json="{}", at=at)
            )
        return recorded

    return go
