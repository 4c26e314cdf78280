"""Judge one look. Deterministic: the same question, look and state always give the same judgement."""

from dataclasses import replace
from datetime import datetime

from core.judging.engine.accumulate import GATE_REQUESTS, advance
from core.judging.engine.score import Score, by_segment, scores, segment_scores
from core.judging.look.look import Look
from core.judging.model.evidence import REQUESTS
from core.judging.model.judgement import Judgement
from core.judging.model.limits import Role
from core.judging.model.question import Question
from core.judging.model.state import State
from core.judging.model.verdict import Cleared, Continue, Hold, NoControl, RollBack, Verdict
from core.judging.report import measures
from core.judging.verdict import findings as deciding
from core.judging.verdict import health, noninferiority

STANDING_OUT = 5
"""Rows of segments that a judgement includes at most."""


def judge(question: Question, look: Look, before: State) -> Judgement:
    """Judge a look and return the verdict with the state for the next look.

    The first that applies decides: a rollback (permanent), a sample-ratio mismatch, a hold, missing data, too little
    data, no control left, all limits shown to be kept, and otherwise continue.
    """
    state = advance(question, look, before)
    state = replace(state, split=health.check_split(question, look, before.split))
    state = replace(state, segments=segment_scores(question, look, state))
    scored = scores(question, look, state)
    state = replace(state, beyond_since=_beyond_since(look, before, scored))
    kept = noninferiority.cleared(question, look, state)
    state = replace(state, kept=tuple(position for position, one in kept.items() if one.kept))
    verdict = _verdict(question, look, state, scored, kept)
    if isinstance(verdict, RollBack):
        state = replace(state, rolled_back=verdict)
    here = state.total(question.current, REQUESTS)
    units = next((one for one in look.exposures if one.stage == question.current), None)
    return Judgement(
        verdict=verdict,
        measures=measures.everybody(question, look, state, scored, kept),
        state=state,
        canary_requests=round(here.canary_trials),
        control_requests=round(here.control_trials),
        canary_units=units.canary if units else 0,
        control_units=units.control if units else 0,
        exposed_requests=round(sum(state.total(stage, REQUESTS).canary_trials for stage in question.exposed)),
        exposed_units=max((one.canary for one in look.exposures), default=0),
        notes=deciding.notes(question, look, state, scored),
        segments=measures.segments(question, state, STANDING_OUT),
        segments_checked=sum(one.sight.n_canary >= GATE_REQUESTS for one in state.segments),
    )


def _verdict(
    question: Question, look: Look, state: State, scored: tuple[Score, ...], kept: noninferiority.Clearances
) -> Verdict:
    if state.rolled_back is not None:
        return state.rolled_back
    if findings := deciding.fired(question, look, state, scored, Role.ROLLBACK):
        return RollBack(findings=findings)
    if state.split.found is not None:
        return state.split.found
    if findings := deciding.fired(question, look, state, scored, Role.HOLD):
        return Hold(findings=findings)
    if findings := deciding.discovered(question, look, state, scored, Role.HOLD):
        return Hold(findings=findings)
    unknown = (
        health.silence(question, look, state)
        or health.broken_source(question, look, state)
        or health.too_early(question, state)
    )
    if unknown is not None:
        return unknown
    if question.stage.exposes and not question.stage.control_left:
        return NoControl()
    if (watched := noninferiority.all_kept(question, look, kept)) is not None:
        return Cleared(watched=watched)
    return Continue()


def _beyond_since(look: Look, before: State, scored: tuple[Score, ...]) -> dict[str, datetime]:
    beyond = [str(score.limit) for score in scored if score.beyond]
    beyond += [key for score in scored for key, one in by_segment(score.segments) if one.counted is not None]
    return {key: before.beyond_since.get(key, look.at) for key in beyond}
