"""Who was served a new version: the ids of units, encrypted, for as long as the policy keeps them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import Connection, case, delete, func, select

from core.judging.model.evidence import hash_into_bucket
from core.metrics.catalogue import counts_as_request
from core.store.database.driver import fetch_all
from core.store.formats.sealing import SealingKey
from core.store.models import insert_into, person_key, served_unit
from core.store.observations.observation_batch import PlacedObservation

_ROWS = 500
_PAGE = 1_000  # units that are read at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedUnit:
    """A unit that was served the new version, the times of its first and last such request, and how many there were."""

    unit: str
    first_at: datetime
    last_at: datetime
    requests: int


@dataclass(slots=True)
class _Served:
    first_at: datetime
    last_at: datetime
    requests: int


def record(connection: Connection, observations: Iterable[PlacedObservation]) -> None:
    """Record the units of these observations as served the new version, in a writing transaction."""
    for rollout, units in _sum_by_unit(observations).items():
        cipher = AESSIV(_get_or_create_secret(connection, rollout, min(one.first_at for one in units.values())))
        rows = (
            {
                "rollout": rollout,
                "unit_hash": hash_into_bucket(rollout, unit)[1],
                "sealed": cipher.encrypt(unit.encode(), [rollout.encode()]),
                "first_at": one.first_at,
                "last_at": one.last_at,
                "requests": one.requests,
            }
            for unit, one in sorted(units.items())
        )
        while some := list(islice(rows, _ROWS)):
            added = insert_into(connection, served_unit).values(some)
            new, known = added.excluded, served_unit.c
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["rollout", "unit_hash"],
                    set_={
                        "first_at": case((new.first_at < known.first_at, new.first_at), else_=known.first_at),
                        "last_at": case((new.last_at > known.last_at, new.last_at), else_=known.last_at),
                        "requests": known.requests + new.requests,
                    },
                )
            )


def count(connection: Connection, rollout: str) -> int:
    """How many units are on record as served the new version of this rollout."""
    wanted = select(func.count()).select_from(served_unit).where(served_unit.c.rollout == rollout)
    return connection.execute(wanted).scalar_one()


def load_page(connection: Connection, rollout: str, *, limit: int, offset: int) -> Sequence[ServedUnit]:
    """At most `limit` units, in the order in which they were first served; nothing if their key was deleted."""
    secret = _find_secret(connection, rollout)
    if secret is None:
        return ()
    cipher = AESSIV(secret)
    columns = served_unit.c
    wanted = (
        select(columns.sealed, columns.first_at, columns.last_at, columns.requests)
        .where(columns.rollout == rollout)
        .order_by(columns.first_at, columns.unit_hash)
        .limit(limit)
        .offset(offset)
    )
    return tuple(
        ServedUnit(
            unit=cipher.decrypt(row.sealed, [rollout.encode()]).decode(),
            first_at=row.first_at,
            last_at=row.last_at,
            requests=row.requests,
        )
        for row in connection.execute(wanted)
    )


def load_all(connection: Connection, rollout: str) -> Iterator[ServedUnit]:
    """Every unit, in the order of `load_page`."""
    offset = 0
    while found := load_page(connection, rollout, limit=_PAGE, offset=offset):
        yield from found
        offset += _PAGE


def erase_unit(connection: Connection, unit: str) -> int:
    """Delete what is on record of this unit, in all rollouts; returns in how many it was."""
    erased = 0
    for rollout in connection.execute(select(served_unit.c.rollout).distinct()).scalars().all():
        gone = delete(served_unit).where(
            served_unit.c.rollout == rollout, served_unit.c.unit_hash == hash_into_bucket(rollout, unit)[1]
        )
        erased += connection.execute(gone).rowcount
    return erased


def delete_older(connection: Connection, before: datetime | None) -> int:
    """Delete the units last served before this time (None: all of them) and keys that are not needed any more."""
    old = delete(served_unit)
    gone = connection.execute(old if before is None else old.where(served_unit.c.last_at < before)).rowcount
    if gone:
        left = {_name_owner(one) for one in connection.execute(select(served_unit.c.rollout).distinct()).scalars()}
        owners = select(person_key.c.person).where(person_key.c.person.startswith(_name_owner("")))
        unneeded = [one for one in connection.execute(owners).scalars() if one not in left]
        connection.execute(delete(person_key).where(person_key.c.person.in_(unneeded)))
    return gone


def _sum_by_unit(observations: Iterable[PlacedObservation]) -> dict[str, dict[str, _Served]]:
    found: dict[str, dict[str, _Served]] = {}
    for each in observations:
        seen = each.observation
        if not counts_as_request(seen.readings) and seen.error_category is None:
            continue
        units = found.setdefault(each.rollout, {})
        known = units.get(each.unit)
        if known is None:
            units[each.unit] = _Served(seen.at, seen.at, 1)
        else:
            known.first_at, known.last_at = min(known.first_at, seen.at), max(known.last_at, seen.at)
            known.requests += 1
    return found


def _name_owner(rollout: str) -> str:
    """Whom the key of a rollout's units belongs to, in the table of keys."""
    return f"customers:{rollout}"


def _find_secret(connection: Connection, rollout: str) -> bytes | None:
    rows = fetch_all(connection, "SELECT secret FROM person_key WHERE person = ?", (_name_owner(rollout),))
    return bytes(rows[0][0]) if rows else None


def _get_or_create_secret(connection: Connection, rollout: str, at: datetime) -> bytes:
    if (known := _find_secret(connection, rollout)) is not None:
        return known
    key = SealingKey.generate()
    added = insert_into(connection, person_key).values(
        key_id=key.key_id, person=_name_owner(rollout), secret=key.secret, created_at=at
    )
    connection.execute(added.on_conflict_do_nothing())
    secret = _find_secret(connection, rollout)
    assert secret is not None, "another process that made the key has committed it"
    return secret
