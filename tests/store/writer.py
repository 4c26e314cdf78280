"""A program that carries out commands against a log, for tests that run, kill and repeat it: URL PREFIX FIRST COUNT."""

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from weakref import WeakKeyDictionary

from core.rollout.state.events import NewEvent
from core.rollout.state.surface import SurfaceDeclared
from core.store.coordination import outbox
from core.store.database.connections import Database, connect
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.transaction import AppendTransaction
from core.store.transaction import run_append_transaction as append
from core.store.world.world_cache import WorldCache

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
_FOLDS: WeakKeyDictionary[Database, WorldCache] = WeakKeyDictionary()


def carry_out(database: Database, command_id: str, at: datetime) -> str:
    """Two events in two streams and a message, once, however often it is asked."""
    folds = _FOLDS.setdefault(database, WorldCache(database))
    return append(database, folds, command_id, partial(_write, command_id, at))


def _write(command_id: str, at: datetime, log: AppendTransaction) -> str:
    answer = log.find_answer(command_id, "two surfaces")
    if answer is not None:
        return answer.result_json
    entries = [NewEvent(stream=f"surface:{name}", event=declared(name, command_id)) for name in ("all", command_id)]
    steps = log.append(entries, EventOrigin(command_id=command_id, actor="cli:test", at=at, recorded_at=at))
    first, last = steps[0].stored.position, steps[-1].stored.position
    log.enqueue(
        outbox.build_row(
            kind="slack",
            ordering_key="C1",
            idempotency_key=command_id,
            request={"text": command_id},
            due_at=at,
            position=last,
        )
    )
    result = f'{{"first":{first}}}'
    answer = CommandAnswer(first_position=first, last_position=last, result_json=result, at=at)
    log.store_answer(command_id, "two surfaces", answer)
    return result


def declared(surface: str, title: str) -> SurfaceDeclared:
    """An event that any log may hold, any number of times."""
    return SurfaceDeclared(
        surface=surface,
        title=title,
        owner="@ana",
        version="v1",
        content={"model": "m1"},
        daily_requests=None,
        notices=(),
        fingerprint="f",
    )


def main() -> None:
    url, prefix, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with connect(url) as database:
        for number in range(first, first + count):
            carry_out(database, f"{prefix}-{number}", NOON + timedelta(seconds=number))
            print(f"{prefix}-{number}", flush=True)


if __name__ == "__main__":
    main()
