"""Which observations were counted already, so that a repeated batch or item counts once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, and_, delete, select, update

from core.store.errors import Conflict
from core.store.tables import insert_into, intake_batch, intake_item

BATCHES_KEPT = timedelta(days=7)
ITEMS_KEPT = timedelta(hours=24)


def open_batch(connection: Connection, *, token: str, key: str, fingerprint: str, at: datetime) -> str | None:
    """The stored answer if this token has sent this key before; None if the batch is now ours to count.

    Conflict if the key was used for another body. Do this first in the transaction, and `answer_batch` last: a second
    copy that arrives meanwhile waits here for the first to commit.
    """
    token_hash = sha256(token.encode()).hexdigest()
    fresh = insert_into(connection, intake_batch).values(
        token_hash=token_hash, key=key, fingerprint=fingerprint, answer=None, at=at
    )
    renewed = {"fingerprint": fingerprint, "answer": None, "at": at}
    claimed = connection.execute(
        fresh.on_conflict_do_update(
            index_elements=["token_hash", "key"], set_=renewed, where=intake_batch.c.at < at - BATCHES_KEPT
        ).returning(intake_batch.c.key)
    ).first()
    if claimed is not None:
        return None
    row = connection.execute(
        select(intake_batch).where(intake_batch.c.token_hash == token_hash, intake_batch.c.key == key)
    ).one()
    if row.fingerprint != fingerprint:
        raise Conflict(
            f"The Idempotency-Key {key} was used before for a different batch, so this one was not counted. "
            "Send it again under a new key."
        )
    answer: str = row.answer
    return answer


def answer_batch(connection: Connection, *, token: str, key: str, answer: str) -> None:
    """Keep the answer to a batch that `open_batch` gave us."""
    token_hash = sha256(token.encode()).hexdigest()
    mine = and_(intake_batch.c.token_hash == token_hash, intake_batch.c.key == key)
    connection.execute(update(intake_batch).where(mine).values(answer=answer))


def fresh_items(connection: Connection, items: Iterable[tuple[str, str]], at: datetime) -> frozenset[tuple[str, str]]:
    """Of these (surface, item id), the ones not seen in the last 24 hours; they count as seen from now on."""
    fresh: set[tuple[str, str]] = set()
    # In one order everywhere, so that two batches with the same items wait for each other instead of deadlocking.
    ordered = sorted(set(items))
    for start in range(0, len(ordered), 1000):
        some = [{"surface": surface, "item_id": item, "at": at} for surface, item in ordered[start : start + 1000]]
        added = insert_into(connection, intake_item).values(some)
        rows = connection.execute(
            added.on_conflict_do_update(
                index_elements=["surface", "item_id"],
                set_={"at": at},
                where=intake_item.c.at <= at - ITEMS_KEPT,
            ).returning(intake_item.c.surface, intake_item.c.item_id)
        )
        fresh.update((row.surface, row.item_id) for row in rows)
    return frozenset(fresh)


def forget(connection: Connection, now: datetime) -> None:
    """Delete batches older than 7 days and items older than 24 hours."""
    connection.execute(delete(intake_batch).where(intake_batch.c.at < now - BATCHES_KEPT))
    connection.execute(delete(intake_item).where(intake_item.c.at < now - ITEMS_KEPT))
