"""Keeps the database small and quick: deletes what is too old, takes checkpoints, frees rows that are stuck."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import structlog

from bot.delivery.consumer import LEASE, MAX_BACKOFF
from core.service.service import RolloutService
from core.store.coordination import outbox, timers
from core.store.maintenance import checkpointing, retention
from core.store.observations import deduplication, trace_parts
from core.store.shadow_eval import shadow_samples
from core.store.units import served_units

log = structlog.get_logger()

_KEEP_TIMERS = timedelta(hours=1)


def delete_expired_keys(service: RolloutService, now: datetime) -> None:
    """Delete idempotency keys and timers that are too old for a repeat to arrive."""
    with service.database.writing_outside_log() as connection:
        deduplication.delete_expired(connection, now)
        trace_parts.delete_expired(connection, now)
        shadow_samples.delete_expired(connection, now)
        timers.delete_before(connection, now - _KEEP_TIMERS)


def delete_old_customers(service: RolloutService, now: datetime) -> None:
    """Delete the ids of customers that the policy does not keep any longer; all of them if it keeps none."""
    records = service.cached_world().policy.customers
    before = now - records.keep if records is not None else None
    with service.database.writing_outside_log() as connection:
        deleted = served_units.delete_older(connection, before)
    if deleted:
        log.info("deleted ids of customers", customers=deleted)


def delete_old_data(service: RolloutService, keep: timedelta) -> None:
    """Delete data outside the log that is older than `keep`, a bounded amount per call."""
    kept = service.cached_world().rollouts.keys()
    with service.database.writing_outside_log() as connection:
        deleted = retention.delete_old(connection, datetime.now(UTC) - keep, kept)
    if deleted.has_any:
        log.info("deleted old data", **asdict(deleted))


def take_checkpoint(service: RolloutService, now: datetime) -> None:
    """Save a checkpoint of the world once the log has grown enough to slow the next start."""
    by = "system:checkpoint"
    checkpointing.take_if_due(service.database, service.world_cache, by=by, at=now, recorded_at=datetime.now(UTC))


def release_stuck_rows(service: RolloutService, now: datetime, speed: float) -> None:
    """If the clock was set back or slowed down to `speed`, make outbox rows due that would otherwise wait for it."""
    lease, longest_delay = LEASE * speed, timedelta(seconds=MAX_BACKOFF * speed)
    with service.database.reading() as connection:
        if not outbox.has_stuck_rows(connection, now, lease, longest_delay):
            return
    with service.database.writing_outside_log() as connection:
        freed = outbox.release_stuck_rows(connection, now, lease, longest_delay)
    if freed:  # another worker may have released them meanwhile
        log.warning("messages that a clock set back or slowed down would have kept waiting are due now", messages=freed)
