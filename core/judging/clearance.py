"""Whether each limit is shown to be kept in the stage under way: no correction is needed where all must be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import TypeAlias

import numpy as np

from core.judging.accumulate import GATE_UNITS, gate_is_open
from core.judging.evidence import EVERYONE
from core.judging.hypothesis import Hypothesis, clearing
from core.judging.limits import Limit
from core.judging.look import Look
from core.judging.question import Question
from core.judging.standing import Standing
from core.judging.state import State
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import clearing as planning
from core.stats import mean, proportion

BAR = log(1 / 0.05)
LEAST_RATE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """The evidence that a limit is kept, None where there is none. `kept`: it was shown at 5 % in this stage, now or
    before; `rare`: too rare for that in the time it has."""

    log_e: float | None
    kept: bool = False
    rare: bool = False


Clearances: TypeAlias = Mapping[int, Clearance]
"""By position, of the file's limits that may act; new error categories have none."""


def cleared(question: Question, look: Look, state: State) -> Clearances:
    """Where every limit stands; `state` is the state after the look."""
    if question.current not in question.exposed:
        return {}
    return {
        position: _of(question, look, state, position, limit)
        for position, limit in enumerate(question.limits)
        if limit.acts and not limit.per_category and (limit.absolute or question.current in question.compared)
    }


def all_kept(question: Question, look: Look, kept: Clearances) -> tuple[str, ...] | None:
    """The metrics that are only watched, where all other limits are shown kept and 100 units saw it; else None."""
    here = next((one.canary for one in look.exposures if one.stage == question.current), 0)
    if here < GATE_UNITS or not kept or not all(one.kept or one.rare for one in kept.values()):
        return None
    if not any(one.kept for one in kept.values()):
        return None
    rare = (question.limits[position].metric for position, one in kept.items() if not one.kept)
    return tuple(dict.fromkeys(rare))


def _of(question: Question, look: Look, state: State, position: int, limit: Limit) -> Clearance:
    standing = look.standing(question.cell(limit.metric), question.current)
    if standing is None:  # nothing yet, or nothing since a mean is cut
        return Clearance(log_e=None, kept=position in state.kept)
    if CATALOGUE[limit.metric].kind is Kind.MEAN:
        found = list(_mean(question, look, state, position, standing))
    else:
        found = list(_exact(question, state, position, standing))
    log_e = min(found) if found else None
    kept = position in state.kept or (log_e is not None and log_e >= BAR)
    return Clearance(log_e=log_e, kept=kept, rare=not kept and _is_rare(question, look, state, limit, standing))


def _exact(question: Question, state: State, position: int, standing: Standing) -> Iterator[float]:
    for hypothesis in clearing(question.limits[position]):
        key = (position, hypothesis.side, "clear", question.current, EVERYONE)
        track = next((x for x in state.tracks if (x.limit, x.side, x.part, x.since, x.segment) == key), None)
        yield 0.0 if track is None else float(proportion.log_mean(np.array(track.components) / standing.design_effect))


def _mean(question: Question, look: Look, state: State, position: int, standing: Standing) -> Iterator[float]:
    limit, tau = question.limits[position], state.taus.get(str(position))
    if tau is None or not gate_is_open(look, standing.metric, question.current):
        return
    for hypothesis in clearing(limit):
        estimate, error = _within(look, position, limit, hypothesis, standing)
        if estimate is None or error is None or error <= 0:
            return
        yield float(mean.log_e_half_normal(estimate / error, (tau / error) ** 2))


def _within(
    look: Look, position: int, limit: Limit, hypothesis: Hypothesis, standing: Standing
) -> tuple[float | None, float | None]:
    """How far inside the limit the estimate is, and the error of that."""
    if limit.absolute:
        inside = limit.amount - standing.level if standing.level is not None else None
        return inside, standing.level_error
    keys = (position, hypothesis.side, standing.since)
    error = next((one.error for one in look.margins if (one.limit, one.side, one.since) == keys), None)
    if standing.canary is None or standing.control is None:
        return None, error
    return hypothesis.sign * (standing.canary - hypothesis.ratio * standing.control - hypothesis.shift), error


def _is_rare(question: Question, look: Look, state: State, limit: Limit, standing: Standing) -> bool:
    """Whether showing it at equal rates would take more of the canary than the stage can have by its end."""
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
