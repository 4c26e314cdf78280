"""Non-inferiority: whether each limit is shown to be kept in the current stage.

All limits must be shown to be kept (an intersection-union test), so no correction for multiplicity is needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import TypeAlias

from core.judging.engine.accumulate import GATE_UNITS, gate_is_open
from core.judging.look.arm_comparison import Standing
from core.judging.look.leave_one_out import Without, share_against, upheld, upheld_mean
from core.judging.look.look import Look
from core.judging.model.evidence import EVERYONE, counter
from core.judging.model.hypothesis import Hypothesis, clearing
from core.judging.model.limits import Limit
from core.judging.model.question import Question
from core.judging.model.state import State
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import clearing as planning
from core.stats import mean

BAR = log(1 / 0.05)
LEAST_RATE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """Evidence that a limit is kept. `log_e` is None if there is none yet.

    `kept`: shown at 5 % in this stage, now or earlier. `rare`: too rare to be shown in the time the stage has.
    """

    log_e: float | None
    kept: bool = False
    rare: bool = False


Clearances: TypeAlias = Mapping[int, Clearance]
"""By position, for the file's limits that can act, except those on new error categories."""


def cleared(question: Question, look: Look, state: State) -> Clearances:
    """Non-inferiority of every limit that can act, by position. `state` is the state after the look."""
    if question.current not in question.exposed:
        return {}
    return {
        position: _of(question, look, state, position, limit)
        for position, limit in enumerate(question.limits)
        if limit.acts and not limit.per_category and (limit.absolute or question.current in question.compared)
    }


def all_kept(question: Question, look: Look, kept: Clearances) -> tuple[str, ...] | None:
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


def _of(question: Question, look: Look, state: State, position: int, limit: Limit) -> Clearance:
    standing = look.standing(question.cell(limit.metric), question.current)
    if standing is None:  # no data yet, or none since the mean's cap was set
        return Clearance(log_e=None, kept=position in state.kept)
    if CATALOGUE[limit.metric].kind is Kind.MEAN:
        found = list(_mean(question, look, state, position, standing))
    else:
        found = list(_exact(question, look, state, position, standing))
    log_e = min(found) if found else None
    kept = position in state.kept or (log_e is not None and log_e >= BAR)
    return Clearance(log_e=log_e, kept=kept, rare=not kept and _is_rare(question, look, state, limit, standing))


def _exact(question: Question, look: Look, state: State, position: int, standing: Standing) -> Iterator[float]:
    limit = question.limits[position]
    quantile = CATALOGUE[limit.metric].quantile
    counted = standing
    if quantile is not None and limit.absolute:
        cell = counter(limit.metric, limit.amount)
        counted = look.standing(cell, question.current) or standing
    for hypothesis in clearing(limit):
        key = (position, hypothesis.side, "clear", question.current, EVERYONE)
        track = next((x for x in state.tracks if (x.limit, x.side, x.part, x.since, x.segment) == key), None)
        if track is None:
            yield 0.0
            continue
        left = counted.without(hypothesis.side)
        if quantile is not None and (not limit.absolute or counted is standing):
            left = None  # histograms have no buckets to leave out
        share = None if left is None else _share(limit, hypothesis, counted, left, quantile)
        yield upheld(track.components, counted.design_effect, left, share)


def _share(limit: Limit, hypothesis: Hypothesis, standing: Standing, left: Without, quantile: float | None) -> float:
    """Share of the non-inferiority evidence that remains without the bucket that says most for it.

    Evidence grows with the square of the distance from the limit.
    """
    if limit.absolute:
        bound = 1 - quantile if quantile is not None else limit.amount
        inside = 0 < bound < 1
        return share_against(standing.level, standing.level_weight, bound, left) if inside else 1.0
    whole = _distance(hypothesis, standing.canary, standing.control)
    rest = _distance(hypothesis, left.canary, left.control)
    if whole is None or rest is None or whole <= 0 or rest <= 0:
        return 0.0
    return min((rest / whole) ** 2, 1.0)


def _distance(hypothesis: Hypothesis, canary: float | None, control: float | None) -> float | None:
    """Distance inside the limit, negative beyond it; None when unknown."""
    if canary is None or control is None:
        return None
    return hypothesis.sign * (canary - hypothesis.ratio * control - hypothesis.shift)


def _mean(question: Question, look: Look, state: State, position: int, standing: Standing) -> Iterator[float]:
    limit, tau = question.limits[position], state.taus.get(str(position))
    if tau is None or not gate_is_open(look, standing.metric, question.current):
        return
    for hypothesis in clearing(limit):
        error = standing.level_error if limit.absolute else _error(look, position, hypothesis, standing)
        estimate = _inside(limit, hypothesis, standing.level, standing.canary, standing.control)
        if estimate is None or error is None or error <= 0:
            return
        whole = float(mean.log_e_half_normal(estimate / error, (tau / error) ** 2))
        left = standing.without(hypothesis.side)
        if left is None:
            yield whole
            continue
        # The margin is assumed to widen the error by the same factor without that bucket.
        own, before = (left.level_error, standing.level_error) if limit.absolute else (left.error, standing.error)
        rest, scale = _inside(limit, hypothesis, left.level, left.canary, left.control), error / (before or error)
        if rest is None or own is None or own <= 0:
            yield min(whole, 0.0)
            continue
        own *= scale
        yield upheld_mean(whole, float(mean.log_e_half_normal(rest / own, (tau / own) ** 2)))


def _inside(
    limit: Limit, hypothesis: Hypothesis, level: float | None, canary: float | None, control: float | None
) -> float | None:
    """Distance of a mean's estimate inside the limit, negative beyond it; None when unknown."""
    if limit.absolute:
        return None if level is None else limit.amount - level
    return _distance(hypothesis, canary, control)


def _error(look: Look, position: int, hypothesis: Hypothesis, standing: Standing) -> float | None:
    keys = (position, hypothesis.side, standing.since)
    return next((one.error for one in look.margins if (one.limit, one.side, one.since) == keys), None)


def _is_rare(question: Question, look: Look, state: State, limit: Limit, standing: Standing) -> bool:
    """Whether showing it at equal rates would need more canary trials than the stage can have by its end."""
    stage, began = question.stage, state.stage_seen
    entry = CATALOGUE[limit.metric]
    if stage.ends is None or began is None or look.at <= began or entry.kind in {Kind.MEAN, Kind.QUANTILE}:
        return False
    whole = (stage.ends - began) / (look.at - began)
    expected = standing.canary_weight * max(whole, 1.0) / standing.design_effect
    share = standing.canary_weight / max(standing.canary_weight + standing.control_weight, 1.0)
    rate = min(max(standing.control or 0.0, LEAST_RATE), 1 - LEAST_RATE)
    if limit.absolute or not 0 < share < 1:
        return False
    needed = max(
        planning.canary_trials(rate, side=one.side, ratio=one.ratio, shift=one.shift, canary_share=share)
        for one in clearing(limit)
    )
    return needed > expected
