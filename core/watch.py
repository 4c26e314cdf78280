"""One look at one rollout: gather the evidence, judge it, and pass the verdict to the decider as a command."""

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError

from core.judging import record
from core.judging.judge import judge
from core.judging.look import caps
from core.judging.look.look import reduce, segments_due
from core.judging.model.judgement import Judgement
from core.judging.model.state import State
from core.judging.model.verdict import RollBack, Verdict
from core.judging.report import measures, series
from core.judging.verdict import detectability
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.model import Rollout
from core.rollout.questions import ask
from core.service import Outcome, Request, Service
from core.store.coordination import timers
from core.store.database.append_backend import Claim
from core.store.errors import LeaseLost
from core.store.observations import looks, windows

_WHENEVER = datetime(2000, 1, 1, tzinfo=UTC)
NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """What a look needs of the one before: the engine's state, and the digest of the looks since the last evidence."""

    number: int
    state: State
    question: str  # the question of the newest look, as JSON
    digest: str
    evidence_look: int  # number of the newest look that an evidence event covers
    evidence_state: str  # digest of the engine's state after that look
    verdict: Verdict | None = None
    shown: str = ""  # digest of everything in the newest look except its time


class Lease(NamedTuple):
    """The timer slot in which a look is taken, and how long each renewal of its lease lasts."""

    claim: Claim
    length: timedelta


def tick(
    service: Service,
    rollout_id: str,
    at: datetime,
    *,
    every: timedelta,
    lease: Lease | None = None,
    blind_after: timedelta = timedelta.max,
) -> Outcome | None:
    """Take a look at one rollout and act on it; None if nothing followed from it.

    The look itself takes no append lock; only if something follows is it decided again, under the lock. With a `lease`,
    the look and its consequences are stored only while the lease is held, and finish the timer slot: LeaseLost if it
    was lost, or if another process took the same look. If the last look was more than `unwatched_after` ago, this one
    does not let the rollout grow; the next one may.
    """
    began = time.perf_counter()
    world = service.world()
    rollout = world.rollout(rollout_id)
    unwatched = rollout.is_looked_at and _since_newest(service, rollout, at) > blind_after
    look = _look(service, rollout, at, every) if rollout.is_looked_at else None
    result: c.LookResult | None = None
    if look is not None:
        result = replace(look.result, judged_seconds=time.perf_counter() - began, unwatched=unwatched)
    command = c.Tick(look=result)
    request = Request(
        command=command,
        command_id=f"tick:{rollout_id}:{at.isoformat()}",
        by=ENGINE,
        at=at,
        rollout=rollout_id,
        claim=lease.claim if lease is not None else None,
    )
    follows = bool(service.preview(request))
    if look is not None:
        look.keep(service, rollout_id, lease, whole=look.is_news or follows)
    return service.handle(request) if follows else None


def evidence(service: Service, rollout: Rollout) -> Judgement | None:
    """The judgement of the newest look, with a row for every segment; None before the first look."""
    with service.database.reading() as connection:
        latest = looks.latest(connection, rollout.id)
    if latest is None:
        return None
    kept = json.loads(latest[1])
    judgement, question = record.load_judgement(kept["judgement"]), record.load_question(kept["question"])
    return replace(judgement, segments=measures.segments(question, judgement.state))


def newest(service: Service, rollout: Rollout) -> tuple[Judgement, datetime] | None:
    """What the newest look says as a whole, and when that was; None where nothing is newer than the last evidence."""
    if not rollout.is_looked_at:
        return None
    with service.database.reading() as connection:
        latest = looks.latest(connection, rollout.id)
        _, looked_at = looks.newest(connection, rollout.id)
    if latest is None or looked_at is None or (rollout.evidence_at is not None and looked_at <= rollout.evidence_at):
        return None
    return record.load_judgement(json.loads(latest[1])["judgement"]), looked_at


def trend(service: Service, rollout: Rollout, metric: str) -> tuple[series.Point, ...]:
    """How the difference of a metric developed over the looks so far, thinned to what a chart can show."""
    return trends(service, rollout, (metric,))[metric]


def trends(service: Service, rollout: Rollout, metrics: Collection[str]) -> Mapping[str, tuple[series.Point, ...]]:
    """As `load_trend` for several metrics, reading the looks only once."""
    with service.database.reading() as connection:
        latest = looks.latest(connection, rollout.id)
        found = looks.thinned(connection, rollout.id, series.SHOWN) if metrics else ()
    if latest is None:
        return dict.fromkeys(metrics, ())
    question = record.load_question(json.loads(latest[1])["question"])
    seen = [record.load_recorded(one.look_json).look for one in found]
    return {metric: series.points(question, seen, metric) for metric in metrics}


def _since_newest(service: Service, rollout: Rollout, at: datetime) -> timedelta:
    with service.database.reading() as connection:
        _, looked_at = looks.newest(connection, rollout.id)
    return at - looked_at if looked_at is not None else timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A look that was taken and not stored yet; `content_digest` covers everything in it except its time."""

    result: c.LookResult
    number: int
    at: datetime
    text: str
    kept: Mapping[str, Any]
    shown: str
    is_news: bool

    def keep(self, service: Service, rollout: str, lease: Lease | None, *, whole: bool) -> None:
        """Store the `whole` look, or only count it. LeaseLost if the lease was lost or another process was first."""
        try:
            with service.database.plain_writing() as connection:
                if lease is not None and not timers.renew(connection, lease.claim, self.at + lease.length):
                    raise LeaseLost(f"Somebody else looks at {rollout} by now.")
                if whole:
                    state = json.dumps({**self.kept, "shown": self.shown})
                    looks.save(connection, rollout, self.number, self.at, self.text, state, self.kept["digest"])
                elif not looks.repeat(connection, rollout, self.number - 1, self.at):
                    raise LeaseLost(f"Somebody else has looked at {rollout} meanwhile.")
        except IntegrityError as error:
            raise LeaseLost(f"Somebody else has looked at {rollout} at the same moment.") from error


def _look(service: Service, rollout: Rollout, at: datetime, every: timedelta) -> _Look:
    """Read the sums, judge them from the state of the look before, and prepare the record. Stores nothing."""
    question = ask(rollout, every)
    with service.database.reading() as connection:
        before = _newest(looks.latest(connection, rollout.id), rollout)
        sums = windows.read(connection, rollout.id, segments=segments_due(question, before.state, at))
    look = reduce(question, sums, before.state, at)
    judgement = judge(question, look, before.state)
    asked = record.dump(question)
    # The question is part of the record, and is written only when it changed.
    recorded = record.Recorded(engine=record.ENGINE, look=look, question=None if asked == before.question else question)
    text = record.dump_recorded(recorded)
    number = before.number + 1
    digest = digest_of(before.digest + text)
    shown = digest_of(record.dump_recorded(replace(recorded, question=None, look=replace(look, at=_WHENEVER))))
    result = c.LookResult(
        judgement=judgement,
        first_look=before.evidence_look + 1,
        last_look=number,
        state_before=before.evidence_state,
        looks=digest,
        state_after=digest_of(record.dump(judgement.state)),
        caps=caps.frozen(question, sums),
        # Only growth waits for the blind limits: a rollback does not, and must not fail while computing them.
        blind=()
        if isinstance(judgement.verdict, RollBack)
        else detectability.blind_spots(question, look, judgement.state),
    )
    return _Look(
        result=result,
        number=number,
        at=at,
        text=text,
        kept={
            "judgement": record.dump(judgement),
            "question": asked,
            "digest": digest,
            "evidence_look": before.evidence_look,
            "evidence_state": before.evidence_state,
        },
        shown=shown,
        is_news=bool(look.steps)
        or recorded.question is not None
        or shown != before.shown
        or judgement.verdict != before.verdict,
    )


def digest_of(text: str) -> str:
    """SHA-256 of the text in hex, as evidence events hold it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _newest(latest: tuple[int, str] | None, rollout: Rollout) -> Newest:
    if latest is None:
        return Newest(
            number=0,
            state=State(),
            question="",
            digest=NOTHING,
            evidence_look=0,
            evidence_state=NOTHING,
        )
    number, text = latest
    kept = json.loads(text)
    judgement = record.load_judgement(kept["judgement"])
    found = Newest(
        number=number,
        state=judgement.state,
        verdict=judgement.verdict,
        shown=kept.get("shown", ""),
        question=kept["question"],
        digest=kept["digest"],
        evidence_look=kept["evidence_look"],
        evidence_state=kept["evidence_state"],
    )
    newest = rollout.evidence
    if newest is None or newest.last_look <= found.evidence_look:
        return found
    # An evidence event was written since: the next looks are chained to the state it recorded.
    return replace(found, digest=NOTHING, evidence_look=newest.last_look, evidence_state=newest.state_after)
