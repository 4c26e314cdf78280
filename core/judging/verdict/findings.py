"""Violated limits: the file's by a weighted sum with family-wise error alpha, the default ones by e-BH."""

from dataclasses import dataclass
from math import log

import numpy as np

from core.judging.engine.score import CriterionScore, combine_log_e, has_lasted
from core.judging.limits.default_limits import FALSE_DISCOVERY_RATE
from core.judging.limits.hypothesis import measure_effect
from core.judging.limits.limits import CATEGORY_UNIT, Limit, LimitKind, LimitRole, LimitScale, format_limit
from core.judging.look import count_new
from core.judging.look.look import Look
from core.judging.model import confidence_range
from core.judging.model.alpha_shares import one_segment_share, overall_share
from core.judging.model.confidence_range import Estimate
from core.judging.model.question import Question
from core.judging.model.state import JudgingState, SegmentScore
from core.judging.model.verdict import Finding
from core.judging.verdict.segment_that_stands_out import does_segment_stand_out
from core.metrics.catalogue import DesiredDirection
from core.stats import multiplicity

MIN_REPORTS = 3
"""Complaints in the canary, each from another person or another hour, that a rollback needs at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Violation:
    """A limit whose estimate is beyond it and has lasted: overall (the strongest estimate there), in these segments, or
    both."""

    score: CriterionScore
    overall: Estimate | None
    segments: tuple[SegmentScore, ...]
    log_e: float


def find_violations(
    question: Question,
    look: Look,
    state: JudgingState,
    scored: tuple[CriterionScore, ...],
    role: LimitRole,
    *,
    at_once: bool = False,
) -> tuple[Finding, ...]:
    """Findings of the file's limits for a role, strongest first; empty while they do not reach the role's threshold.

    The threshold is sum_i w_i E_i >= 1 / alpha with equal weights, over limits whose estimate is beyond and has lasted
    for as long as `for` asks; with `at_once`, whether it has lasted or not. The strongest one is always named; e-BH
    selects which others are.
    """
    positions = question.acting_positions(role)
    if not positions:
        return ()
    share = log(len(positions))
    bar = log(1 / question.alpha)
    checked = (_check_violation(question, look, state, scored[i], at_once=at_once) for i in positions)
    ready = [one for one in checked if one is not None]
    if not ready or float(np.logaddexp.reduce([one.log_e - share for one in ready])) < bar:
        return ()
    ready.sort(key=lambda one: (-one.log_e, one.score.limit))
    tests = np.full(len(positions), -np.inf)
    tests[: len(ready)] = [one.log_e for one in ready]
    also = multiplicity.e_bh(tests, FALSE_DISCOVERY_RATE)
    return tuple(
        _build_violation_finding(question, one, bar + share) for i, one in enumerate(ready) if i == 0 or also[i]
    )


def find_pending(
    question: Question, look: Look, state: JudgingState, scored: tuple[CriterionScore, ...]
) -> tuple[Finding, ...]:
    """Findings that lack nothing but the time that `for` asks: the limit is broken, and not yet for long enough."""
    if not any(limit.lasting for limit in question.limits):
        return ()
    return tuple(
        one
        for role in (LimitRole.ROLLBACK, LimitRole.HOLD)
        if not find_violations(question, look, state, scored, role)
        for one in find_violations(question, look, state, scored, role, at_once=True)
    )


def find_discoveries(question: Question, scored: tuple[CriterionScore, ...], role: LimitRole) -> tuple[Finding, ...]:
    """Findings of the default limits for a role, strongest first: e-BH over the overall and segment comparisons."""
    of = [one for one in scored[len(question.limits) :] if question.criteria[one.limit].role is role]
    tests: list[tuple[float, Limit, Estimate | None, str]] = []
    for score in of:
        limit = question.criteria[score.limit]
        tests.append((score.counted, limit, score.strongest, ""))
        if role is LimitRole.HOLD:
            tests += [
                (one.counted if one.counted is not None else -np.inf, limit, one.sight, one.segment)
                for one in score.segments
            ]
    if not tests:
        return ()
    found = multiplicity.e_bh(np.array([test[0] for test in tests]), FALSE_DISCOVERY_RATE)
    bar = log(len(tests) / FALSE_DISCOVERY_RATE)
    said = [test for test, yes in zip(tests, found, strict=True) if yes]
    said.sort(key=lambda test: -test[0])
    return tuple(
        _build_finding(limit, sight, strength, bar, segment, _explain_discovery(limit))
        for strength, limit, sight, segment in said
        if sight is not None
    )


def build_notes(
    question: Question, look: Look, state: JudgingState, scored: tuple[CriterionScore, ...]
) -> tuple[Finding, ...]:
    """Findings that are reported but hold nothing: violated dry-run and watch limits, and unexpected changes."""
    bar = log(1 / question.alpha)
    silent = tuple(
        _build_finding(limit, score.strongest, score.counted, bar, "", "dry run" if limit.dry_run else "")
        for position, (limit, score) in enumerate(zip(question.limits, scored, strict=False))
        if not limit.can_act
        and score.counted >= bar
        and score.strongest is not None
        and has_lasted(limit, str(position), look, state)
    )
    return silent + find_discoveries(question, scored, LimitRole.WATCH)


def _check_violation(
    question: Question, look: Look, state: JudgingState, score: CriterionScore, *, at_once: bool
) -> _Violation | None:
    limit = question.criteria[score.limit]
    everybody = score.strongest if at_once or has_lasted(limit, str(score.limit), look, state) else None
    if not _has_enough_reports(question, state, limit):
        everybody = None
    segments = tuple(
        one
        for one in score.segments
        if one.counted is not None
        and (at_once or has_lasted(limit, f"{score.limit}|{one.segment}", look, state))
        and _has_enough_reports(question, state, limit, one.segment)
    )
    if everybody is None and not segments:
        return None
    counted = combine_log_e(question, score, segments, with_overall=everybody is not None)
    return _Violation(score=score, overall=everybody, segments=segments, log_e=counted)


def _has_enough_reports(question: Question, state: JudgingState, limit: Limit, segment: str = "") -> bool:
    """Whether there are enough reports; always True except for rollback limits on metrics that count events."""
    if count_new.rests_on_readings(limit) or limit.is_per_category or limit.role is not LimitRole.ROLLBACK:
        return True
    return sum(state.get_total(s, limit.metric, segment).canary_events for s in question.exposed_stages) >= MIN_REPORTS


def _build_violation_finding(question: Question, violation: _Violation, threshold: float) -> Finding:
    """The overall finding, or that of the heaviest segment if the overall estimate is not beyond the limit."""
    limit, share = question.criteria[violation.score.limit], overall_share(question)
    heaviest = sorted(violation.segments, key=lambda one: -(one.counted or 0.0))
    if violation.overall is not None:
        larger = [one.segment for one in heaviest if does_segment_stand_out(limit, one.sight, violation.overall)]
        mostly = f"most in {larger[0]}" if larger else ""
        return _build_finding(limit, violation.overall, violation.score.log_e, threshold - log(share), "", mostly)
    worst = heaviest[0]
    return _build_finding(
        limit, worst.sight, worst.log_e, threshold - log(one_segment_share(question)), worst.segment, ""
    )


def _explain_discovery(limit: Limit) -> str:
    """Why a finding is reported although the file sets no limit for it."""
    entry = limit.entry
    rises = limit.kind is LimitKind.RISES_BY
    if entry.good in {DesiredDirection.UP, DesiredDirection.DOWN} and (entry.good is DesiredDirection.UP) == rises:
        return "better than expected: check for leakage, truncation or a filter that is off"
    if entry.good is DesiredDirection.UNCHANGED and not rises:
        return "less than before, where nothing should change: is a filter off?"
    return "not among the agreed limits"


def _build_finding(
    limit: Limit, estimate: Estimate, log_e: float, threshold: float, segment: str, note: str
) -> Finding:
    entry = limit.entry
    relative = limit.scale is LimitScale.RELATIVE
    difference = None
    if estimate.canary is not None and estimate.control is not None and (not relative or estimate.control > 0):
        difference = measure_effect(limit, estimate.canary, estimate.control)
    low, high = (None, None) if limit.is_absolute else confidence_range.compute_range(limit, entry, estimate)
    return Finding(
        metric=limit.metric,
        kind=limit.kind.value,
        limit_text=format_limit(limit),
        canary=estimate.canary,
        control=estimate.control,
        difference=difference,
        low=low,
        high=high,
        log_e=log_e,
        threshold=threshold,
        note="; ".join(text for text in (estimate.note, note) if text),
        title=entry.title,
        unit=CATEGORY_UNIT if limit.is_per_category else entry.unit,
        relative=relative,
        segment=segment,
    )
