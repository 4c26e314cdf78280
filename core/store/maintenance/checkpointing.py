"""Takes checkpoints: saves the world, and appends its hash to the log."""

from datetime import datetime
from hashlib import sha256

from core.rollout.state.events import CHECKPOINT_STREAM, NewEvent, WorldCheckpointed
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin
from core.store.transaction import append_transaction
from core.store.world import checkpoints
from core.store.world.world_cache import WorldCache

CHECKPOINT_INTERVAL = 10_000
"""A checkpoint is due this many events after the newest one; folding as many takes a tenth of a second."""


def take_if_due(database: Database, world_cache: WorldCache, *, by: str, at: datetime, recorded_at: datetime) -> bool:
    """Take a checkpoint if a start would have to fold `CHECKPOINT_INTERVAL` events or more; whether one was taken."""
    with database.reading() as connection:
        position, _ = event_log.read_head(connection)
        if (
            position < CHECKPOINT_INTERVAL
            or position - checkpoints.find_newest_position(connection) < CHECKPOINT_INTERVAL
        ):
            return False
    world_cache.refresh()
    return take_checkpoint(database, world_cache, by=by, at=at, recorded_at=recorded_at)


def take_checkpoint(
    database: Database, world_cache: WorldCache, *, by: str, at: datetime, recorded_at: datetime
) -> bool:
    """Save the cached world as a checkpoint.

    False if another process has taken one at the same position, or if the cache still holds erased text.
    """
    reading = world_cache.cached_state_without_erased()
    if reading is None:
        return False
    packed = checkpoints.pack_world(reading.world.without_ended(at))
    position, code = reading.tail.position, checkpoints.code_hash()
    with database.writing_outside_log() as connection:
        checkpoints.save(connection, position, packed)
    event = WorldCheckpointed(
        position=position, hash=reading.tail.hash.hex(), world=sha256(packed).hexdigest(), code=code
    )
    command_id = f"checkpoint:{position}:{code}"
    with append_transaction(database, world_cache, command_id) as log:
        if log.find_answer(command_id, "checkpoint") is not None:
            return False
        origin = EventOrigin(command_id=command_id, actor=by, at=at, recorded_at=recorded_at)
        steps = log.append([NewEvent(stream=CHECKPOINT_STREAM, event=event)], origin)
        there = steps[0].stored.position
        log.store_answer(
            command_id, "checkpoint", CommandAnswer(first_position=there, last_position=there, result_json="{}", at=at)
        )
    with database.writing_outside_log() as connection:
        checkpoints.delete_stale(connection)
    return True
