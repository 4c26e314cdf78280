"""Witnesses, stored as anchors: heads of the log shown outside the database, and whether the log still agrees."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, inspect, select

from core.rollout.notifications.announcement import CARD_KEY
from core.rollout.state.events import MessagePosted, Planned
from core.store.database.driver import fetch_all
from core.store.errors import StoreError
from core.store.formats import codec
from core.store.models import anchor, insert_into, rollout_view

# Published heads are in `anchor`, those about to be published in unfinished outbox rows; sent rows need not be read.
_SELECT_NEWEST_ANCHOR = (
    "SELECT max(position) FROM (SELECT max(position) AS position FROM anchor UNION ALL"
    " SELECT max(position) FROM outbox WHERE state IN ('pending', 'leased')"
    " AND (idempotency_key LIKE 'witness:%%' OR idempotency_key LIKE 'daily_witness:%%')) AS shown"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A published head: position, hash in hex (or its beginning), where it was published, and when, if known."""

    position: int
    hash: str
    place: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorComparison:
    """How many anchors agree with the log, the newest of these, and (position, what is wrong) of the others."""

    agreeing: int
    newest: Anchor | None
    differing: tuple[tuple[int, str], ...]


def save_anchor(connection: Connection, position: int, head_hash: bytes, place: str, at: datetime) -> None:
    """Record that this head was published; later records of the same position are ignored."""
    row = insert_into(connection, anchor).values(position=position, hash=head_hash, place=place, at=at)
    connection.execute(row.on_conflict_do_nothing())


def load_anchors(connection: Connection) -> list[Anchor]:
    """The anchors that this database has recorded, in order; none if its schema has no such table yet."""
    if not inspect(connection).has_table(anchor.name):
        return []
    rows = connection.execute(select(anchor).order_by(anchor.c.position))
    return [Anchor(position=r.position, hash=r.hash.hex(), place=r.place, at=r.at) for r in rows]


def find_unanchored_head(connection: Connection) -> tuple[int, str] | None:
    """(head position, id of the rollout that changed last) if the head is not published or about to be; or None."""
    rollout = connection.execute(select(rollout_view.c.id).order_by(rollout_view.c.position.desc()).limit(1)).scalar()
    newest = fetch_all(connection, "SELECT max(position) FROM events", ())[0][0]
    shown = fetch_all(connection, _SELECT_NEWEST_ANCHOR, ())[0][0] or 0
    return (newest, rollout) if rollout is not None and newest > shown else None


def read_hash(connection: Connection, position: int) -> bytes | None:
    """The hash of the event at `position`; None if there is none."""
    rows = fetch_all(connection, "SELECT hash FROM events WHERE position = ?", (position,))
    return bytes(rows[0][0]) if rows else None


def find_channels(connection: Connection) -> set[str]:
    """The Slack channels where heads may have been published: engineering channels by name, and known channel ids.

    Works even if the log can no longer be folded: events that cannot be decoded are skipped.
    """
    found = {each.place.removeprefix("slack:").partition("/")[0] for each in load_anchors(connection)}
    wanted = "SELECT type, schema_version, body FROM events WHERE type = ? OR (type = ? AND body LIKE ?)"
    for row in fetch_all(connection, wanted, (Planned.TYPE, MessagePosted.TYPE, f'%"key":"{CARD_KEY}"%')):
        with suppress(StoreError):
            event = codec.decode(*row)
            if isinstance(event, Planned):
                found.add(event.plan.engineering_channel)
            elif isinstance(event, MessagePosted) and event.key == CARD_KEY:
                found.add(event.channel)
    return found


def compare_anchors(connection: Connection, published: Iterable[Anchor]) -> AnchorComparison:
    """Compare published heads with the log. A head that was published twice counts once."""
    different = {(each.position, each.hash): each for each in published}
    agreeing: list[Anchor] = []
    differing: list[tuple[int, str]] = []
    for each in sorted(different.values(), key=lambda s: (s.position, s.hash)):
        found = read_hash(connection, each.position)
        if found is not None and found.hex().startswith(each.hash):
            agreeing.append(each)
            continue
        when = f" at {each.at:%Y-%m-%d %H:%M} UTC" if each.at is not None else ""
        was = f"{each.hash[:16]} was posted in {each.place}{when}"
        what = f"has changed: its hash is {found.hex()[:16]}, but {was}" if found else f"is missing, but {was}"
        differing.append((each.position, what))
    return AnchorComparison(
        agreeing=len(agreeing), newest=agreeing[-1] if agreeing else None, differing=tuple(differing)
    )
