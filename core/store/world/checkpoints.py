"""Checkpoints: saved worlds, each with its hash in the log, so that a start need not read the whole log."""

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

import core.evals.eval_report
import core.evals.repeats
import core.judging.limits.limits
import core.judging.model.causes
import core.judging.model.comparison
import core.judging.model.soft_errors
import core.judging.model.verdict
import core.metrics.catalogue
import core.rollout
import core.shadow_eval.anchors
import core.shadow_eval.rubric
import core.shadow_eval.spending
from core.rollout.plans.policy import Policy
from core.rollout.state.events import CHECKPOINT_STREAM, PEOPLE_STREAM, WorldCheckpointed
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface
from core.rollout.state.world import Archive, World
from core.rollout.workspace.freezes import Freezes
from core.rollout.workspace.subscriptions import Subscribers
from core.store.database.append_queries import SELECT_EVENTS
from core.store.database.driver import fetch_all
from core.store.errors import NotStorable
from core.store.log import event_log
from core.store.log.event_log import LogTail, StoredEvent
from core.store.models import checkpoint, insert_into

KEPT_CHECKPOINTS = 4
"""How many positions keep a checkpoint: several, as processes of two program versions may run at the same time."""
SAVED_MODULES = (
    core.evals.eval_report,
    core.evals.repeats,
    core.judging.model.causes,
    core.judging.model.comparison,
    core.judging.limits.limits,
    core.judging.model.soft_errors,
    core.judging.model.verdict,
    core.metrics.catalogue,
    core.shadow_eval.anchors,
    core.shadow_eval.rubric,
    core.shadow_eval.spending,
)
"""Where classes of a saved world are defined, besides `core.rollout` and this file."""
_SELECT_NEWEST = f"{SELECT_EVENTS} WHERE stream = ? ORDER BY version DESC LIMIT ?"
_SELECT_AT = f"{SELECT_EVENTS} WHERE position = ?"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWorld:
    """The serialised form of a `World`: everything except its source of archived rollouts."""

    position: int
    rollouts: Mapping[str, Rollout]
    archived: int
    surfaces: Mapping[str, Surface]
    policy: Policy
    policy_fingerprint: str
    subscribers: Subscribers
    declared_freezes: Freezes

    @classmethod
    def from_world(cls, world: World) -> Self:
        """The serialised form of a world."""
        return cls(**{each.name: getattr(world, each.name) for each in fields(cls)})

    def to_world(self, archive: Archive) -> World:
        """The world, with `archive` as its source of archived rollouts."""
        return World(**{each.name: getattr(self, each.name) for each in fields(self)}, archive=archive)


def pack_world(world: World) -> bytes:
    """Serialise and compress a world. NotStorable unless it reads back as equal."""
    saved = SavedWorld.from_world(world)
    packed = zlib.compress(_saved_world_adapter().dump_json(saved), level=1)
    if _unpack_world(packed) != saved:
        raise NotStorable("The world does not read back as it was saved, so no checkpoint was written.")
    return packed


def save(connection: Connection, position: int, packed: bytes) -> None:
    """Store a packed world. It is used only once a `WorldCheckpointed` event with its hash is in the log."""
    row = insert_into(connection, checkpoint).values(position=position, code=code_hash(), world=packed)
    connection.execute(row.on_conflict_do_update(index_elements=["position", "code"], set_={"world": packed}))


def load_newest(connection: Connection, archive: Archive) -> tuple[World, LogTail] | None:
    """The world of the newest trusted checkpoint, and where the log ended then; None if there is none.

    Not trusted are checkpoints of another version of the program, with another hash than the log says, of an event
    that the log does not hold, or from before a person's text was erased.
    """
    for packed, tail in _iterate_trusted(connection):
        try:
            return _unpack_world(packed).to_world(archive), tail
        except (ValidationError, zlib.error):
            _log.exception("The checkpoint at %d cannot be read and is not used", tail.position)
    return None


def find_newest_position(connection: Connection) -> int:
    """The position of the newest trusted checkpoint; 0 if there is none."""
    return next((tail.position for _, tail in _iterate_trusted(connection)), 0)


def delete_stale(connection: Connection) -> None:
    """Delete checkpoints that are old, beyond the end of the log, or may hold erased text."""
    erased, (head, _) = _read_newest(connection, PEOPLE_STREAM, 1), event_log.read_head(connection)
    connection.execute(delete(checkpoint).where(checkpoint.c.position > head))
    newer = select(checkpoint.c.position).order_by(checkpoint.c.position.desc()).limit(1).offset(KEPT_CHECKPOINTS - 1)
    oldest: int = connection.execute(newer).scalar_one_or_none() or 0
    before = max(oldest, erased[0].position if erased else 0)
    connection.execute(delete(checkpoint).where(checkpoint.c.position < before))


def _iterate_trusted(connection: Connection) -> Iterator[tuple[bytes, LogTail]]:
    """Yield the packed worlds whose hash matches the log, newest first, and where the log ended then."""
    erased = _read_newest(connection, PEOPLE_STREAM, 1)
    for recorded in _read_newest(connection, CHECKPOINT_STREAM, 2 * KEPT_CHECKPOINTS):
        event = recorded.event
        assert isinstance(event, WorldCheckpointed)
        if event.code != code_hash() or (erased and erased[0].position > event.position):
            continue
        row = select(checkpoint.c.world).where(checkpoint.c.position == event.position, checkpoint.c.code == event.code)
        packed = connection.execute(row).scalar_one_or_none()
        there = event_log.parse_rows(fetch_all(connection, _SELECT_AT, (event.position,)))
        if packed is None or not there:
            continue
        if sha256(packed).hexdigest() == event.world and there[0].hash.hex() == event.hash:
            yield packed, LogTail.from_event(there[0])
        else:
            _log.error("The checkpoint at %d is not the one that the log names and is not used", event.position)


def _read_newest(connection: Connection, stream: str, limit: int) -> tuple[StoredEvent, ...]:
    return event_log.parse_rows(fetch_all(connection, _SELECT_NEWEST, (stream, limit)))


def _unpack_world(packed: bytes) -> SavedWorld:
    return _saved_world_adapter().validate_json(zlib.decompress(packed))


@cache
def _saved_world_adapter() -> TypeAdapter[SavedWorld]:
    return TypeAdapter(SavedWorld)  # slow to build


@cache
def code_hash() -> str:
    """The hash of the source code that folds and saves a world: a checkpoint is only read by the code that wrote it."""
    rollout = sorted(Path(next(iter(core.rollout.__path__))).rglob("*.py"))
    others = (Path(str(module.__file__)) for module in SAVED_MODULES)
    return sha256(b"".join(path.read_bytes() for path in (*rollout, *others, Path(__file__)))).hexdigest()
