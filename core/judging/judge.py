"""The verdict on one look: the same question, look and state give the same judgement, to the byte."""

from dataclasses import dataclass, replace
from datetime import datetime
from math import log

import numpy as np

from core.judging import health, ranges
from core.judging.accumulate import advance
from core.judging.evidence import REQUESTS
from core.judging.hypothesis import effect
from core.judging.limits import Limit, Role, Scale, wording
from core.judging.look import Look
from core.judging.measures import measures
from core.judging.question import Question
from core.judging.score import Score, has_lasted, scores
from core.judging.state import State
from core.judging.verdict import Continue, Finding, Hold, Measure, RollBack, Verdict
from core.metrics.catalogue import CATALOGUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with what it rests on. Requests and units are those of the stage under way; `exposed_*` are the
    canary's over the whole rollout (units: at least). `notes` are told and hold nothing: dry-run limits that would have
    spoken, what is unexpectedly better. `segments` has a row per limit and segment, of the last look at segments."""

    verdict: Verdict
    measures: tuple[Measure, ...]
    state: State
    canary_requests: int
    control_requests: int
    canary_units: int
    control_units: int
    exposed_requests: int
    exposed_units: int
    notes: tuple[Finding, ...] = ()
    segments: tuple[Measure, ...] = ()


def judge(question: Question, look: Look, before: State) -> Judgement:
    """Roll back before anything else and for ever; then a skewed split, a hold, silence, nothing to judge by yet."""
    state = advance(question, look, before)
    scored = scores(question, look, state)
    state = replace(state, beyond_since=_beyond_since(look, before, scored))
    verdict = _verdict(question, look, state, scored)
    if isinstance(verdict, RollBack):
        state = replace(state, rolled_back=verdict)
    here = state.total(question.current, REQUESTS)
    units = next((one for one in look.exposures if one.stage == question.current), None)
    return Judgement(
        verdict=verdict,
        measures=measures(question, look, state, scored),
        state=state,
        canary_requests=round(here.canary_trials),
        control_requests=round(here.control_trials),
        canary_units=units.canary if units else 0,
        control_units=units.control if units else 0,
        exposed_requests=round(sum(state.total(stage, REQUESTS).canary_trials for stage in question.exposed)),
        exposed_units=max((one.canary for one in look.exposures), default=0),
        notes=_dry_run(question, look, state, scored),
    )


def _verdict(question: Question, look: Look, state: State, scored: tuple[Score, ...]) -> Verdict:
    if state.rolled_back is not None:
        return state.rolled_back
    if findings := _fired(question, look, state, scored, Role.ROLLBACK):
        return RollBack(findings=findings)
    if (skewed := health.skew(question, look)) is not None:
        return skewed
    if findings := _fired(question, look, state, scored, Role.HOLD):
        return Hold(findings=findings)
    return health.silence(question, look, state) or health.too_early(question, state) or Continue()


def _fired(question: Question, look: Look, state: State, scored: tuple[Score, ...], role: Role) -> tuple[Finding, ...]:
    """Findings of the limits that together pass the bar of a role's alpha, the strongest first; empty below it.

    sum of w_i E_i >= 1 / alpha with equal shares w_i, over the limits whose estimate is, and has lasted, beyond.
    """
    positions = question.acting(role)
    if not positions:
        return ()
    share = log(len(positions))
    bar = log(1 / question.alpha)
    ready = [scored[i] for i in positions if scored[i].beyond and has_lasted(question.limits[i], i, look, state)]
    if not ready or float(np.logaddexp.reduce([score.counted - share for score in ready])) < bar:
        return ()
    ready.sort(key=lambda score: (-score.counted, score.limit))
    speaking = [score for at, score in enumerate(ready) if at == 0 or score.counted >= bar + share]
    return tuple(_finding(question.limits[score.limit], score, bar + share) for score in speaking)


def _dry_run(question: Question, look: Look, state: State, scored: tuple[Score, ...]) -> tuple[Finding, ...]:
    bar = log(1 / question.alpha)
    return tuple(
        _finding(limit, score, bar)
        for position, (limit, score) in enumerate(zip(question.limits, scored, strict=True))
        if limit.dry_run and score.counted >= bar and has_lasted(limit, position, look, state)
    )


def _finding(limit: Limit, score: Score, threshold: float) -> Finding:
    sight, entry = score.strongest, CATALOGUE[limit.metric]
    assert sight is not None
    relative = limit.scale is Scale.RELATIVE
    difference = None
    if sight.canary is not None and sight.control is not None and (not relative or sight.control > 0):
        difference = effect(limit, sight.canary, sight.control)
    low, high = (None, None) if limit.absolute else ranges.shown(limit, entry, sight)
    return Finding(
        metric=limit.metric,
        kind=limit.kind.value,
        limit_text=wording(limit),
        canary=sight.canary,
        control=sight.control,
        difference=difference,
        low=low,
        high=high,
        log_e=score.log_e,
        threshold=threshold,
        note=sight.note,
        title=entry.title,
        unit=entry.unit,
        relative=relative,
    )


def _beyond_since(look: Look, before: State, scored: tuple[Score, ...]) -> dict[str, datetime]:
    return {str(score.limit): before.beyond_since.get(str(score.limit), look.at) for score in scored if score.beyond}
