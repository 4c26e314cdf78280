"""Blind spots: rollback limits whose test would not yet find harm of twice their amount with 80 % probability."""

from dataclasses import replace
from datetime import timedelta
from math import ceil, log

import numpy as np

from core.judging.limits.hypothesis import Hypothesis, build_harm_hypotheses
from core.judging.limits.limits import CATEGORY_UNIT, Limit, LimitRole, LimitScale, format_limit
from core.judging.look.count_new import rests_on_readings
from core.judging.look.look import Look
from core.judging.model.alpha_shares import CAPPED, TAIL, infinite_series_share, overall_share, stage_share
from core.judging.model.evidence import REQUESTS
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.judging.model.verdict import BlindSpot
from core.judging.verdict.forecast_evidence import HARM_MULTIPLE, EvidenceForecast, forecast_evidence
from core.metrics.catalogue import MetricKind

MAX_MULTIPLE = 1e4
"""Largest multiple of the present traffic that is considered; anything beyond counts as never."""
_MULTIPLES = np.concatenate([np.ones(1), np.geomspace(1.05, MAX_MULTIPLE, 60)])
MULTIPLES_AT_ONCE = 6
"""So many multiples are tried without their loudest bucket together, after the first: mostly the first few decide."""


def find_blind_spots(question: Question, look: Look, state: JudgingState) -> tuple[BlindSpot, ...]:
    """Blind spots among the acting rollback limits in the current stage, in order. `state` is the one after the look.

    All evidence since the first stage with a control counts. A limit that was shown to hold in this stage is not blind.
    Once no control is left nothing more can be detected, so only limits without any reading are listed.
    """
    if question.current not in question.exposed_stages:
        return ()
    positions = question.acting_positions(LimitRole.ROLLBACK)
    return tuple(
        spot
        for position in positions
        if (spot := _find_blind_spot(question, look, state, position, len(positions))) is not None
    )


def blind_spots_before_data(limits: tuple[Limit, ...]) -> tuple[BlindSpot, ...]:
    """The blind spots before the first look: every acting rollback limit."""
    return tuple(_build_blind_spot(limit) for limit in limits if limit.can_act and limit.role is LimitRole.ROLLBACK)


def _find_blind_spot(
    question: Question, look: Look, state: JudgingState, position: int, limits: int
) -> BlindSpot | None:
    limit = question.limits[position]
    spot = _build_blind_spot(limit)
    since = look.find_comparison(limit.metric, question.exposed_stages[0])
    if rests_on_readings(limit):
        if since is None or since.level_weight == 0:
            return replace(spot, unread=True, arm="canary")
        if not limit.is_absolute and question.current_stage.compared and since.control_weight == 0:
            return replace(spot, unread=True, arm="control", readings=round(since.level_weight))
    if not question.current_stage.has_both_arms:
        return None
    if position in state.kept:  # harm as large as the limit is ruled out, so twice as much was not missed
        return None
    bar = log(1 / question.alpha) + log(limits) - log(overall_share(question))
    late = []
    for hypothesis in build_harm_hypotheses(limit):
        forecast = forecast_evidence(question, look, state, position, hypothesis)
        times = _least_multiple(forecast, bar - log(_weight_share(limit, hypothesis)))
        if times is None or times > 1:
            late.append((forecast, times))
    if not late:
        return None
    readings = round(max(forecast.readings for forecast, _ in late))
    if any(times is None for _, times in late):
        return replace(spot, readings=readings)
    times = max(times for _, times in late if times is not None)
    needed = max(ceil(readings * times), readings + 1)
    return replace(
        spot,
        readings=readings,
        needed=needed,
        more=_time_until_readings(question, look, state, limit, needed - readings),
    )


def _build_blind_spot(limit: Limit) -> BlindSpot:
    entry = limit.entry
    return BlindSpot(
        metric=limit.metric,
        kind=limit.kind.value,
        title=entry.title,
        limit_text=format_limit(limit),
        missed=HARM_MULTIPLE * limit.amount,
        unit=CATEGORY_UNIT if limit.is_per_category else entry.unit,
        relative=limit.scale is LimitScale.RELATIVE,
        harm=limit.harm_direction,
        absolute=limit.is_absolute or limit.is_per_category,
    )


def _least_multiple(forecast: EvidenceForecast, bar: float) -> float | None:
    """The smallest multiple of the present traffic that gives enough evidence; None if none does."""
    if forecast.evidence is None:
        return None
    enough = _MULTIPLES[forecast.evidence(_MULTIPLES) >= bar]
    if forecast.robust is None:
        return float(enough[0]) if enough.size else None
    for few in np.split(enough, range(1, enough.size, MULTIPLES_AT_ONCE)):
        kept = few[forecast.robust(few) >= bar]
        if kept.size:
            return float(kept[0])
    return None


def _time_until_readings(
    question: Question, look: Look, state: JudgingState, limit: Limit, readings: int
) -> timedelta | None:
    """Time until the canary has this many more readings at the current pace; None if unknown or over a year."""
    metric = limit.metric if rests_on_readings(limit) else REQUESTS
    began = state.stage_seen
    here = state.get_total(question.current, REQUESTS).canary_trials
    if rests_on_readings(limit):
        standing = look.find_comparison(metric, question.current)
        here = standing.level_weight if standing is not None else 0.0
    if began is None or here <= 0 or look.at <= began:
        return None
    seconds = readings * (look.at - began).total_seconds() / here
    return timedelta(seconds=round(seconds)) if seconds < timedelta(days=365).total_seconds() else None


def _weight_share(limit: Limit, hypothesis: Hypothesis) -> float:
    """Share of the limit's weight that belongs to evidence since the first stage."""
    if limit.is_per_category:
        return infinite_series_share(1)
    share = stage_share(1, absolute=limit.is_absolute) * hypothesis.share
    if limit.entry.is_average:
        share *= _average_share(limit, hypothesis)
    return share


def _average_share(limit: Limit, hypothesis: Hypothesis) -> float:
    """Share of an average's weight that the forecast rests on: of a mean the capped readings, of a ratio all."""
    if limit.entry.kind is MetricKind.RATIO:
        return 1.0
    return CAPPED + (TAIL if hypothesis.side == "less" or limit.is_absolute else 0.0)
