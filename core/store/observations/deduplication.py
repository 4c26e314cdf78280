"""Deduplication of observations, so that a repeated batch or item counts once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete

from core.store.database.driver import execute, fetch_all
from core.store.database.row_source import upsert_rows
from core.store.errors import IdempotencyConflict
from core.store.models import intake_batch, intake_item

BATCH_RETENTION = timedelta(days=7)
ITEM_RETENTION = timedelta(hours=24)


_OPEN_BATCH = (
    "INSERT INTO intake_batch (token_hash, key, fingerprint, answer, at) VALUES (?, ?, ?, NULL, ?)"
    " ON CONFLICT (token_hash, key) DO UPDATE SET fingerprint = excluded.fingerprint, answer = NULL, at = excluded.at"
    " WHERE intake_batch.at < ? RETURNING 1"
)
_ITEM_COLUMNS, _ITEM_TYPES = "intake_item (surface, item_id, at)", ("text", "text", "timestamptz")
_CLAIM_ITEM = (
    "ON CONFLICT (surface, item_id) DO UPDATE SET at = excluded.at WHERE intake_item.at <= ? RETURNING surface, item_id"
)
_SELECT_BATCH = "SELECT fingerprint, answer FROM intake_batch WHERE token_hash = ? AND key = ?"
_SAVE_ANSWER = "UPDATE intake_batch SET answer = ? WHERE token_hash = ? AND key = ?"


def open_batch(connection: Connection, *, token: str, key: str, fingerprint: str, at: datetime) -> str | None:
    """The stored answer if this token has sent this key before; None if the batch is new and must be counted.

    IdempotencyConflict if the key was used for another body. Call this first in the transaction, and `answer_batch`
    last: a concurrent copy of the batch waits here for the first one to commit.
    """
    token_hash = sha256(token.encode()).hexdigest()
    if fetch_all(connection, _OPEN_BATCH, (token_hash, key, fingerprint, at, at - BATCH_RETENTION)):
        return None
    ((kept, answer),) = fetch_all(connection, _SELECT_BATCH, (token_hash, key))
    if kept != fingerprint:
        raise IdempotencyConflict(
            f"The Idempotency-Key {key} was used before for a different batch, so this one was not counted. "
            "Send it again under a new key."
        )
    known: str = answer
    return known


def answer_batch(connection: Connection, *, token: str, key: str, answer: str) -> None:
    """Store the answer to a batch for which `open_batch` returned None."""
    execute(connection, _SAVE_ANSWER, (answer, sha256(token.encode()).hexdigest(), key))


def claim_fresh_items(
    connection: Connection, items: Iterable[tuple[str, str]], at: datetime
) -> frozenset[tuple[str, str]]:
    """Those (surface, item id) that have not come in the last 24 hours; they are recorded as seen from now on."""
    fresh: set[tuple[str, str]] = set()
    # Always in the same order, so that two batches with the same items wait for each other instead of deadlocking.
    ordered = sorted(set(items))
    for start in range(0, len(ordered), 1000):
        some = [(surface, item, at) for surface, item in ordered[start : start + 1000]]
        fresh.update(
            (surface, item)
            for surface, item in upsert_rows(
                connection, _ITEM_COLUMNS, _ITEM_TYPES, some, _CLAIM_ITEM, (at - ITEM_RETENTION,)
            )
        )
    return frozenset(fresh)


def delete_expired(connection: Connection, now: datetime) -> None:
    """Delete batches older than 7 days and items older than 24 hours."""
    connection.execute(delete(intake_batch).where(intake_batch.c.at < now - BATCH_RETENTION))
    connection.execute(delete(intake_item).where(intake_item.c.at < now - ITEM_RETENTION))
