"""One look at one rollout: gather the evidence, judge it, and pass the verdict to the decider as a command."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from core.judging import record
from core.judging.engine.judge_trust import set_untrusted_aside
from core.judging.judge import judge
from core.judging.look import mean_caps
from core.judging.look.judged_cells import replace_judged
from core.judging.look.judged_segments import are_segments_due
from core.judging.look.look import Look, take_look
from core.judging.model.comparison import HorizonComparison, MetricCourse
from core.judging.model.evidence import EvidenceSums
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import JudgeNews, JudgingState
from core.judging.model.verdict import RollBack, Verdict
from core.judging.report import causes, course, horizon, soft_errors
from core.judging.verdict import find_blind_spots
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.decisions import growth_conditions
from core.rollout.judging.judging_limits import build_judge_news, find_judging
from core.rollout.judging.judging_question import build_question
from core.rollout.plans.policy import Policy
from core.rollout.state.model import Rollout
from core.rollout.state.sources import SourceTerms
from core.rollout.state.world import World
from core.service.saved_state import SavedState, parse_saved_state
from core.service.service import CommandOutcome, CommandRequest, RolloutService
from core.store.coordination import timers
from core.store.database.append_backend import TimerClaim
from core.store.errors import LeaseLost
from core.store.observations import looks, observation_sums
from core.store.shadow_eval import judged_marks, judging_accounts

_FIXED_TIME = datetime(2000, 1, 1, tzinfo=UTC)
DAYS_OF_WEEK = 7
EMPTY_DIGEST = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousLook:
    """What a look needs of the one before: the engine's state, and the digest of the looks since the last evidence."""

    number: int
    state: JudgingState
    question: str  # the question of the newest look, as JSON
    digest: str
    evidence_look: int  # number of the newest look that an evidence event covers
    evidence_state: str  # digest of the engine's state after that look
    verdict: Verdict | None = None
    content_digest: str = ""  # digest of everything in the newest look except its time


class LookLease(NamedTuple):
    """The timer for which a look is taken, and how long each renewal of its lease lasts."""

    claim: TimerClaim
    duration: timedelta


def evaluate_rollout(
    service: RolloutService,
    rollout_id: str,
    at: datetime,
    *,
    every: timedelta,
    lease: LookLease | None = None,
    unwatched_after: timedelta = timedelta.max,
) -> CommandOutcome | None:
    """Take a look at one rollout and act on it; None if nothing followed from it.

    The look itself takes no append lock; only if something follows is it decided again, under the lock. With a `lease`,
    the look and its consequences are stored only while the lease is held, and finish the timer: LeaseLost if it
    was lost, or if another process took the same look. If the last look was more than `unwatched_after` ago, this one
    does not let the rollout grow; the next one may.
    """
    began = time.perf_counter()
    world = service.load_world()
    rollout = world.get_rollout(rollout_id)
    unwatched = rollout.is_looked_at and _time_since_newest_look(service, rollout, at) > unwatched_after
    surface = world.surfaces[rollout.plan.surface]
    sources = surface.sources or ()
    look = _prepare_look(service, world, rollout, at, every, sources) if rollout.is_looked_at else None
    result: c.LookResult | None = None
    if look is not None:
        result = replace(look.result, judged_seconds=time.perf_counter() - began, unwatched=unwatched)
    command = c.Tick(look=result)
    request = CommandRequest(
        command=command,
        command_id=f"tick:{rollout_id}:{at.isoformat()}",
        by=ENGINE,
        at=at,
        rollout=rollout_id,
        claim=lease.claim if lease is not None else None,
    )
    follows = bool(service.preview(request))
    if look is not None:
        look.save(service, rollout_id, lease, whole=look.is_news or follows)
    return service.handle(request) if follows else None


def _time_since_newest_look(service: RolloutService, rollout: Rollout, at: datetime) -> timedelta:
    with service.database.reading() as connection:
        _, looked_at = looks.load_count_and_time(connection, rollout.id)
    return at - looked_at if looked_at is not None else timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TakenLook:
    """A look that was taken and not stored yet."""

    result: c.LookResult
    number: int
    at: datetime
    text: str
    saved_state: SavedState
    is_news: bool
    judge_news: JudgeNews | None = None
    sets_aside: bool = False  # what its judge gave since it was last trusted
    trusted_sums: EvidenceSums | None = None  # to be marked, as the judge was found good

    def save(self, service: RolloutService, rollout: str, lease: LookLease | None, *, whole: bool) -> None:
        """Store the `whole` look, or only count it. LeaseLost if the lease was lost or another process was first."""
        try:
            with service.database.writing_outside_log() as connection:
                if lease is not None and not timers.renew_lease(connection, lease.claim, self.at + lease.duration):
                    raise LeaseLost(f"Another worker has taken over the look at {rollout}.")
                if self.judge_news is not None and self.sets_aside:
                    judged_marks.set_aside(connection, rollout, self.judge_news.metrics)
                if self.judge_news is not None and self.trusted_sums is not None:
                    judged_marks.save_mark(connection, rollout, self.trusted_sums, self.judge_news.metrics)
                if whole:
                    state = self.saved_state
                    looks.save_look(connection, rollout, self.number, self.at, self.text, state.to_json(), state.digest)
                elif not looks.count_repeat(connection, rollout, self.number - 1, self.at):
                    raise LeaseLost(f"Another worker has looked at {rollout} in the meantime.")
        except IntegrityError as error:
            raise LeaseLost(f"Another worker has looked at {rollout} at the same moment.") from error


def _prepare_look(
    service: RolloutService,
    world: World,
    rollout: Rollout,
    at: datetime,
    every: timedelta,
    sources: Sequence[SourceTerms],
) -> _TakenLook:
    """Read the sums, judge them from the state of the look before, and prepare the record. Stores nothing."""
    question = build_question(rollout, every, sources)
    judging, news = find_judging(world, rollout.id), build_judge_news(world, rollout)
    with service.database.reading() as connection:
        before = _parse_previous_look(looks.load_latest_state(connection, rollout.id), rollout)
        known = before.state.judge
        sets_aside = news is not None and news.voided > (known.voided if known is not None else 0)
        trusts = news is not None and news.trusted > (known.trusted if known is not None else 0)
        with_segments = trusts or are_segments_due(question, before.state, at)
        sums = observation_sums.load_sums(connection, rollout.id, segments=with_segments)
        if sets_aside and news is not None:
            sums = replace_judged(sums, judged_marks.load_mark(connection, rollout.id), news.metrics)
        cap = judging.cap if judging is not None else None
        spend = judging_accounts.load_spend(connection, rollout.id, cap) if judging is not None else None
    look = replace(take_look(question, sums, set_untrusted_aside(question, news, before.state), at), judge=news)
    judgement = judge(question, look, before.state)
    due = growth_conditions.is_comparison_due(rollout, judgement.canary_requests, at)
    ended = _compare_at_horizon(service, rollout, question, judgement, look, world.policy) if due else None
    asked = record.to_json(question)
    # The question is part of the record, and is written only when it changed.
    recorded = record.RecordedLook(
        engine=record.ENGINE_VERSION, look=look, question=None if asked == before.question else question
    )
    text = record.recorded_look_to_json(recorded)
    number = before.number + 1
    digest = compute_digest(before.digest + text)
    shown = compute_digest(
        record.recorded_look_to_json(replace(recorded, question=None, look=replace(look, at=_FIXED_TIME)))
    )
    result = c.LookResult(
        judgement=judgement,
        first_look=before.evidence_look + 1,
        last_look=number,
        state_before=before.evidence_state,
        looks=digest,
        state_after=compute_digest(record.to_json(judgement.state)),
        caps=mean_caps.freeze_caps(question, sums),
        # Only growth waits for the blind limits: a rollback does not, and must not fail while computing them.
        blind=()
        if isinstance(judgement.verdict, RollBack)
        else find_blind_spots.find_blind_spots(question, look, judgement.state),
        causes=causes.select_changed(causes.explain_differences(sums, question.current), judgement.measures),
        soft_errors=soft_errors.count_soft_errors(sums, question.current, question.compared_stages),
        comparison=ended.comparison if ended is not None else None,
        weekdays=ended.weekdays if ended is not None else (),
        judging=spend,
    )
    return _TakenLook(
        result=result,
        number=number,
        at=at,
        text=text,
        saved_state=SavedState(
            judgement=record.to_json(judgement),
            question=asked,
            digest=digest,
            evidence_look=before.evidence_look,
            evidence_state=before.evidence_state,
            shown=shown,
        ),
        is_news=bool(look.steps)
        or recorded.question is not None
        or shown != before.content_digest
        or judgement.verdict != before.verdict,
        judge_news=news,
        sets_aside=sets_aside,
        trusted_sums=sums if trusts else None,
    )


class _EndedComparison(NamedTuple):
    comparison: HorizonComparison
    weekdays: tuple[int, ...]  # on how many days of each weekday there were readings; empty for shorter stages


def _compare_at_horizon(
    service: RolloutService, rollout: Rollout, question: Question, judgement: Judgement, look: Look, policy: Policy
) -> _EndedComparison:
    """The result of a long comparison.

    The course is read from the last look of each day since the stage began; shorter stages are cut into seven parts.
    """
    stage, since = rollout.current_stage, rollout.stage_since
    assert since is not None
    day = min(timedelta(days=1), stage.min_hold / DAYS_OF_WEEK)
    # A last part that has only just begun says nothing.
    ends = [since + day * number for number in range(1, round((look.at - since) / day) + 1)]
    with service.database.reading() as connection:
        saved = looks.load_last_before(connection, rollout.id, ends[:-1])
    seen = [record.load_recorded_look(one.look_json).look if one is not None else None for one in saved]
    courses = tuple(course.build_course(question, [*seen, look], metric) for metric in stage.decide_on)
    found = horizon.compare_at_horizon(question, look, judgement.measures, stage.decide_on, courses)
    return _EndedComparison(found, _count_weekdays(courses, ends, policy) if day == timedelta(days=1) else ())


def _count_weekdays(courses: Sequence[MetricCourse], ends: Sequence[datetime], policy: Policy) -> tuple[int, ...]:
    """On how many days of each weekday, Monday first, any of these metrics had a reading of both versions."""
    counted = [0] * DAYS_OF_WEEK
    for number, end in enumerate(ends):
        days = [one.days[number] for one in courses if number < len(one.days)]
        if any(one.canary is not None and one.control is not None for one in days):
            counted[policy.to_local_time(end - timedelta(days=1)).weekday()] += 1
    return tuple(counted)


def compute_digest(text: str) -> str:
    """SHA-256 of the text in hex, as evidence events hold it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _parse_previous_look(latest: tuple[int, str] | None, rollout: Rollout) -> PreviousLook:
    if latest is None:
        return PreviousLook(
            number=0,
            state=JudgingState(),
            question="",
            digest=EMPTY_DIGEST,
            evidence_look=0,
            evidence_state=EMPTY_DIGEST,
        )
    number, text = latest
    kept = parse_saved_state(text)
    judgement = kept.load_judgement()
    found = PreviousLook(
        number=number,
        state=judgement.state,
        verdict=judgement.verdict,
        content_digest=kept.shown,
        question=kept.question,
        digest=kept.digest,
        evidence_look=kept.evidence_look,
        evidence_state=kept.evidence_state,
    )
    newest = rollout.evidence
    if newest is None or newest.last_look <= found.evidence_look:
        return found
    # An evidence event was written since: the next looks are chained to the state it recorded.
    return replace(found, digest=EMPTY_DIGEST, evidence_look=newest.last_look, evidence_state=newest.state_after)
