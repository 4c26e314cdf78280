"""Deletes old data: the looks and sums of ended rollouts, sent messages, and answers to commands without events. The
log itself is never deleted."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, delete, exists, func, or_, select

from core.store.database.driver import fetch_all
from core.store.database.postgres import postgres_functions
from core.store.models import (
    cell,
    commands,
    events,
    exposure,
    exposure_count,
    judging_account,
    look,
    marked_cell,
    outbox,
    pulled_cell,
    pulled_exposure_count,
    rollout_view,
    source_pull,
)

MAX_ROLLOUTS, MAX_ROWS = 20, 5_000
"""At most this many per call, so that other writers do not wait long."""
_ROLLOUT_TABLES: tuple[Table, ...] = (
    look,
    cell,
    marked_cell,
    judging_account,
    exposure,
    exposure_count,
    pulled_cell,
    pulled_exposure_count,
    source_pull,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedCounts:
    """How much was deleted: rollouts whose data went, messages, and answers to commands."""

    rollouts: int
    messages: int
    answers: int

    @property
    def has_any(self) -> bool:
        """Whether anything was deleted."""
        return bool(self.rollouts or self.messages or self.answers)


def delete_old(connection: Connection, before: datetime, kept: Collection[str]) -> DeletedCounts:
    """Delete a limited amount of data from before `before` (real time), in a writing transaction; nothing of `kept`.

    Of ended rollouts, deletes looks, sums and exposures; of messages, those sent or given up; of commands, the answers
    without events. On Postgres a function with the owner's rights does it, and raises for data younger than a week,
    since the program's own role may not delete any of it.
    """
    if connection.dialect.name == "postgresql":
        asked = (before, list(kept), MAX_ROLLOUTS, MAX_ROWS)
        ((rollouts, messages, answers),) = fetch_all(connection, postgres_functions.CALL_DELETE_OLD, asked)
        return DeletedCounts(rollouts=rollouts, messages=messages, answers=answers)
    old = select(events.c.position).where(events.c.recorded_at < before)
    ended = select(rollout_view.c.id).where(
        rollout_view.c.ended_at.is_not(None),
        rollout_view.c.position.in_(old),
        rollout_view.c.id.not_in(kept),
        or_(*(exists().where(table.c.rollout == rollout_view.c.id) for table in _ROLLOUT_TABLES)),
    )
    chosen = tuple(connection.execute(ended.limit(MAX_ROLLOUTS)).scalars())
    for table in _ROLLOUT_TABLES if chosen else ():
        connection.execute(delete(table).where(table.c.rollout.in_(chosen)))
    # The newest row stays, so that ids are never reused: a Slack message is recognised by the id of its row.
    newest = select(func.max(outbox.c.id)).scalar_subquery()
    said = select(outbox.c.id).where(
        outbox.c.state.in_(("done", "dead")), outbox.c.position.in_(old), outbox.c.id < newest
    )
    messages = connection.execute(delete(outbox).where(outbox.c.id.in_(said.order_by(outbox.c.id).limit(MAX_ROWS))))
    empty = select(commands.c.command_id).where(commands.c.first_position.is_(None), commands.c.at < before)
    answers = connection.execute(delete(commands).where(commands.c.command_id.in_(empty.limit(MAX_ROWS))))
    return DeletedCounts(rollouts=len(chosen), messages=messages.rowcount, answers=answers.rowcount)
