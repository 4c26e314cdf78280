"""Non-inferiority: whether each limit is shown to be kept in the current stage.

All limits must be shown to be kept (an intersection-union test), so no correction for multiplicity is needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import TypeAlias

from core.judging.engine.accumulate import GATE_UNITS, is_gate_open
from core.judging.limits.hypothesis import Hypothesis, build_noninferiority_hypotheses
from core.judging.limits.limits import Limit
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.leave_one_out import (
    LeaveOneOut,
    remaining_share_against_bound,
    robust_log_e,
    robust_log_e_of_mean,
)
from core.judging.look.look import Look
from core.judging.model.evidence import EVERYONE, exceedance_cell
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.stats import noninferiority_planning as planning
from core.stats.sequential import mean, proportion

LOG_THRESHOLD = log(1 / planning.NONINFERIORITY_ALPHA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noninferiority:
    """Evidence that a limit is kept. `log_e` is None if there is none yet.

    `kept`: shown at 5 % in this stage, now or earlier. `rare`: too rare to be shown in the time the stage has.
    """

    log_e: float | None
    kept: bool = False
    rare: bool = False


NoninferiorityByLimit: TypeAlias = Mapping[int, Noninferiority]
"""By position, for the file's limits that can act, except those on new error categories."""


def assess_limits(question: Question, look: Look, state: JudgingState) -> NoninferiorityByLimit:
    """Non-inferiority of every limit that can act, by position. `state` is the state after the look."""
    if question.current not in question.exposed_stages:
        return {}
    return {
        position: _assess_limit(question, look, state, position, limit)
        for position, limit in enumerate(question.limits)
        if limit.can_act
        and not limit.is_per_category
        and (limit.is_absolute or question.current in question.compared_stages)
    }


def watched_if_cleared(question: Question, look: Look, kept: NoninferiorityByLimit) -> tuple[str, ...] | None:
    """Metrics that are only watched if everything else is cleared, else None.

    Cleared means that every limit is shown to be kept unless it is too rare, and that 100 canary units were exposed.
    """
    here = next((one.canary for one in look.exposures if one.stage == question.current), 0)
    if here < GATE_UNITS or not kept or not all(one.kept or one.rare for one in kept.values()):
        return None
    if not any(one.kept for one in kept.values()):
        return None
    rare = (question.limits[position].metric for position, one in kept.items() if not one.kept)
    return tuple(dict.fromkeys(rare))


def _assess_limit(question: Question, look: Look, state: JudgingState, position: int, limit: Limit) -> Noninferiority:
    standing = look.find_comparison(question.comparison_cell(limit.metric), question.current)
    if standing is None:  # no data yet, or none since the mean's cap was set
        return Noninferiority(log_e=None, kept=position in state.kept)
    if limit.entry.is_average:
        found = list(_mean_log_e_values(question, look, state, position, standing))
    else:
        found = list(_exact_log_e_values(question, look, state, position, standing))
    log_e = min(found) if found else None
    kept = position in state.kept or (log_e is not None and log_e >= LOG_THRESHOLD)
    return Noninferiority(
        log_e=log_e, kept=kept, rare=not kept and _is_too_rare(question, look, state, limit, standing)
    )


def _exact_log_e_values(
    question: Question, look: Look, state: JudgingState, position: int, standing: ArmComparison
) -> Iterator[float]:
    limit = question.limits[position]
    quantile = limit.entry.quantile
    counted = standing
    if quantile is not None and limit.is_absolute:
        cell = exceedance_cell(limit.metric, limit.amount)
        counted = look.find_comparison(cell, question.current) or standing
    for hypothesis in build_noninferiority_hypotheses(limit):
        key = (position, hypothesis.side, "clear", question.current, EVERYONE)
        track = next((x for x in state.tracks if (x.limit, x.side, x.part, x.since, x.segment) == key), None)
        if track is None:
            yield 0.0
            continue
        left = counted.without_loudest_bucket(hypothesis.side)
        if quantile is not None and (not limit.is_absolute or counted is standing):
            left = None  # histograms have no buckets to leave out
        share = None if left is None else _remaining_share(limit, hypothesis, counted, left, quantile)
        yield robust_log_e(track.components, counted.design_effect, left, share)


def _remaining_share(
    limit: Limit, hypothesis: Hypothesis, standing: ArmComparison, left: LeaveOneOut, quantile: float | None
) -> float:
    """Share of the non-inferiority evidence that remains without the bucket that says most for it.

    Evidence grows with the square of the distance from the limit.
    """
    if limit.is_absolute:
        bound = 1 - quantile if quantile is not None else limit.amount
        inside = 0 < bound < 1
        return remaining_share_against_bound(standing.level, standing.level_weight, bound, left) if inside else 1.0
    whole = _distance_inside_limit(hypothesis, standing.canary, standing.control)
    rest = _distance_inside_limit(hypothesis, left.canary, left.control)
    if whole is None or rest is None or whole <= 0 or rest <= 0:
        return 0.0
    return min((rest / whole) ** 2, 1.0)


def _distance_inside_limit(hypothesis: Hypothesis, canary: float | None, control: float | None) -> float | None:
    """Distance inside the limit, negative beyond it; None when unknown."""
    if canary is None or control is None:
        return None
    return hypothesis.sign * (canary - hypothesis.ratio * control - hypothesis.shift)


def _mean_log_e_values(
    question: Question, look: Look, state: JudgingState, position: int, standing: ArmComparison
) -> Iterator[float]:
    limit, tau = question.limits[position], state.taus.get(str(position))
    if tau is None or not is_gate_open(look, standing.metric, question.current):
        return
    for hypothesis in build_noninferiority_hypotheses(limit):
        error = standing.level_error if limit.is_absolute else _find_margin_error(look, position, hypothesis, standing)
        estimate = _mean_distance_inside_limit(limit, hypothesis, standing.level, standing.canary, standing.control)
        if estimate is None or error is None or error <= 0:
            return
        whole = float(mean.log_e_half_normal(estimate / error, (tau / error) ** 2))
        left = standing.without_loudest_bucket(hypothesis.side)
        if left is None:
            yield whole
            continue
        # The margin is assumed to widen the error by the same factor without that bucket.
        own, before = (left.level_error, standing.level_error) if limit.is_absolute else (left.error, standing.error)
        rest, scale = (
            _mean_distance_inside_limit(limit, hypothesis, left.level, left.canary, left.control),
            error / (before or error),
        )
        if rest is None or own is None or own <= 0:
            yield min(whole, 0.0)
            continue
        own *= scale
        yield robust_log_e_of_mean(whole, float(mean.log_e_half_normal(rest / own, (tau / own) ** 2)))


def _mean_distance_inside_limit(
    limit: Limit, hypothesis: Hypothesis, level: float | None, canary: float | None, control: float | None
) -> float | None:
    """Distance of a mean's estimate inside the limit, negative beyond it; None when unknown."""
    if limit.is_absolute:
        return None if level is None else limit.amount - level
    return _distance_inside_limit(hypothesis, canary, control)


def _find_margin_error(look: Look, position: int, hypothesis: Hypothesis, standing: ArmComparison) -> float | None:
    keys = (position, hypothesis.side, standing.since)
    return next((one.error for one in look.margins if (one.limit, one.side, one.since) == keys), None)


def _is_too_rare(question: Question, look: Look, state: JudgingState, limit: Limit, standing: ArmComparison) -> bool:
    """Whether showing it at equal rates would need more canary trials than the stage can have by its end."""
    stage, began = question.current_stage, state.stage_seen
    entry = limit.entry
    if stage.ends is None or began is None or look.at <= began or entry.has_amounts:
        return False
    whole = (stage.ends - began) / (look.at - began)
    expected = standing.canary_weight * max(whole, 1.0) / standing.design_effect
    share = standing.canary_weight / max(standing.canary_weight + standing.control_weight, 1.0)
    rate = proportion.clip_rate(standing.control or 0.0)
    if limit.is_absolute or not 0 < share < 1:
        return False
    needed = max(
        planning.noninferiority_canary_trials(rate, side=one.side, ratio=one.ratio, shift=one.shift, canary_share=share)
        for one in build_noninferiority_hypotheses(limit)
    )
    return needed > expected
