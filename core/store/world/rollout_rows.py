"""The read model of rollouts: rows derived from the log alone, updated in the transaction of each event."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from sqlalchemy import BigInteger, Connection, delete, func, insert, or_
from sqlalchemy import cast as cast_to
from sqlmodel import col, select

from core.rollout.state import evolve as evolving
from core.rollout.state import model
from core.rollout.state.events import RolloutEvent, rollout_stream
from core.rollout.state.model import Rollout
from core.store.formats import codec
from core.store.formats.instants import parse_instant
from core.store.log import event_log
from core.store.log.event_log import StoredEvent
from core.store.models import RolloutRow, insert_into, projection, read_all, rollout_view

_PROJECTION_NAME = "rollout_view"
_STREAM_PREFIX = rollout_stream("")


def build_row(rollout: Rollout, position: int) -> dict[str, Any]:
    """The row of a rollout, in the order of the table's columns; `position` is that of its newest event."""
    stage = rollout.stage
    return {
        "id": rollout.id,
        "name": rollout.plan.name,
        "surface": rollout.plan.surface,
        "state": str(rollout.state),
        "stage": rollout.stage_index if stage is not None else None,
        "stage_name": stage.name if stage is not None else None,
        "percent": float(rollout.percent),
        "from_version": rollout.plan.from_version,
        "to_version": rollout.plan.to_version,
        "owner": rollout.plan.owner,
        "waiting_for": rollout.waiting_for,
        "title": rollout.kind,
        "applied_at": rollout.planned_at,
        "started_at": rollout.started_at,
        "ended_at": rollout.ended_at,
        "position": position,
    }


def build_changed_rows(recorded: Iterable[StoredEvent], rollouts: Mapping[str, Rollout]) -> Iterator[tuple[Any, ...]]:
    """The rows of the rollouts that these events changed; `rollouts` is the state after the last event."""
    touched = {
        each.stream.removeprefix(_STREAM_PREFIX): each.position
        for each in recorded
        if each.stream.startswith(_STREAM_PREFIX)
    }
    for name, position in touched.items():
        yield tuple(build_row(rollouts[name], position).values())


class RolloutRowFold:
    """Computes the read model from the raw rows of the log, page by page. `position` is that of the current row."""

    def __init__(self) -> None:
        self.position = 0
        self._rollouts: dict[str, Rollout] = {}
        self._positions: dict[str, int] = {}

    def apply_rows(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Fold the next raw rows (`EVENT_COLUMNS`). UnknownEvent for an event that this program does not know."""
        decode = cast("Callable[[str, int, str], RolloutEvent]", codec.decode)
        rollouts, positions, evolve = self._rollouts, self._positions, evolving.evolve
        for position, stream, _, _, type_, schema_version, _, _, _, _, _, _, at, _, _, body, _, _ in rows:
            if stream.startswith(_STREAM_PREFIX):
                self.position = position
                event = decode(type_, schema_version, body)
                rollouts[stream] = evolve(rollouts.get(stream), event, parse_instant(at))
                positions[stream] = position

    def build_rows(self) -> dict[str, dict[str, Any]]:
        """The rows as they follow from the log, by rollout id."""
        return {rollout.id: build_row(rollout, self._positions[stream]) for stream, rollout in self._rollouts.items()}


def load_rows(connection: Connection) -> dict[str, dict[str, Any]]:
    """The rows as they are stored, by rollout id."""
    return {row.id: row.model_dump() for row in read_all(connection, select(RolloutRow))}


def find_newest_ids(
    connection: Connection, limit: int, *, before: str, state: str | None, surface: str | None
) -> tuple[str, ...]:
    """The ids of at most `limit` rollouts, newest first, optionally only those planned before the rollout `before`."""
    number = cast_to(func.substr(RolloutRow.id, len("R-") + 1), BigInteger)
    wanted = select(RolloutRow.id).order_by(number.desc()).limit(limit)
    if before:
        wanted = wanted.where(number < int(before.removeprefix("R-")))
    if state is not None:
        wanted = wanted.where(RolloutRow.state == str(state))
    if surface is not None:
        wanted = wanted.where(RolloutRow.surface == surface)
    return read_all(connection, wanted)


def find_under_way_ids(connection: Connection, surface: str, since: datetime, until: datetime) -> tuple[str, ...]:
    """The ids of the rollouts of a surface that were under way at some moment from `since` to `until`."""
    started, ended = col(RolloutRow.started_at), col(RolloutRow.ended_at)
    overlap = (started <= until, or_(ended.is_(None), ended >= since))
    return read_all(connection, select(RolloutRow.id).where(RolloutRow.surface == surface, *overlap))


def find_open_ids(connection: Connection, since: datetime, until: datetime) -> tuple[str, ...]:
    """The ids of the rollouts that were planned or under way at some moment from `since` to `until`, oldest first."""
    number = cast_to(func.substr(RolloutRow.id, len("R-") + 1), BigInteger)
    planned, ended = col(RolloutRow.applied_at), col(RolloutRow.ended_at)
    wanted = select(RolloutRow.id).where(planned <= until, or_(ended.is_(None), ended >= since))
    return read_all(connection, wanted.order_by(number))


def rebuild(connection: Connection) -> int:
    """Rebuild all rows from the log, and return how many there are. Readers see the old rows until the commit."""
    folding = RolloutRowFold()
    for page in event_log.iterate_raw_pages(connection):
        folding.apply_rows(page)
    rows = list(folding.build_rows().values())
    connection.execute(delete(rollout_view))
    if rows:
        connection.execute(insert(rollout_view), rows)
    known = insert_into(connection, projection).values(name=_PROJECTION_NAME, code_hash=_code_hash())
    connection.execute(known.on_conflict_do_update(index_elements=["name"], set_={"code_hash": _code_hash()}))
    return len(rows)


def ensure_current(connection: Connection) -> None:
    """Rebuild the rows if the code that derives them has changed since they were built."""
    built_by = connection.execute(
        select(projection.c.code_hash).where(projection.c.name == _PROJECTION_NAME)
    ).scalar_one_or_none()
    if built_by != _code_hash():
        rebuild(connection)


def _code_hash() -> str:
    sources = (sys.modules[__name__], evolving, model)
    return sha256(b"".join(Path(str(each.__file__)).read_bytes() for each in sources)).hexdigest()
