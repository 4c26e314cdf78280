"""The transactional outbox: messages and flag changes, written with their event and delivered in order under a lease.

An ordering key is a destination, optionally followed by a sub-queue: `slack:#support`, `slack:#support:urgent`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, literal_column, or_, select, update

from core.store.database.append_rows import COLUMNS_BY_TABLE
from core.store.database.connections import Database
from core.store.formats.codec import canonical_json
from core.store.models import insert_into, is_unfinished, outbox

URGENT_SUFFIX = ":urgent"  # ordering keys with this suffix are claimed first, and are never delayed with the others
RATE_LIMITED = "rate limited"  # the `last_error` of a row that waits because its whole destination is rate limited


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A row of the outbox. `attempt` counts from 1; above 1 an earlier attempt may have arrived, so check before
    sending again."""

    id: int
    position: int
    kind: str
    ordering_key: str
    idempotency_key: str
    supersede_key: str | None
    request: Mapping[str, Any]
    state: str
    attempt: int
    due_at: datetime
    lease_until: datetime | None
    lease_token: str | None
    response: Mapping[str, Any] | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxBacklog:
    """How many rows are unsent, and since when the oldest is due. `dead` rows need a human.

    `scheduled` rows have an appointed time and were not tried yet; they are not among the `pending` ones. `errors`
    counts the rows that wait for a retry, by their last error.
    """

    pending: int
    scheduled: int
    leased: int
    dead: int
    oldest_due_at: datetime | None
    errors: Mapping[str, int]


def build_row(
    *,
    kind: str,
    ordering_key: str,
    idempotency_key: str,
    request: Mapping[str, Any],
    due_at: datetime,
    position: int,
    supersede_key: str | None = None,
) -> tuple[Any, ...]:
    """Build a row for the event at `position`, to be written in that event's transaction.

    Rows with the same `ordering_key` are sent one at a time, in the order they were added. A repeated `idempotency_key`
    adds nothing. With a `supersede_key`, nothing is added while a row with that key is pending, since the sender
    renders the state at the time of sending.
    """
    return (position, kind, ordering_key, idempotency_key, supersede_key, canonical_json(request), "pending", 0, due_at)


def insert_row(connection: Connection, row: tuple[Any, ...]) -> None:
    """Insert a row of `build_row` that no command caused, for an event that is already in the log."""
    values = dict(zip(COLUMNS_BY_TABLE["outbox"], row, strict=True))
    wanted = insert_into(connection, outbox).values(values)
    connection.execute(wanted.on_conflict_do_nothing(index_elements=["idempotency_key"]))


def claim(database: Database, now: datetime, *, kind: str, lease: timedelta) -> OutboxRow | None:
    """Lease the oldest due row of this kind that has no unfinished row before it in its ordering key; None if none is.

    Urgent rows go first. The attempt is committed before this returns, so that a crash while sending leaves a trace.
    After the lease expires another worker may claim the row, and the earlier holder can no longer change it.
    """
    token = uuid4().hex
    candidate = select_due(now, kind)
    # Reading first keeps an idle worker from taking SQLite's only write lock every second.
    with database.reading() as connection:
        if connection.execute(candidate).first() is None:
            return None
    with database.writing_outside_log() as connection:
        found = connection.execute(candidate.with_for_update(skip_locked=True)).scalar_one_or_none()
        if found is None:
            return None
        taken = connection.execute(
            update(outbox)
            .where(outbox.c.id == found)
            .values(state="leased", attempt=outbox.c.attempt + 1, lease_until=now + lease, lease_token=token)
            .returning(*outbox.c)
        ).one()
        return _parse_row(taken)


def select_due(now: datetime, kind: str) -> Select[tuple[int]]:
    """The query for the id of the row that `claim` leases."""
    # The first unfinished row of each key comes from the partial index, however many rows were sent before.
    first = select(func.min(outbox.c.id)).where(is_unfinished(outbox)).group_by(outbox.c.ordering_key)
    free = or_(
        and_(outbox.c.state == "pending", outbox.c.due_at <= now),
        and_(outbox.c.state == "leased", outbox.c.lease_until <= now),
    )
    return (
        select(outbox.c.id)
        .where(outbox.c.id.in_(first), outbox.c.kind == kind, free)
        .order_by(case((outbox.c.ordering_key.endswith(URGENT_SUFFIX), 0), else_=1), outbox.c.id)
        .limit(1)
    )


def renew_lease(connection: Connection, row: OutboxRow, until: datetime) -> bool:
    """Extend the lease of a row. False, with nothing changed, if the lease was lost: then do not send it."""
    return connection.execute(update(outbox).where(_holds_lease(row)).values(lease_until=until)).rowcount == 1


def finish(connection: Connection, row: OutboxRow, response: Mapping[str, Any] | None) -> bool:
    """Mark a row as delivered. False, with nothing changed, if the lease was lost."""
    return _end_lease(
        connection, row, state="done", response=canonical_json(response) if response is not None else None
    )


def reschedule(connection: Connection, row: OutboxRow, until: datetime, error: str, count_attempt: bool) -> bool:
    """Retry a row at `until`; later rows of its ordering key wait for it. Pass `count_attempt=False` for a rate limit.

    False, with nothing changed, if the lease was lost.
    """
    attempt = row.attempt if count_attempt else row.attempt - 1
    return _end_lease(connection, row, state="pending", due_at=until, last_error=error, attempt=attempt)


def dead_letter(connection: Connection, row: OutboxRow, error: str) -> bool:
    """Give up on a row, which then needs a human; later rows of its key go on. False if the lease was lost."""
    return _end_lease(connection, row, state="dead", last_error=error)


def delay_pending(connection: Connection, destination: str, until: datetime) -> None:
    """Delay all pending rows of a destination until `until` at least, except urgent ones."""
    calm = and_(_belongs_to(destination), outbox.c.state == "pending", ~outbox.c.ordering_key.endswith(URGENT_SUFFIX))
    connection.execute(update(outbox).where(is_unfinished(outbox), calm, outbox.c.due_at < until).values(due_at=until))


def has_stuck_rows(connection: Connection, now: datetime, lease: timedelta, max_delay: timedelta) -> bool:
    """Whether any row is due or leased implausibly far in the future; see `release_stuck_rows`."""
    return connection.execute(select(outbox.c.id).where(_is_stuck(now, lease, max_delay)).limit(1)).first() is not None


def release_stuck_rows(connection: Connection, now: datetime, lease: timedelta, max_delay: timedelta) -> int:
    """Reset rows that are due or leased too far in the future because the clock was set back since; how many.

    Pending rows become due now, and leases end as late as one taken now. Rows with an appointed time keep it.
    `max_delay` is the longest that a retry is ever delayed.
    """
    stuck = update(outbox).where(_is_stuck(now, lease, max_delay))
    held = connection.execute(stuck.where(outbox.c.state == "leased").values(lease_until=now + lease)).rowcount
    return held + connection.execute(stuck.where(outbox.c.state == "pending").values(due_at=now)).rowcount


def _is_stuck(now: datetime, lease: timedelta, max_delay: timedelta) -> ColumnElement[bool]:
    pending, untried = outbox.c.state == "pending", outbox.c.attempt == 0
    return and_(
        is_unfinished(outbox),
        or_(
            and_(outbox.c.state == "leased", outbox.c.lease_until > now + 2 * lease),
            and_(pending, untried, ~_has_appointed_time(), outbox.c.due_at > now + lease),
            and_(pending, ~untried, outbox.c.due_at > now + max_delay + lease),
        ),
    )


def find_rate_limit_end(connection: Connection, destination: str, now: datetime) -> datetime | None:
    """Until when a destination is rate limited; None if it is not."""
    told = and_(_belongs_to(destination), outbox.c.last_error == RATE_LIMITED, outbox.c.due_at > now)
    until: datetime | None = connection.execute(
        select(func.max(outbox.c.due_at)).where(is_unfinished(outbox), told)
    ).scalar_one()
    return until


def measure_backlog(connection: Connection) -> OutboxBacklog:
    """Count the unsent and dead rows, by their partial indexes, without reading all that was ever sent."""
    leased = func.coalesce(func.sum(case((outbox.c.state == "leased", 1), else_=0)), 0)
    appointed = func.coalesce(func.sum(case((_is_scheduled(), 1), else_=0)), 0)
    asked = select(func.count(), leased, appointed, func.min(outbox.c.due_at)).where(is_unfinished(outbox))
    unsent, under_way, scheduled, oldest = connection.execute(asked).one()
    dead = connection.execute(select(func.count()).where(outbox.c.state == literal_column("'dead'"))).scalar_one()
    errors = select(outbox.c.last_error, func.count()).where(is_unfinished(outbox), outbox.c.last_error.is_not(None))
    return OutboxBacklog(
        pending=unsent - under_way - scheduled,
        scheduled=scheduled,
        leased=under_way,
        dead=dead,
        oldest_due_at=oldest,
        errors={row[0]: row[1] for row in connection.execute(errors.group_by(outbox.c.last_error))},
    )


def has_unsent_rows(connection: Connection, destination: str) -> bool:
    """Whether any row of this destination is unsent, in any of its sub-queues."""
    return (
        connection.execute(select(outbox.c.id).where(is_unfinished(outbox), _belongs_to(destination)).limit(1)).first()
        is not None
    )


def find_by_key(connection: Connection, idempotency_key: str) -> OutboxRow | None:
    """The row with this idempotency key, in whatever state; None if there is none."""
    found = connection.execute(select(outbox).where(outbox.c.idempotency_key == idempotency_key)).one_or_none()
    return _parse_row(found) if found is not None else None


def _end_lease(connection: Connection, row: OutboxRow, **changes: Any) -> bool:
    return connection.execute(update(outbox).where(_holds_lease(row)).values(lease_until=None, **changes)).rowcount == 1


def _holds_lease(row: OutboxRow) -> ColumnElement[bool]:
    return and_(outbox.c.id == row.id, outbox.c.state == "leased", outbox.c.lease_token == row.lease_token)


def _is_scheduled() -> ColumnElement[bool]:
    return and_(outbox.c.state == "pending", outbox.c.attempt == 0, _has_appointed_time())


def _has_appointed_time() -> ColumnElement[bool]:
    return outbox.c.request.like('%"due_at":"%')


def _belongs_to(destination: str) -> ColumnElement[bool]:
    return or_(
        outbox.c.ordering_key == destination, outbox.c.ordering_key.startswith(f"{destination}:", autoescape=True)
    )


def _parse_row(found: Row[Any]) -> OutboxRow:
    values = dict(found._mapping)
    values["request"] = json.loads(values["request"])
    values["response"] = json.loads(values["response"]) if values["response"] is not None else None
    return OutboxRow(**values)
