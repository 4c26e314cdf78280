"""What must still be said to the outside: written with its event, sent afterwards, in order, under a lease.

An ordering key names a place, and after it perhaps a lane of that place: `slack:#support`, `slack:#support:urgent`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal_column, or_, select, update
from sqlalchemy import Row as Found

from core.store.database.append_rows import COLUMNS
from core.store.database.connections import Database
from core.store.formats.codec import canonical
from core.store.models import insert_into, outbox, unfinished

URGENT = ":urgent"  # a lane of this name goes before everything else, and no pace keeps it waiting
SLOW_DOWN = "rate limited"  # the error under which a row waits because its whole place was told to slow down


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing to send. `attempt` counts from 1: above 1, an earlier try may have arrived, so look before sending."""

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
class Waiting:
    """How much is unsent, and since when the oldest of it is due. `dead` needs a human.

    `troubles` counts what was tried and waits to be tried again, by its last error.
    """

    pending: int
    leased: int
    dead: int
    oldest_due_at: datetime | None
    troubles: Mapping[str, int]


def new(
    *,
    kind: str,
    ordering_key: str,
    idempotency_key: str,
    request: Mapping[str, Any],
    due_at: datetime,
    position: int,
    supersede_key: str | None = None,
) -> tuple[Any, ...]:
    """A row for the event at `position`, to be written in that event's transaction.

    Rows of one `ordering_key` are sent in the order they were added, one at a time. A repeated `idempotency_key` adds
    nothing. With a `supersede_key`, nothing is added while an unsent row of that key waits: the sender renders what is
    true when it sends.
    """
    return (position, kind, ordering_key, idempotency_key, supersede_key, canonical(request), "pending", 0, due_at)


def add(connection: Connection, row: tuple[Any, ...]) -> None:
    """Write a `new` row that follows from no command, for an event that has been in the log for a while."""
    values = dict(zip(COLUMNS["outbox"], row, strict=True))
    wanted = insert_into(connection, outbox).values(values)
    connection.execute(wanted.on_conflict_do_nothing(index_elements=["idempotency_key"]))


def claim(database: Database, now: datetime, *, kind: str, lease: timedelta) -> Row | None:
    """Take the oldest due row of this kind whose ordering key has nothing unfinished before it; None if none is due.

    What is urgent goes first. The attempt is committed before this returns, so a crash during the call leaves a trace.
    When the lease runs out the row can be claimed by others, and whatever the earlier holder does with it does nothing.
    """
    token = uuid4().hex
    candidate = due(now, kind)
    # Looking first keeps an idle worker from taking SQLite's one write lock every second.
    with database.reading() as connection:
        if connection.execute(candidate).first() is None:
            return None
    with database.plain_writing() as connection:
        found = connection.execute(candidate.with_for_update(skip_locked=True)).scalar_one_or_none()
        if found is None:
            return None
        taken = connection.execute(
            update(outbox)
            .where(outbox.c.id == found)
            .values(state="leased", attempt=outbox.c.attempt + 1, lease_until=now + lease, lease_token=token)
            .returning(*outbox.c)
        ).one()
        return _row(taken)


def due(now: datetime, kind: str) -> Select[tuple[int]]:
    """The query for the id of the row that `claim` takes."""
    # The first of each key by the index of the unfinished, however many were sent before.
    first = select(func.min(outbox.c.id)).where(unfinished(outbox)).group_by(outbox.c.ordering_key)
    free = or_(
        and_(outbox.c.state == "pending", outbox.c.due_at <= now),
        and_(outbox.c.state == "leased", outbox.c.lease_until <= now),
    )
    return (
        select(outbox.c.id)
        .where(outbox.c.id.in_(first), outbox.c.kind == kind, free)
        .order_by(case((outbox.c.ordering_key.endswith(URGENT), 0), else_=1), outbox.c.id)
        .limit(1)
    )


def renew(connection: Connection, row: Row, until: datetime) -> bool:
    """Hold on to a row until then. False, and nothing changed, if somebody else took it over: then say nothing."""
    return connection.execute(update(outbox).where(_held(row)).values(lease_until=until)).rowcount == 1


def finish(connection: Connection, row: Row, response: Mapping[str, Any] | None) -> bool:
    """It arrived. False, and nothing changed, if the lease was lost to somebody else meanwhile."""
    return _release(connection, row, state="done", response=canonical(response) if response is not None else None)


def postpone(connection: Connection, row: Row, until: datetime, error: str, count_attempt: bool) -> bool:
    """Not now: due again at `until`, and everything behind it waits. `count_attempt=False` for a "slow down"."""
    attempt = row.attempt if count_attempt else row.attempt - 1
    return _release(connection, row, state="pending", due_at=until, last_error=error, attempt=attempt)


def bury(connection: Connection, row: Row, error: str) -> bool:
    """It can never arrive: set aside for a human, so that what is behind it goes on."""
    return _release(connection, row, state="dead", last_error=error)


def pace(connection: Connection, place: str, until: datetime) -> None:
    """Let what waits for this place wait until then at least, except what is urgent."""
    calm = and_(_of(place), outbox.c.state == "pending", ~outbox.c.ordering_key.endswith(URGENT))
    connection.execute(update(outbox).where(unfinished(outbox), calm, outbox.c.due_at < until).values(due_at=until))


def is_stuck(connection: Connection, now: datetime, lease: timedelta, longest: timedelta) -> bool:
    """Whether anything waits for a time that nobody can have meant: see `free`."""
    return connection.execute(select(outbox.c.id).where(_stuck(now, lease, longest)).limit(1)).first() is not None


def free(connection: Connection, now: datetime, lease: timedelta, longest: timedelta) -> int:
    """What is due or held for longer from `now` than it can be is so by a clock that was set back since: it is due now,
    and its lease ends as late as one that is taken now. How many rows. What was to be said at some time stays for then.
    """
    stuck = update(outbox).where(_stuck(now, lease, longest))
    held = connection.execute(stuck.where(outbox.c.state == "leased").values(lease_until=now + lease)).rowcount
    return held + connection.execute(stuck.where(outbox.c.state == "pending").values(due_at=now)).rowcount


def _stuck(now: datetime, lease: timedelta, longest: timedelta) -> ColumnElement[bool]:
    pending, untried = outbox.c.state == "pending", outbox.c.attempt == 0
    appointed = outbox.c.request.like('%"due_at":"%')
    return and_(
        unfinished(outbox),
        or_(
            and_(outbox.c.state == "leased", outbox.c.lease_until > now + 2 * lease),
            and_(pending, untried, ~appointed, outbox.c.due_at > now + lease),
            and_(pending, ~untried, outbox.c.due_at > now + longest + lease),
        ),
    )


def slowed_until(connection: Connection, place: str, now: datetime) -> datetime | None:
    """Until when a lane of this place waits because it was told to slow down; None if none does."""
    told = and_(_of(place), outbox.c.last_error == SLOW_DOWN, outbox.c.due_at > now)
    until: datetime | None = connection.execute(
        select(func.max(outbox.c.due_at)).where(unfinished(outbox), told)
    ).scalar_one()
    return until


def waiting(connection: Connection) -> Waiting:
    """How much is unsent: asked of the unfinished and the dead alone, not of everything that was ever sent."""
    leased = func.coalesce(func.sum(case((outbox.c.state == "leased", 1), else_=0)), 0)
    asked = select(func.count(), leased, func.min(outbox.c.due_at)).where(unfinished(outbox))
    unsent, under_way, oldest = connection.execute(asked).one()
    dead = connection.execute(select(func.count()).where(outbox.c.state == literal_column("'dead'"))).scalar_one()
    errors = select(outbox.c.last_error, func.count()).where(unfinished(outbox), outbox.c.last_error.is_not(None))
    return Waiting(
        pending=unsent - under_way,
        leased=under_way,
        dead=dead,
        oldest_due_at=oldest,
        troubles={row[0]: row[1] for row in connection.execute(errors.group_by(outbox.c.last_error))},
    )


def next_due(connection: Connection) -> datetime | None:
    """When the next row is due or the next lease runs out; None when everything is sent."""
    moment = case((outbox.c.state == "leased", outbox.c.lease_until), else_=outbox.c.due_at)
    due: datetime | None = connection.execute(select(func.min(moment)).where(unfinished(outbox))).scalar_one()
    return due


def is_waiting(connection: Connection, place: str) -> bool:
    """Whether anything is unsent for this place, in whichever lane."""
    return connection.execute(select(outbox.c.id).where(unfinished(outbox), _of(place)).limit(1)).first() is not None


def find(connection: Connection, idempotency_key: str) -> Row | None:
    """The row of this key, whatever became of it."""
    found = connection.execute(select(outbox).where(outbox.c.idempotency_key == idempotency_key)).one_or_none()
    return _row(found) if found is not None else None


def _release(connection: Connection, row: Row, **changes: Any) -> bool:
    return connection.execute(update(outbox).where(_held(row)).values(lease_until=None, **changes)).rowcount == 1


def _held(row: Row) -> ColumnElement[bool]:
    return and_(outbox.c.id == row.id, outbox.c.state == "leased", outbox.c.lease_token == row.lease_token)


def _of(place: str) -> ColumnElement[bool]:
    return or_(outbox.c.ordering_key == place, outbox.c.ordering_key.startswith(f"{place}:", autoescape=True))


def _row(found: Found[Any]) -> Row:
    values = dict(found._mapping)
    values["request"] = json.loads(values["request"])
    values["response"] = json.loads(values["response"]) if values["response"] is not None else None
    return Row(**values)
