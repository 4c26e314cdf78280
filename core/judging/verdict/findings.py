"""Violated limits: the file's by a weighted sum with family-wise error alpha, the default ones by e-BH."""

from dataclasses import dataclass
from math import log

import numpy as np

from core.judging.engine.score import Score, combined, has_lasted
from core.judging.look import new_counts
from core.judging.look.look import SLOTS, Look
from core.judging.model import confidence_range
from core.judging.model.alpha_shares import of_everybody
from core.judging.model.confidence_range import Seen
from core.judging.model.default_limits import FALSE_DISCOVERIES
from core.judging.model.hypothesis import effect
from core.judging.model.limits import CATEGORY_UNIT, Kind, Limit, Role, Scale, wording
from core.judging.model.question import Question
from core.judging.model.state import SegmentScore, State
from core.judging.model.verdict import Finding
from core.metrics.catalogue import CATALOGUE, Good
from core.stats import multiplicity

REPORTERS = 3
"""Complaints in the canary, each from another person or another hour, that a rollback needs at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A limit whose estimate is beyond it and has lasted: overall (the strongest estimate there), in these segments, or
    both."""

    score: Score
    everybody: Seen | None
    segments: tuple[SegmentScore, ...]
    counted: float


def fired(question: Question, look: Look, state: State, scored: tuple[Score, ...], role: Role) -> tuple[Finding, ...]:
    """Findings of the file's limits for a role, strongest first; empty while they do not reach the role's threshold.

    The threshold is sum_i w_i E_i >= 1 / alpha with equal weights, over limits whose estimate is beyond and has lasted.
    The strongest one is always named; e-BH selects which others are.
    """
    positions = question.acting(role)
    if not positions:
        return ()
    share = log(len(positions))
    bar = log(1 / question.alpha)
    ready = [one for i in positions if (one := _ready(question, look, state, scored[i])) is not None]
    if not ready or float(np.logaddexp.reduce([one.counted - share for one in ready])) < bar:
        return ()
    ready.sort(key=lambda one: (-one.counted, one.score.limit))
    tests = np.full(len(positions), -np.inf)
    tests[: len(ready)] = [one.counted for one in ready]
    also = multiplicity.e_bh(tests, FALSE_DISCOVERIES)
    return tuple(_speaking(question, one, bar + share) for i, one in enumerate(ready) if i == 0 or also[i])


def discovered(
    question: Question, look: Look, state: State, scored: tuple[Score, ...], role: Role
) -> tuple[Finding, ...]:
    """Findings of the default limits for a role, strongest first: e-BH over the overall and segment comparisons."""
    of = [one for one in scored[len(question.limits) :] if question.criteria[one.limit].role is role]
    tests: list[tuple[float, Limit, Seen | None, str]] = []
    for score in of:
        limit = question.criteria[score.limit]
        tests.append((score.counted, limit, score.strongest, ""))
        if role is Role.HOLD:
            tests += [
                (one.counted if one.counted is not None else -np.inf, limit, one.sight, one.segment)
                for one in score.segments
            ]
    if not tests:
        return ()
    found = multiplicity.e_bh(np.array([test[0] for test in tests]), FALSE_DISCOVERIES)
    bar = log(len(tests) / FALSE_DISCOVERIES)
    said = [test for test, yes in zip(tests, found, strict=True) if yes]
    said.sort(key=lambda test: -test[0])
    return tuple(
        _finding(limit, sight, strength, bar, segment, _unforeseen(limit))
        for strength, limit, sight, segment in said
        if sight is not None
    )


def notes(question: Question, look: Look, state: State, scored: tuple[Score, ...]) -> tuple[Finding, ...]:
    """Findings that are reported but hold nothing: violated dry-run and watch limits, and unexpected changes."""
    bar = log(1 / question.alpha)
    silent = tuple(
        _finding(limit, score.strongest, score.counted, bar, "", "dry run" if limit.dry_run else "")
        for position, (limit, score) in enumerate(zip(question.limits, scored, strict=False))
        if not limit.acts
        and score.counted >= bar
        and score.strongest is not None
        and has_lasted(limit, str(position), look, state)
    )
    return silent + discovered(question, look, state, scored, Role.WATCH)


def _ready(question: Question, look: Look, state: State, score: Score) -> _Ready | None:
    limit = question.criteria[score.limit]
    everybody = score.strongest if has_lasted(limit, str(score.limit), look, state) else None
    if not _reported(question, state, limit):
        everybody = None
    segments = tuple(
        one
        for one in score.segments
        if one.counted is not None
        and has_lasted(limit, f"{score.limit}|{one.segment}", look, state)
        and _reported(question, state, limit, one.segment)
    )
    if everybody is None and not segments:
        return None
    counted = combined(question, score, segments, everybody=everybody is not None)
    return _Ready(score=score, everybody=everybody, segments=segments, counted=counted)


def _reported(question: Question, state: State, limit: Limit, segment: str = "") -> bool:
    """Whether there are enough reports; always True except for rollback limits on metrics that count events."""
    if new_counts.counted(limit) or limit.per_category or limit.role is not Role.ROLLBACK:
        return True
    return sum(state.total(s, limit.metric, segment).canary_events for s in question.exposed) >= REPORTERS


def _speaking(question: Question, ready: _Ready, threshold: float) -> Finding:
    """The overall finding, or that of the heaviest segment if the overall estimate is not beyond the limit."""
    limit, share = question.criteria[ready.score.limit], of_everybody(question)
    heaviest = sorted(ready.segments, key=lambda one: -(one.counted or 0.0))
    if ready.everybody is not None:
        mostly = f"most in {heaviest[0].segment}" if heaviest else ""
        return _finding(limit, ready.everybody, ready.score.log_e, threshold - log(share), "", mostly)
    worst = heaviest[0]
    return _finding(limit, worst.sight, worst.log_e, threshold - log((1 - share) / SLOTS), worst.segment, "")


def _unforeseen(limit: Limit) -> str:
    """Why a finding is reported although the file sets no limit for it."""
    entry = CATALOGUE[limit.metric]
    rises = limit.kind is Kind.RISES_BY
    if entry.good in {Good.UP, Good.DOWN} and (entry.good is Good.UP) == rises:
        return "better than expected: check for leakage, truncation or a filter that is off"
    if entry.good is Good.UNCHANGED and not rises:
        return "less than before, where nothing should change: is a filter off?"
    return "not among the agreed limits"


def _finding(limit: Limit, sight: Seen, strength: float, threshold: float, segment: str, note: str) -> Finding:
    entry = CATALOGUE[limit.metric]
    relative = limit.scale is Scale.RELATIVE
    difference = None
    if sight.canary is not None and sight.control is not None and (not relative or sight.control > 0):
        difference = effect(limit, sight.canary, sight.control)
    low, high = (None, None) if limit.absolute else confidence_range.shown(limit, entry, sight)
    return Finding(
        metric=limit.metric,
        kind=limit.kind.value,
        limit_text=wording(limit),
        canary=sight.canary,
        control=sight.control,
        difference=difference,
        low=low,
        high=high,
        log_e=strength,
        threshold=threshold,
        note="; ".join(text for text in (sight.note, note) if text),
        title=entry.title,
        unit=CATEGORY_UNIT if limit.per_category else entry.unit,
        relative=relative,
        segment=segment,
    )
