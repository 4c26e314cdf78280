"""Takes checkpoints: saves the world, and appends its hash to the log."""

from datetime import datetime
from hashlib import sha256

from core.rollout.events import CHECKPOINT_STREAM, WorldCheckpointed
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.answered_commands import Answer
from core.store.log.event_log import Entry, Origin
from core.store.transaction import appending
from core.store.world import checkpoints
from core.store.world.world_cache import Folds

EVERY = 10_000
"""A checkpoint is due this many events after the newest one; folding as many takes a tenth of a second."""


def take_if_due(database: Database, folds: Folds, *, by: str, at: datetime, recorded_at: datetime) -> bool:
    """Take a checkpoint if a start would have to fold `CHECKPOINT_INTERVAL` events or more; whether one was taken."""
    with database.reading() as connection:
        position, _ = event_log.head(connection)
        if position < EVERY or position - checkpoints.newest_position(connection) < EVERY:
            return False
    folds.refresh()
    return take(database, folds, by=by, at=at, recorded_at=recorded_at)


def take(database: Database, folds: Folds, *, by: str, at: datetime, recorded_at: datetime) -> bool:
    """Save the cached world as a checkpoint.

    False if another process has taken one at the same position, or if the cache still holds erased text.
    """
    reading = folds.kept_without_erased()
    if reading is None:
        return False
    packed = checkpoints.pack(reading.world.without_ended(at))
    position, code = reading.tail.position, checkpoints.code_hash()
    with database.plain_writing() as connection:
        checkpoints.save(connection, position, packed)
    event = WorldCheckpointed(
        position=position, hash=reading.tail.hash.hex(), world=sha256(packed).hexdigest(), code=code
    )
    command_id = f"checkpoint:{position}:{code}"
    with appending(database, folds, command_id) as log:
        if log.answered(command_id, "checkpoint") is not None:
            return False
        origin = Origin(command_id=command_id, actor=by, at=at, recorded_at=recorded_at)
        steps = log.append([Entry(stream=CHECKPOINT_STREAM, event=event)], origin)
        there = steps[0].recorded.position
        log.remember(
            command_id, "checkpoint", Answer(first_position=there, last_position=there, result_json="{}", at=at)
        )
    with database.plain_writing() as connection:
        checkpoints.forget(connection)
    return True
