"""Worlds saved beside the log, which holds the hash of each, so that a start need not read it all."""

import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, delete, select

import core.judging.model.limits
import core.judging.model.verdict
import core.rollout
from core.rollout.events import CHECKPOINT_STREAM, PEOPLE_STREAM, WorldCheckpointed
from core.rollout.model import Rollout
from core.rollout.policy import Policy
from core.rollout.surface import Surface
from core.rollout.world import Archive, World
from core.store.database.append_queries import OPENED
from core.store.database.driver import fetch
from core.store.errors import NotStorable
from core.store.log import event_log
from core.store.log.event_log import Recorded, Tail
from core.store.models import checkpoint, insert_into

KEPT = 4
"""More than one, as processes of two versions of the program may run at a time."""
_NEWEST = f"{OPENED} WHERE stream = ? ORDER BY version DESC LIMIT ?"
_AT = f"{OPENED} WHERE position = ?"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWorld:
    """What is saved of a world: all of it but where it gets archived rollouts from."""

    position: int
    rollouts: Mapping[str, Rollout]
    archived: int
    surfaces: Mapping[str, Surface]
    policy: Policy
    policy_fingerprint: str

    @classmethod
    def of(cls, world: World) -> Self:
        return cls(**{each.name: getattr(world, each.name) for each in fields(cls)})

    def world(self, archive: Archive) -> World:
        """The world again."""
        return World(**{each.name: getattr(self, each.name) for each in fields(self)}, archive=archive)


def pack(world: World) -> bytes:
    """The world as it is saved. NotStorable unless it reads back as equal."""
    saved = SavedWorld.of(world)
    packed = zlib.compress(_adapter().dump_json(saved), level=1)
    if _unpack(packed) != saved:
        raise NotStorable("The world does not read back as it was saved, so there is no checkpoint of it.")
    return packed


def save(connection: Connection, position: int, packed: bytes) -> None:
    """Keep a packed world. It counts once a `WorldCheckpointed` with its hash is in the log."""
    row = insert_into(connection, checkpoint).values(position=position, code=code_hash(), world=packed)
    connection.execute(row.on_conflict_do_update(index_elements=["position", "code"], set_={"world": packed}))


def newest(connection: Connection, archive: Archive) -> tuple[World, Tail] | None:
    """The world to start from and where the log ended then; None where there is none that can be trusted.

    Refused are those of another version of the program, those whose hash is not the one in the log, those of an event
    that the log does not hold, and those from before somebody's words were erased.
    """
    for packed, tail in _trusted(connection):
        try:
            return _unpack(packed).world(archive), tail
        except (ValidationError, zlib.error):
            _log.exception("The checkpoint at %d cannot be read: it is not used", tail.position)
    return None


def newest_position(connection: Connection) -> int:
    """Up to where the newest checkpoint goes that can be trusted; 0 where there is none."""
    return next((tail.position for _, tail in _trusted(connection)), 0)


def forget(connection: Connection) -> None:
    """Delete what is not needed any more, what the log does not reach, and whatever may hold words that were erased."""
    erased, (head, _) = _newest_of(connection, PEOPLE_STREAM, 1), event_log.head(connection)
    connection.execute(delete(checkpoint).where(checkpoint.c.position > head))
    newer = select(checkpoint.c.position).order_by(checkpoint.c.position.desc()).limit(1).offset(KEPT - 1)
    oldest: int = connection.execute(newer).scalar_one_or_none() or 0
    before = max(oldest, erased[0].position if erased else 0)
    connection.execute(delete(checkpoint).where(checkpoint.c.position < before))


def _trusted(connection: Connection) -> Iterator[tuple[bytes, Tail]]:
    """Packed worlds that are what the log says of them, newest first, and where it ended then."""
    erased = _newest_of(connection, PEOPLE_STREAM, 1)
    for recorded in _newest_of(connection, CHECKPOINT_STREAM, 2 * KEPT):
        event = recorded.event
        assert isinstance(event, WorldCheckpointed)
        if event.code != code_hash() or (erased and erased[0].position > event.position):
            continue
        row = select(checkpoint.c.world).where(checkpoint.c.position == event.position, checkpoint.c.code == event.code)
        packed = connection.execute(row).scalar_one_or_none()
        there = event_log.read(fetch(connection, _AT, (event.position,)))
        if packed is None or not there:
            continue
        if sha256(packed).hexdigest() == event.world and there[0].hash.hex() == event.hash:
            yield packed, Tail.of(there[0])
        else:
            _log.error("The checkpoint at %d is not the one that the log speaks of: it is not used", event.position)


def _newest_of(connection: Connection, stream: str, most: int) -> tuple[Recorded, ...]:
    return event_log.read(fetch(connection, _NEWEST, (stream, most)))


def _unpack(packed: bytes) -> SavedWorld:
    return _adapter().validate_json(zlib.decompress(packed))


@cache
def _adapter() -> TypeAdapter[SavedWorld]:
    return TypeAdapter(SavedWorld)  # takes a while to build


@cache
def code_hash() -> str:
    """Which program folds and saves: the hash of the sources of everything that a world consists of."""
    rollout = sorted(Path(next(iter(core.rollout.__path__))).glob("*.py"))
    judging = (Path(str(module.__file__)) for module in (core.judging.model.limits, core.judging.model.verdict))
    return sha256(b"".join(path.read_bytes() for path in (*rollout, *judging, Path(__file__)))).hexdigest()
