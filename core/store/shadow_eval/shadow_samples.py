"""Sampled answers that wait for a judge or were judged. Their texts are sealed with a key of the rollout."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, func, or_, select, update

from core.shadow_eval.anchors import ANCHOR_ARM
from core.shadow_eval.samples import (
    AnchorProgress,
    ArmProgress,
    JudgedSample,
    JudgingProgress,
    LeasedSamples,
    ShadowSample,
)
from core.shadow_eval.spending import HandOutTerms
from core.store.formats.sealing import SealingKey
from core.store.models import insert_into, person_key, shadow_sample
from core.store.shadow_eval import judging_accounts

LEASE = timedelta(minutes=5)
MAX_ATTEMPTS = 3  # after so many leases without a result an answer counts as failed
_FAIL_AT_ONCE = 1_000  # answers, as a statement has a bounded number of parameters
_KEY_PREFIX = "answers:"
_ANCHORS_FIRST = 4  # of so many tasks one is an anchor, as long as any wait: a round must not wait behind all answers


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
    answers = (shadow_sample.c.rollout == rollout, shadow_sample.c.anchor.is_(None))
    wanted = select(func.count()).select_from(shadow_sample).where(*answers)
    return connection.execute(wanted).scalar_one()


def lease_samples(
    connection: Connection,
    now: datetime,
    limit: int,
    surfaces: Iterable[str] | None,
    terms: Mapping[str, HandOutTerms] | None,
) -> LeasedSamples:
    """Lease up to `limit` answers and anchors to one judge for `LEASE`, in an order that says nothing about them.

    `surfaces` restricts them, and `terms`, by rollout, what they may cost: what a lease is expected to cost is spent.
    Answers that were leased too often without a result fail. In a writing transaction.
    """
    free = and_(
        shadow_sample.c.expires_at > now,
        or_(
            and_(shadow_sample.c.state == "waiting", shadow_sample.c.lease_until.is_(None)),
            and_(shadow_sample.c.state.in_(("leased", "waiting")), shadow_sample.c.lease_until <= now),
        ),
    )
    if surfaces is not None:
        free = and_(free, shadow_sample.c.surface.in_(sorted(surfaces)))
    wanted = select(shadow_sample).where(free, shadow_sample.c.attempt >= MAX_ATTEMPTS).limit(_FAIL_AT_ONCE)
    failed = connection.execute(wanted.with_for_update(skip_locked=True)).all()
    if failed:
        ids = [row.id for row in failed]
        connection.execute(update(shadow_sample).where(shadow_sample.c.id.in_(ids)).values(state="failed"))
    free = and_(free, shadow_sample.c.attempt < MAX_ATTEMPTS)
    rows = _choose_rows(connection, free, limit, terms or {})
    leased = {"state": "leased", "lease_until": now + LEASE, "attempt": shadow_sample.c.attempt + 1}
    for rollout, many in Counter(row.rollout for row in rows).items():
        each = judging_accounts.charge_leases(
            connection, rollout, many, (terms or {}).get(rollout, HandOutTerms()).cost
        )
        ids = [row.id for row in rows if row.rollout == rollout]
        connection.execute(update(shadow_sample).where(shadow_sample.c.id.in_(ids)).values({**leased, "charged": each}))
    keys = _load_keys(connection, (*rows, *failed))
    samples = [_parse_sample(row, keys) for row in rows]
    unanswered = [
        _parse_sample(row, keys)
        for row in (*failed, *rows)
        if row.state == "leased" and row.passed is None and row.anchor is None
    ]
    if unreadable := [sample.id for sample in samples if not sample.unit]:  # its key is gone, as after a restore
        connection.execute(update(shadow_sample).where(shadow_sample.c.id.in_(unreadable)).values(state="failed"))
    return LeasedSamples(
        samples=tuple(sample for sample in samples if sample.unit),
        unanswered=tuple(sample for sample in unanswered if sample.unit),
    )


def _choose_rows(
    connection: Connection, free: ColumnElement[bool], limit: int, terms: Mapping[str, HandOutTerms]
) -> Sequence[Row[Any]]:
    """The rows to lease, in the order of their random ids: some anchors as long as any wait, otherwise answers."""
    room = {
        rollout: judging_accounts.lock_account(connection, rollout).count_room(one.cost, one.cap)
        for rollout, one in sorted(terms.items())
        if one.cap is not None and _has_open(connection, free, rollout)
    }
    spent = [rollout for rollout, left in room.items() if left == 0]
    held = [rollout for rollout, one in terms.items() if one.only_anchors]
    is_anchor = shadow_sample.c.anchor.is_not(None)
    free = and_(free, shadow_sample.c.rollout.not_in(spent), or_(is_anchor, shadow_sample.c.rollout.not_in(held)))

    def read(which: ColumnElement[bool], most: int) -> list[Row[Any]]:
        wanted = select(shadow_sample).where(free, which).order_by(shadow_sample.c.id).limit(most)
        return list(connection.execute(wanted.with_for_update(skip_locked=True)).all())

    anchors = read(is_anchor, limit)
    answers = read(~is_anchor, limit)
    few = max(-(-limit // _ANCHORS_FIRST), limit - len(answers))
    chosen: list[Row[Any]] = []
    taken: Counter[str] = Counter()
    for row in (*anchors[:few], *answers):
        left = room.get(row.rollout)
        if len(chosen) < limit and (left is None or taken[row.rollout] < left):
            chosen.append(row)
            taken[row.rollout] += 1
    return sorted(chosen, key=lambda row: str(row.id))


def _has_open(connection: Connection, free: ColumnElement[bool], rollout: str) -> bool:
    wanted = select(shadow_sample.c.id).where(free, shadow_sample.c.rollout == rollout).limit(1)
    return connection.execute(wanted).first() is not None


def return_samples(connection: Connection, ids: Iterable[str]) -> None:
    """Let leased answers wait again, as their judge could not be asked; that costs no attempt and no money."""
    given = and_(shadow_sample.c.id.in_(sorted(ids)), shadow_sample.c.state == "leased")
    for rollout, charged in connection.execute(
        select(shadow_sample.c.rollout, func.sum(shadow_sample.c.charged))
        .where(given)
        .group_by(shadow_sample.c.rollout)
    ).all():
        judging_accounts.settle(connection, rollout, -int(charged))
    waiting = {"state": "waiting", "lease_until": None, "attempt": shadow_sample.c.attempt - 1, "charged": 0}
    connection.execute(update(shadow_sample).where(given).values(waiting))


def put_off_samples(connection: Connection, samples: Sequence[ShadowSample]) -> tuple[ShadowSample, ...]:
    """Let leased answers on which the judge gave no verdict wait until their lease would have ended.

    Returns those that have no verdict so far and are no anchors, which the caller counts.
    """
    table = shadow_sample.c
    given = and_(table.id.in_([sample.id for sample in samples]), table.state == "leased")
    first = {row.id for row in connection.execute(select(table.id).where(given, table.passed.is_(None)))}
    connection.execute(update(shadow_sample).where(given).values(state="waiting"))
    return tuple(sample for sample in samples if sample.id in first and sample.anchor is None)


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


def record_result(
    connection: Connection, sample: ShadowSample, passed: bool, score: float | None, cost: float | None
) -> bool:
    """Record a judge's verdict and what it cost in dollars, None if the judge did not tell; in a writing transaction.

    False if it is a second opinion, which is not counted.
    """
    again = sample.is_judged_twice
    table = shadow_sample.c
    before = connection.execute(select(table.passed, table.charged).where(table.id == sample.id)).one()
    is_first = before.passed is None
    judging_accounts.count_result(connection, sample.rollout, before.charged, cost)
    values: dict[str, Any] = {
        "state": "waiting" if is_first and again else "judged",
        "lease_until": None,
        "attempt": 0,
        "charged": 0,
    }
    values |= {"passed": int(passed), "score": score} if is_first else {"passed_again": int(passed)}
    connection.execute(update(shadow_sample).where(table.id == sample.id).values(values))
    return is_first


def load_anchor_round(connection: Connection, rollout: str, number: int) -> AnchorProgress | None:
    """How far this round of anchors is; None if it has not begun."""
    table = shadow_sample.c
    here = (table.rollout == rollout, table.arm == ANCHOR_ARM, table.round == number)
    rows = connection.execute(select(table.anchor, table.state, table.passed, table.at).where(*here)).all()
    if not rows:
        return None
    return AnchorProgress(
        began_at=min(row.at for row in rows),
        verdicts={row.anchor: bool(row.passed) for row in rows if row.passed is not None},
        waiting=sum(row.passed is None and row.state != "failed" for row in rows),
    )


def close_anchor_round(connection: Connection, rollout: str, number: int) -> None:
    """Hand out nothing more of this round."""
    table = shadow_sample.c
    here = (table.rollout == rollout, table.arm == ANCHOR_ARM, table.round == number, table.passed.is_(None))
    connection.execute(update(shadow_sample).where(*here).values(state="failed", lease_until=None))


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
    here = (table.rollout == rollout, table.anchor.is_(None))
    rows = connection.execute(select(*columns).where(*here).group_by(table.arm)).all()
    return JudgingProgress(
        arms={row[0]: ArmProgress(sampled=row[1], judged=row[2], waiting=row[3], failed=row[4]) for row in rows},
        repeated=sum(row[5] for row in rows),
        agreed=sum(row[6] for row in rows),
    )


def load_worst(connection: Connection, rollout: str, arm: str, limit: int) -> tuple[JudgedSample, ...]:
    """The answers of one arm that the judge rated worst and whose text is still kept, worst first; of those with the
    same score, what failed."""
    table = shadow_sample.c
    rating = func.coalesce(table.score, table.passed)
    wanted = select(shadow_sample).where(table.rollout == rollout, table.arm == arm, table.passed.is_not(None))
    rows = connection.execute(wanted.order_by(rating, table.passed, table.id).limit(limit)).all()
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
        "anchor": sample.anchor,
        "round": sample.round,
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
        anchor=row.anchor,
        round=row.round,
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
