"""Judge one look. Deterministic: the same question, look and state always give the same judgement."""

from dataclasses import replace
from datetime import datetime

from core.judging.engine.accumulate import GATE_REQUESTS, advance_state
from core.judging.engine.judge_trust import expect_silence, remember_trust, set_untrusted_aside
from core.judging.engine.score import CriterionScore, score_criteria
from core.judging.engine.segment_scores import key_by_segment, score_segments
from core.judging.limits.limits import LimitRole
from core.judging.look.look import Look
from core.judging.model.evidence import REQUESTS
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Cleared, Continue, Hold, NoControl, RollBack, Verdict
from core.judging.report import measures
from core.judging.verdict import findings as limit_findings
from core.judging.verdict import missing_data, noninferiority, sample_ratio

MAX_SEGMENT_ROWS = 5
"""Rows of segments that a judgement includes at most."""


def judge(question: Question, look: Look, before: JudgingState) -> Judgement:
    """Judge a look and return the verdict with the state for the next look.

    The first that applies decides: a rollback (permanent), a sample-ratio mismatch, a hold, missing data, too little
    data, no control left, all limits shown to be kept, and otherwise continue.
    """
    began, before = before, set_untrusted_aside(question, look.judge, before)
    state = expect_silence(look.judge, advance_state(question, look, before))
    state = replace(state, split=sample_ratio.check_split(question, look, before.split))
    state = replace(state, segments=score_segments(question, look, state))
    scored = score_criteria(question, look, state)
    state = replace(state, beyond_since=_update_beyond_since(look, before, scored))
    kept = noninferiority.assess_limits(question, look, state)
    state = replace(state, kept=tuple(position for position, one in kept.items() if one.kept))
    verdict = _decide_verdict(question, look, state, scored, kept)
    if isinstance(verdict, RollBack):
        state = replace(state, rolled_back=verdict)
    state = remember_trust(question, look.judge, began, state)
    here = state.get_total(question.current, REQUESTS)
    units = next((one for one in look.exposures if one.stage == question.current), None)
    return Judgement(
        verdict=verdict,
        measures=measures.build_overall_measures(question, look, state, scored, kept),
        state=state,
        canary_requests=round(here.canary_trials),
        control_requests=round(here.control_trials),
        canary_units=units.canary if units else 0,
        control_units=units.control if units else 0,
        exposed_requests=round(
            sum(state.get_total(stage, REQUESTS).canary_trials for stage in question.exposed_stages)
        ),
        exposed_units=max((one.canary for one in look.exposures), default=0),
        notes=limit_findings.build_notes(question, look, state, scored),
        pending=limit_findings.find_pending(question, look, state, scored),
        segments=measures.build_segment_measures(question, state, MAX_SEGMENT_ROWS),
        segments_checked=sum(one.sight.n_canary >= GATE_REQUESTS for one in state.segments),
    )


def _decide_verdict(
    question: Question,
    look: Look,
    state: JudgingState,
    scored: tuple[CriterionScore, ...],
    kept: noninferiority.NoninferiorityByLimit,
) -> Verdict:
    if state.rolled_back is not None:
        return state.rolled_back
    if findings := limit_findings.find_violations(question, look, state, scored, LimitRole.ROLLBACK):
        return RollBack(findings=findings)
    if state.split.found is not None:
        return state.split.found
    if findings := limit_findings.find_violations(question, look, state, scored, LimitRole.HOLD):
        return Hold(findings=findings)
    if findings := limit_findings.find_discoveries(question, scored, LimitRole.HOLD):
        return Hold(findings=findings)
    unknown = (
        missing_data.find_unread_source(question, look)
        or missing_data.find_silent_arm(question, look, state)
        or missing_data.find_broken_source(question, look, state)
        or missing_data.check_too_early(question, state)
    )
    if unknown is not None:
        return unknown
    if question.current_stage.lacks_control:
        return NoControl()
    if (watched := noninferiority.watched_if_cleared(question, look, kept)) is not None:
        return Cleared(watched=watched)
    return Continue()


def _update_beyond_since(look: Look, before: JudgingState, scored: tuple[CriterionScore, ...]) -> dict[str, datetime]:
    beyond = [str(score.limit) for score in scored if score.is_beyond_limit]
    beyond += [key for score in scored for key, one in key_by_segment(score.segments) if one.counted is not None]
    return {key: before.beyond_since.get(key, look.at) for key in beyond}
