"""Leases on timers, so that any number of workers run each of its due times exactly once."""

from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from core.store.database.append_backend import TimerClaim
from core.store.database.connections import Database
from core.store.models import insert_into, timer


def claim(database: Database, name: str, due_at: datetime, now: datetime, lease: timedelta) -> str | None:
    """Lease a due time and return the token; None if it is done, or leased to another worker.

    A time can be claimed again once its lease has expired, for example because the worker died.
    """
    with database.reading() as connection:
        seen = select(timer.c.state).where(
            timer.c.name == name, timer.c.slot == due_at, or_(timer.c.state == "done", timer.c.lease_until > now)
        )
        if connection.execute(seen).first() is not None:
            return None
    token = uuid4().hex
    with database.writing_outside_log() as connection:
        statement = (
            insert_into(connection, timer)
            .values(name=name, slot=due_at, state="leased", attempt=1, lease_until=now + lease, lease_token=token)
            .on_conflict_do_update(
                index_elements=["name", "slot"],
                set_={"attempt": timer.c.attempt + 1, "lease_until": now + lease, "lease_token": token},
                where=and_(timer.c.state == "leased", timer.c.lease_until <= now),
            )
            .returning(timer.c.lease_token)
        )
        return connection.execute(statement).scalar_one_or_none()


def finish(connection: Connection, name: str, due_at: datetime, token: str) -> bool:
    """Mark a due time as done, in the transaction of what it decided. False if the lease was lost: then roll back."""
    return (
        connection.execute(
            update(timer).where(_holds_lease(TimerClaim(name, due_at, token))).values(state="done")
        ).rowcount
        == 1
    )


def renew_lease(connection: Connection, claim: TimerClaim, until: datetime) -> bool:
    """Extend the lease of a due time. False if it was lost: then roll the transaction back."""
    return connection.execute(update(timer).where(_holds_lease(claim)).values(lease_until=until)).rowcount == 1


def delete_before(connection: Connection, before: datetime) -> int:
    """Delete the due times before `before`, which are no longer needed; how many."""
    return connection.execute(delete(timer).where(timer.c.slot < before)).rowcount


def _holds_lease(claim: TimerClaim) -> ColumnElement[bool]:
    mine = and_(timer.c.name == claim.name, timer.c.slot == claim.due_at, timer.c.lease_token == claim.token)
    return and_(mine, timer.c.state == "leased")
