"""One look at one rollout: gather the evidence, judge it, and hand the verdict in; the decider does the rest."""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.judging import ranges, record
from core.judging.judge import Judgement, judge
from core.judging.look import reduce
from core.judging.question import Question
from core.judging.series import Point
from core.judging.state import State
from core.metrics.catalogue import CATALOGUE
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.decider import decide
from core.rollout.model import Rollout
from core.rollout.questions import ask
from core.service import Outcome, Request, Service, context
from core.store import looks, windows

_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the newest look left behind: the engine's state, and the digest over the looks since the last evidence."""

    number: int
    state: State
    digest: str
    evidence_look: int  # the newest look that an evidence event covers
    evidence_state: str  # digest of the state after it


def tick(service: Service, rollout_id: str, at: datetime, *, every: timedelta) -> Outcome | None:
    """Let time pass for one rollout; None when nothing followed from it.

    The look costs no lock. Only when something follows is it decided again, under the append lock. Not to be called
    for the same rollout by two threads at once (the timer claims of the jobs see to that).
    """
    began = time.perf_counter()
    world = service.world()
    rollout = world.rollouts[rollout_id]
    sighting = _look(service, rollout, at, every) if _anybody_exposed(rollout) else None
    if sighting is not None:
        sighting = replace(sighting, judged_seconds=time.perf_counter() - began)
    command = c.Tick(sighting=sighting)
    request = Request(
        command=command, command_id=f"tick:{rollout_id}:{at.isoformat()}", by=ENGINE, at=at, rollout=rollout_id
    )
    if not decide(rollout, command, context(world, request, rollout.plan.surface, rollout)):
        return None
    return service.handle(request)


def evidence(service: Service, rollout: Rollout) -> Judgement | None:
    """The newest judgement, at most a tick old; None before the first look."""
    with service.database.reading() as connection:
        latest = looks.latest(connection, rollout.id)
    return record.load_judgement(json.loads(latest[1])["judgement"]) if latest else None


def _anybody_exposed(rollout: Rollout) -> bool:
    return rollout.under_way and any(rollout.plan.stages[span.index].exposes for span in rollout.spans)


def _look(service: Service, rollout: Rollout, at: datetime, every: timedelta) -> c.Sighting:
    question = ask(rollout, every)
    with service.database.reading() as connection:
        latest = looks.latest(connection, rollout.id)
        sums = windows.read(connection, rollout.id)
    before = _standing(latest, question, rollout)
    look = reduce(question, sums, before.state, at)
    judgement = judge(question, look, before.state)
    look_text = record.dump(look)
    number = before.number + 1
    digest = _digest(before.digest + look_text)
    kept = {
        "judgement": record.dump(judgement),
        "digest": digest,
        "evidence_look": before.evidence_look,
        "evidence_state": before.evidence_state,
    }
    with service.database.plain_writing() as connection:
        looks.save(connection, rollout.id, number, at, look_text, json.dumps(kept), digest)
    return c.Sighting(
        verdict=judgement.verdict,
        measures=judgement.measures,
        canary_requests=judgement.canary_requests,
        control_requests=judgement.control_requests,
        canary_units=judgement.canary_units,
        control_units=judgement.control_units,
        stage_requests=judgement.canary_requests,
        exposed_requests=judgement.exposed_requests,
        exposed_units=judgement.exposed_units,
        first_look=before.evidence_look + 1,
        last_look=number,
        state_before=before.evidence_state,
        looks=digest,
        state_after=_digest(record.dump(judgement.state)),
    )


def _standing(latest: tuple[int, str] | None, question: Question, rollout: Rollout) -> Standing:
    if latest is None:
        return Standing(
            number=0, state=State.start(question), digest=_NOTHING, evidence_look=0, evidence_state=_NOTHING
        )
    number, text = latest
    kept = json.loads(text)
    standing = Standing(
        number=number,
        state=record.load_judgement(kept["judgement"]).state,
        digest=kept["digest"],
        evidence_look=kept["evidence_look"],
        evidence_state=kept["evidence_state"],
    )
    newest = rollout.evidence
    if newest is None or newest.last_look <= standing.evidence_look:
        return standing
    # An evidence event was written since: what follows is chained to the state it recorded.
    return replace(standing, digest=_NOTHING, evidence_look=newest.last_look, evidence_state=newest.state_after)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def trend(service: Service, rollout: Rollout, metric: str) -> tuple[Point, ...]:
    """How the difference of one metric developed: a point per look, of the stage under way at it."""
    limit = next((x for x in rollout.plan.limits if x.metric == metric), None)
    entry = CATALOGUE.get(metric)
    if entry is None or not rollout.spans:
        return ()
    with service.database.reading() as connection:
        latest = looks.latest(connection, rollout.id)
        saved = looks.between(connection, rollout.id, max(latest[0] - 1000, 1), latest[0]) if latest else ()
    found = []
    for one in saved:
        entered = [span.index for span in rollout.spans if span.since < one.at]  # a step follows from its look
        standing = record.load_look(one.look_json).standing(metric, entered[-1]) if entered else None
        if standing is None or standing.canary is None or standing.control is None:
            continue
        change = standing.canary - standing.control
        if ranges.is_relative(limit, entry):
            if standing.control <= 0:
                continue
            change /= standing.control
        seen = ranges.Seen(
            canary=standing.canary,
            control=standing.control,
            error=standing.error,
            n_canary=standing.canary_weight,
            n_control=standing.control_weight,
            design_effect=standing.design_effect,
        )
        low, high = ranges.shown(limit, entry, seen)
        found.append(Point(at=one.at, stage=entered[-1], difference=change, low=low, high=high))
    return tuple(found)
