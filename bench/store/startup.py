"""The start of a process on a log of five million events: from a checkpoint, and from the first event."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.measuring import alone, databases, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from core.rollout import commands as c
from core.rollout.state.events import rollout_stream
from core.service.service import RolloutService
from core.store.database.append_queries import EVENT_COLUMNS
from core.store.database.connections import Database, connect
from core.store.formats import chain
from core.store.formats.instants import format_instant
from core.store.log import event_log
from core.store.maintenance import checkpointing
from core.store.world.world_cache import WorldCache

OF_A_ROLLOUT, A_DAY = 250, 50
WITHIN = 3.0  # seconds
FLAT = 1.2  # times the memory of a log of a tenth of that size
_START = """
import sys, time
began = time.perf_counter()
from core.service.service import RolloutService
from core.store.database.connections import connect
with connect(sys.argv[1]) as database:
    world = RolloutService(database).load_world()
    print(time.perf_counter() - began, world.position, len(world.open_rollouts))
"""


def measure(effort: Effort) -> Iterator[Figure]:
    """One rollout runs, all others were rolled back, fifty a day."""
    size = effort.startup_log
    with databases.folder() as folder:
        _, small = _started(databases.sqlite(folder), size // 10)
    with databases.folder() as folder:
        yield from _figures("SQLite", databases.sqlite(folder), size, small)
    with databases.postgres_server() as server:
        yield from _figures("Postgres", server.migrated(), size, None)


def _figures(name: str, url: str, size: int, small: float | None) -> Iterator[Figure]:
    with connect(url) as database:
        _fill(database, size)
    whole, _ = _start(url)
    seconds, memory = _started(url, 0)
    said = f"a start on {size:,} events: reading all of them, {name}"
    yield Figure(name=said, ours=seconds, peer=whole, unit="s", better="less")
    yield Figure(name=f"… that alone, {name}", ours=seconds, unit="s", goal=WITHIN, better="less")
    if small is not None:
        yield Figure(
            name="… memory it took: on a tenth of them", ours=memory, peer=small, unit="MB", goal=FLAT, better="less"
        )


def _started(url: str, size: int) -> tuple[float, float]:
    """(seconds, megabytes at most) of a start from a checkpoint."""
    with connect(url) as database:
        if size:
            _fill(database, size)
        folds, now = WorldCache(database), datetime.now(UTC)
        folds.refresh()
        checkpointing.take_checkpoint(database, folds, by="system:bench", at=now, recorded_at=now)
    return _start(url)


def _start(url: str) -> tuple[float, float]:
    (seconds, position, running), megabytes = alone.run(_START, url)
    if not int(position) or running != "1":
        raise RuntimeError(f"{running} rollouts are open at {position}, not one")
    return float(seconds), megabytes


def _fill(database: Database, size: int) -> None:
    """A log of about `size` events: one whole rollout, again and again under other names, and then one that runs."""
    service = RolloutService(database)
    pattern = _one_rollout(service, database)
    ended = size // len(pattern)
    with database.reading() as connection:
        position, prev = event_log.read_head(connection)
    versions = {"surface:" + rollouts.SURFACE: _version(service, database)}
    began = datetime.now(UTC) - timedelta(days=1 + ended / A_DAY)
    rows: list[tuple[Any, ...]] = []
    for number in range(2, ended + 1):
        at = format_instant(began + timedelta(days=number / A_DAY))
        for row in pattern:
            position += 1
            prev, made = _again(row, number, position, prev, at, pattern[-1]["recorded_at"], versions)
            rows.append(made)
        if len(rows) > 20_000:
            _insert(database, rows)
    _insert(database, rows)
    rollouts.begin(RolloutService(database))


def _one_rollout(service: RolloutService, database: Database) -> list[dict[str, Any]]:
    """The rows of a rollout that was paused and resumed often and then rolled back."""
    rollout = rollouts.begin(service)
    for _ in range((OF_A_ROLLOUT - 20) // 2):
        rollouts.say(service, c.Pause(reason="The support team looks at it together before we go on."), rollout.id)
        rollouts.say(service, c.Resume(reason="Nothing was wrong with it."), rollout.id)
    rollouts.say(service, c.RollBack(reason="Answers are odd."), rollout.id)
    with database.reading() as connection:
        rows = [dict(zip(EVENT_COLUMNS, row, strict=True)) for row in event_log.iterate_raw_rows(connection)]
    return [row for row in rows if row["type"] != "surface.declared"]


def _version(service: RolloutService, database: Database) -> int:
    with database.reading() as connection:
        return event_log.read_newest_version(connection, "surface:" + rollouts.SURFACE)


def _again(
    row: dict[str, Any], number: int, position: int, prev: bytes, at: str, recorded_at: str, versions: dict[str, int]
) -> tuple[bytes, tuple[Any, ...]]:
    """(hash, row) of the same event in another rollout."""
    first, name = "R-1", f"R-{number}"
    stream = row["stream"].replace(rollout_stream(first), rollout_stream(name))
    versions[stream] = versions.get(stream, 0) + 1
    command = f"{row['command_id']}-{number}"
    body = row["body"].replace(f'"{first}"', f'"{name}"').replace('"name":"bench-', f'"name":"bench-{number}-')
    new = {
        **row,
        "position": position,
        "stream": stream,
        "version": versions[stream],
        "event_id": event_log.derive_event_id(command, row["command_seq"]),
        "command_id": command,
        "at": at,
        "recorded_at": recorded_at,
        "pii_ref": None,
        "body": body,
    }
    hash_ = chain.hash_event(prev, [new[column] for column in chain.HEADER_COLUMNS], body)
    new["prev_hash"], new["hash"] = prev, hash_
    return hash_, tuple(new[column] for column in EVENT_COLUMNS)


def _insert(database: Database, rows: list[tuple[Any, ...]]) -> None:
    with database.writing() as connection:
        event_log.insert_rows(connection, rows)
    rows.clear()
