"""The saved looks of running rollouts: their input, and the engine's state, so that a verdict can be recomputed."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Select, func, insert, update
from sqlmodel import col, select

from core.store.models import LookRow, look, read_all

_STATES_KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLook:
    """A look as it was stored; text that is damaged is empty."""

    number: int
    at: datetime
    look_json: str
    sums_hash: str


def load_latest_state(connection: Connection, rollout: str) -> tuple[int, str] | None:
    """(number, engine state as JSON) of the newest look at this rollout; None before the first."""
    newest = select(look.c.number, look.c.state).where(look.c.rollout == rollout).order_by(look.c.number.desc())
    row = connection.execute(newest.limit(1)).one_or_none()
    return (row.number, _decompress(row.state)) if row is not None else None


def newest_news(connection: Connection, rollout: str) -> datetime | None:
    """When the newest look that showed something new was made; None before the first."""
    row = connection.execute(_select_newest(rollout, look.c.at)).one_or_none()
    return row.at if row is not None else None


def load_count_and_time(connection: Connection, rollout: str) -> tuple[int, datetime | None]:
    """(how many looks were taken at this rollout, time of the newest); (0, None) before the first."""
    row = connection.execute(_select_newest(rollout, look.c.made, look.c.at, look.c.repeated_at)).one_or_none()
    return (row.made, row.repeated_at or row.at) if row is not None else (0, None)


def count_repeat(connection: Connection, rollout: str, number: int, at: datetime) -> bool:
    """Count a look that showed nothing new since look `number`; False if that is no longer the newest."""
    row = connection.execute(_select_newest(rollout, look.c.number)).one_or_none()
    same = look.c.rollout == rollout, look.c.number == number
    if row is None or row.number != number:
        return False
    connection.execute(update(look).where(*same).values(made=look.c.made + 1, repeated_at=at))
    return True


def _select_newest(rollout: str, *columns: Column[Any]) -> Select[Any]:
    wanted: Select[Any] = select(*columns)
    return wanted.where(look.c.rollout == rollout).order_by(look.c.number.desc()).limit(1)


def save_look(
    connection: Connection, rollout: str, number: int, at: datetime, look_json: str, state_json: str, sums_hash: str
) -> None:
    """Store a look. IntegrityError if the number exists: another process was first, so start again from its state."""
    connection.execute(
        insert(look).values(
            rollout=rollout,
            number=number,
            made=select(func.coalesce(func.max(look.c.made), 0) + 1).where(look.c.rollout == rollout).scalar_subquery(),
            at=at,
            look=_compress(look_json),
            state=_compress(state_json),
            sums_hash=sums_hash,
        )
    )
    # Older states can be recomputed from the looks; keeping them all would outgrow the log itself.
    connection.execute(
        update(look).where(look.c.rollout == rollout, look.c.number == number - _STATES_KEPT).values(state=None)
    )


def load_range(connection: Connection, rollout: str, first: int, last: int) -> tuple[SavedLook, ...]:
    """The looks numbered `first` to `last`, in order."""
    chosen = select(LookRow).where(LookRow.rollout == rollout, col(LookRow.number).between(first, last))
    return tuple(_parse_row(row) for row in read_all(connection, chosen.order_by(col(LookRow.number))))


def load_last_before(connection: Connection, rollout: str, times: Sequence[datetime]) -> tuple[SavedLook | None, ...]:
    """For each of these times the last look made before it; None where there is none."""
    chosen = select(LookRow).where(LookRow.rollout == rollout).order_by(col(LookRow.number).desc()).limit(1)
    found = (read_all(connection, chosen.where(LookRow.at < at)) for at in times)
    return tuple(next((_parse_row(row) for row in rows), None) for rows in found)


def load_thinned(connection: Connection, rollout: str, limit: int) -> tuple[SavedLook, ...]:
    """At most `limit` looks, evenly spaced and in order, including the newest."""
    newest = connection.execute(select(func.max(look.c.number)).where(look.c.rollout == rollout)).scalar_one()
    if newest is None:
        return ()
    step = -(-newest // limit)
    chosen = select(LookRow).where(LookRow.rollout == rollout, LookRow.number % step == newest % step)
    return tuple(_parse_row(row) for row in read_all(connection, chosen.order_by(col(LookRow.number))))


def count_by_rollout(connection: Connection) -> dict[str, int]:
    """The number of stored looks by rollout."""
    found = select(look.c.rollout, func.count()).group_by(look.c.rollout).order_by(look.c.rollout)
    return {row[0]: row[1] for row in connection.execute(found)}


def _parse_row(row: LookRow) -> SavedLook:
    return SavedLook(
        number=row.number,
        at=row.at,
        look_json=_decompress(row.look),
        sums_hash=row.sums_hash,
    )


def _compress(text: str) -> bytes:
    return zlib.compress(text.encode())


def _decompress(packed: bytes) -> str:
    try:
        return zlib.decompress(packed).decode()
    except (zlib.error, UnicodeDecodeError):
        return ""  # no reader accepts an empty text, so the caller reports that it is damaged
