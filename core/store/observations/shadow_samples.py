"""Sampled answers that wait for a judge or were judged. Their texts are sealed with a key of the rollout."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, func, or_, select, update

from core.shadow_eval.samples import ArmProgress, JudgedSample, JudgingProgress, ShadowSample
from core.store.formats.sealing import SealingKey
from core.store.models import insert_into, person_key, shadow_sample

LEASE = timedelta(minutes=5)
MAX_ATTEMPTS = 3  # after so many leases without a result an answer counts as failed
_KEY_PREFIX = "answers:"


def add_samples(connection: Connection, samples: Sequence[ShadowSample]) -> None:
    """Keep samples until they are judged and expire; in a writing transaction."""
    for rollout in sorted({sample.rollout for sample in samples}):
        key = _get_or_create_key(connection, rollout, samples[0].at)
        connection.execute(
            insert_into(connection, shadow_sample).on_conflict_do_nothing(),
            [_build_row(sample, key) for sample in samples if sample.rollout == rollout],
        )


def count_samples(connection: Connection, rollout: str) -> int:
    """How many answers of this rollout are kept."""
    wanted = select(func.count()).select_from(shadow_sample).where(shadow_sample.c.rollout == rollout)
    return connection.execute(wanted).scalar_one()


def lease_samples(
    connection: Connection, now: datetime, limit: int, surfaces: Iterable[str] | None = None
) -> tuple[ShadowSample, ...]:
    """Lease up to `limit` answers to one judge for `LEASE`, in an order that says nothing about their arm.

    `surfaces` restricts them. Answers that were leased too often without a result fail.
    """
    free = and_(
        shadow_sample.c.expires_at > now,
        or_(
            shadow_sample.c.state == "waiting",
            and_(shadow_sample.c.state == "leased", shadow_sample.c.lease_until <= now),
        ),
    )
    if surfaces is not None:
        free = and_(free, shadow_sample.c.surface.in_(sorted(surfaces)))
    connection.execute(
        update(shadow_sample).where(free, shadow_sample.c.attempt >= MAX_ATTEMPTS).values(state="failed")
    )
    wanted = (
        select(shadow_sample).where(free).order_by(shadow_sample.c.id).limit(limit).with_for_update(skip_locked=True)
    )
    rows = connection.execute(wanted).all()
    leased = {"state": "leased", "lease_until": now + LEASE, "attempt": shadow_sample.c.attempt + 1}
    if rows:
        connection.execute(update(shadow_sample).where(shadow_sample.c.id.in_([r.id for r in rows])).values(leased))
    keys = _load_keys(connection, rows)
    samples = [_parse_sample(row, keys) for row in rows]
    if unreadable := [sample.id for sample in samples if not sample.unit]:  # its key is gone, as after a restore
        connection.execute(update(shadow_sample).where(shadow_sample.c.id.in_(unreadable)).values(state="failed"))
    return tuple(sample for sample in samples if sample.unit)


def return_samples(connection: Connection, ids: Iterable[str]) -> None:
    """Let leased answers wait again, as their judge could not be asked; that costs them no attempt."""
    given = and_(shadow_sample.c.id.in_(sorted(ids)), shadow_sample.c.state == "leased")
    waiting = {"state": "waiting", "lease_until": None, "attempt": shadow_sample.c.attempt - 1}
    connection.execute(update(shadow_sample).where(given).values(waiting))


def find_samples(connection: Connection, ids: Iterable[str]) -> dict[str, ShadowSample]:
    """The answers with these ids that wait for a result, whether their lease has ended or not.

    They are locked until the end of the writing transaction that this needs.
    """
    table = shadow_sample.c
    # What waits for its second opinion takes none before it is leased again: a judge may repeat its first.
    open_ones = or_(table.state == "leased", and_(table.state == "waiting", table.passed.is_(None)))
    wanted = select(shadow_sample).where(table.id.in_(sorted(ids)), open_ones).order_by(table.id)
    rows = connection.execute(wanted.with_for_update()).all()
    keys = _load_keys(connection, rows)
    return {row.id: _parse_sample(row, keys) for row in rows}


def record_result(connection: Connection, sample: ShadowSample, passed: bool, score: float | None) -> bool:
    """Record a judge's verdict, in a writing transaction. False if it is a second opinion, which is not counted."""
    again = sample.is_judged_twice
    table = shadow_sample.c
    is_first = connection.execute(select(table.passed).where(table.id == sample.id)).scalar_one() is None
    values: dict[str, Any] = {"state": "waiting" if is_first and again else "judged", "lease_until": None, "attempt": 0}
    values |= {"passed": int(passed), "score": score} if is_first else {"passed_again": int(passed)}
    connection.execute(update(shadow_sample).where(table.id == sample.id).values(values))
    return is_first


def load_progress(connection: Connection, rollout: str) -> JudgingProgress:
    """How far the judging of a rollout is."""
    table = shadow_sample.c

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    judged, failed = table.passed.is_not(None), table.state == "failed"
    columns = (
        table.arm,
        func.count(),
        count(judged),
        count(and_(~judged, ~failed)),
        count(and_(~judged, failed)),
        count(table.passed_again.is_not(None)),
        count(table.passed_again == table.passed),
    )
    rows = connection.execute(select(*columns).where(table.rollout == rollout).group_by(table.arm)).all()
    return JudgingProgress(
        arms={row[0]: ArmProgress(sampled=row[1], judged=row[2], waiting=row[3], failed=row[4]) for row in rows},
        repeated=sum(row[5] for row in rows),
        agreed=sum(row[6] for row in rows),
    )


def load_worst(connection: Connection, rollout: str, arm: str, limit: int) -> tuple[JudgedSample, ...]:
    """The answers of one arm that the judge rated worst and whose text is still kept, worst first."""
    table = shadow_sample.c
    rating = func.coalesce(table.score, table.passed)
    wanted = select(shadow_sample).where(table.rollout == rollout, table.arm == arm, table.passed.is_not(None))
    rows = connection.execute(wanted.order_by(rating, table.id).limit(limit)).all()
    keys = _load_keys(connection, rows)
    return tuple(
        JudgedSample(sample=_parse_sample(row, keys), passed=bool(row.passed), score=row.score) for row in rows
    )


def delete_expired(connection: Connection, now: datetime) -> int:
    """Delete answers whose time is over, and the keys of rollouts that have none left; how many answers went."""
    gone = connection.execute(delete(shadow_sample).where(shadow_sample.c.expires_at <= now)).rowcount
    left = exists().where(person_key.c.person == _KEY_PREFIX + shadow_sample.c.rollout)
    unused = and_(person_key.c.person.startswith(_KEY_PREFIX, autoescape=True), ~left)
    if gone:
        connection.execute(delete(person_key).where(unused))
    return gone


def _build_row(sample: ShadowSample, key: SealingKey) -> dict[str, Any]:
    texts = {"unit": sample.unit, "question": sample.question, "answer": sample.answer, "segments": sample.segments}
    return {
        "id": sample.id,
        "rollout": sample.rollout,
        "surface": sample.surface,
        "stage": sample.stage,
        "arm": sample.arm,
        "judge": sample.judge,
        "at": sample.at,
        "expires_at": sample.expires_at,
        "is_judged_twice": int(sample.is_judged_twice),
        "sealed": AESSIV(key.secret).encrypt(orjson.dumps(texts), [sample.id.encode()]),
        "state": "waiting",
        "attempt": 0,
    }


def _parse_sample(row: Row[Any], keys: dict[str, bytes]) -> ShadowSample:
    sample = ShadowSample(
        id=row.id,
        rollout=row.rollout,
        surface=row.surface,
        stage=row.stage,
        arm=row.arm,
        judge=row.judge,
        at=row.at,
        expires_at=row.expires_at,
        is_judged_twice=bool(row.is_judged_twice),
        unit="",
        question="",
        answer="",
        segments={},
    )
    secret = keys.get(row.rollout)
    if secret is None:
        return sample
    try:
        texts = orjson.loads(AESSIV(secret).decrypt(row.sealed, [row.id.encode()]))
    except InvalidTag:
        return sample
    return replace(sample, **texts)


def _get_or_create_key(connection: Connection, rollout: str, at: datetime) -> SealingKey:
    wanted = select(person_key.c.key_id, person_key.c.secret).where(person_key.c.person == _KEY_PREFIX + rollout)
    fresh = SealingKey.generate()
    row = {"key_id": fresh.key_id, "person": _KEY_PREFIX + rollout, "secret": fresh.secret, "created_at": at}
    if (known := connection.execute(wanted).one_or_none()) is None:
        connection.execute(insert_into(connection, person_key).values(row).on_conflict_do_nothing())
        known = connection.execute(wanted).one()
    return SealingKey(key_id=known.key_id, secret=known.secret)


def _load_keys(connection: Connection, rows: Iterable[Row[Any]]) -> dict[str, bytes]:
    """The secrets of the rollouts that these rows belong to."""
    people = {_KEY_PREFIX + row.rollout for row in rows}
    wanted = select(person_key.c.person, person_key.c.secret).where(person_key.c.person.in_(sorted(people)))
    return {person.removeprefix(_KEY_PREFIX): secret for person, secret in connection.execute(wanted)}
