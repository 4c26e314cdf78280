"""How many readings a limit needs: until a change is noticed, and until no change is shown to keep the limit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from math import inf, log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from core.judging.limits.hypothesis import build_harm_hypotheses, build_noninferiority_hypotheses
from core.judging.limits.limits import Limit, LimitKind, LimitScale
from core.judging.model import alpha_shares
from core.judging.model.question import FALSE_ALARM_ALPHA
from core.metrics.catalogue import MetricKind
from core.metrics.typical_levels import MetricLevel
from core.stats import noninferiority_planning as clearing_stats
from core.stats import planning

CANARY_ONLY_SHARE = 1e-6  # the canary's share in a comparison with a fixed number instead of a control
CUT_QUANTILE = 0.99  # the quantile at which values of a mean are capped
_NORMAL = NormalDist()


def evidence_needed(limits: Sequence[Limit], limit: Limit, *, segments: bool) -> float:
    """ln of the evidence that the limit needs: its share of its role's error, for everyone, since the start."""
    acting = sum(one.can_act and one.role is limit.role for one in limits)
    share = build_harm_hypotheses(limit)[0].share
    if not limit.is_per_category:
        share *= alpha_shares.OVERALL_SHARE if segments else 1.0
        share *= alpha_shares.stage_share(1, absolute=limit.is_absolute)
    if limit.entry.kind is MetricKind.MEAN:
        share *= alpha_shares.CAPPED + (
            alpha_shares.TAIL if limit.kind is LimitKind.DROPS_BY or limit.is_absolute else 0.0
        )
    return log(1 / FALSE_ALARM_ALPHA) + log(max(acting, 1)) - log(share)


@lru_cache(maxsize=8192)  # a file is checked several times, and each check repeats the same searches in every stage
def readings_to_notice(limit: Limit, level: MetricLevel, size: float, *, canary_share: float, alpha: float) -> float:
    """Expected canary readings until a change of this size is noticed; infinite if it never is."""
    metric = limit.entry
    if size <= 0 or not 0 < canary_share < 1:
        return inf
    if limit.is_absolute or limit.is_per_category:
        bound, rate = _bound_and_rate(limit, level, size)
        return _canary_trials(bound, rate, CANARY_ONLY_SHARE, alpha)
    sides = (-1, 1) if limit.kind is LimitKind.CHANGES_BY else (-1,) if limit.kind is LimitKind.DROPS_BY else (1,)
    # with a strict limit, only the part of a change beyond the limit is evidence
    beyond = size - limit.amount if limit.strict else size
    if beyond <= 0:
        return inf
    if metric.is_average:
        deviation = level.level * compute_variation(level.spread)
        return float(
            planning.canary_units(
                deviation, _to_absolute_change(limit, level, beyond), canary_share=canary_share, alpha=alpha
            )
        )
    found = []
    for sign in sides:
        edge, rate = (
            (_rate_after_change(limit, level, sign * limit.amount), _rate_after_change(limit, level, sign * size))
            if limit.strict
            else (_rate_after_change(limit, level, 0.0), _rate_after_change(limit, level, sign * size))
        )
        found.append(_canary_trials(edge, rate, canary_share, alpha))
    return max(found)


def readings_to_clear(limit: Limit, level: MetricLevel, *, canary_share: float) -> float:
    """Expected canary readings until an unchanged version is shown to keep the limit; infinite if it never is."""
    metric = limit.entry
    if limit.is_per_category or not 0 < canary_share < 1:
        return inf
    if limit.is_absolute:
        if metric.is_average:
            margin = limit.amount - level.level
            return _canary_units(level, margin, CANARY_ONLY_SHARE) if margin > 0 else inf
        bound = planning.clip_rate(
            limit.amount if metric.is_binary or metric.kind is MetricKind.COUNT else 1 - (metric.quantile or 0.0)
        )
        rate = planning.clip_rate(
            level.level
            if metric.is_binary or metric.kind is MetricKind.COUNT
            else _share_above(metric.quantile or 0.5, level, limit.amount)
        )
        return clearing_stats.noninferiority_trials_against(rate, bound=bound)
    if metric.is_average:
        return _canary_units(level, _to_absolute_change(limit, level, limit.amount), canary_share)
    if metric.quantile is not None:
        # canary readings are compared with a threshold shifted by the limit: fewer should exceed it
        kept = planning.clip_rate(_share_above(metric.quantile, level, level.level * (1 + limit.amount)))
        gain = float(planning.growth(planning.clip_rate(1 - metric.quantile), kept, canary_share))
        return clearing_stats.MIXTURE_COST * log(1 / clearing_stats.NONINFERIORITY_ALPHA) / gain if gain > 0 else inf
    rate = planning.clip_rate(level.level)
    return max(
        clearing_stats.noninferiority_canary_trials(
            rate, side=one.side, ratio=one.ratio, shift=one.shift, canary_share=canary_share
        )
        for one in build_noninferiority_hypotheses(limit)
    )


def _to_absolute_change(limit: Limit, level: MetricLevel, size: float) -> float:
    return size * level.level if limit.scale is LimitScale.RELATIVE else size


def _rate_after_change(limit: Limit, level: MetricLevel, change: float) -> float:
    """The rate that the test sees after a change; for a quantile, the share of values above control's quantile."""
    q = limit.entry.quantile
    if q is not None:
        factor = 1 + change if limit.scale is LimitScale.RELATIVE else 1 + change / level.level
        return planning.clip_rate(
            1 - _NORMAL.cdf(_NORMAL.inv_cdf(q) - log(max(factor, 1e-9)) / max(level.spread, 1e-3))
        )
    return planning.clip_rate(
        level.level * (1 + change) if limit.scale is LimitScale.RELATIVE else level.level + change
    )


def _bound_and_rate(limit: Limit, level: MetricLevel, size: float) -> tuple[float, float]:
    """(bound, rate) for a limit without a control, with a level that is this much above it."""
    metric = limit.entry
    if metric.quantile is None:
        return planning.clip_rate(limit.amount), planning.clip_rate(limit.amount * (1 + size))
    there = replace(level, level=limit.amount * (1 + size))
    return planning.clip_rate(1 - metric.quantile), planning.clip_rate(
        _share_above(metric.quantile, there, limit.amount)
    )


def _share_above(q: float, level: MetricLevel, threshold: float) -> float:
    """The share of values above a threshold, for a log-normal distribution whose q-quantile is the level."""
    if threshold <= 0:
        return 1.0
    return 1 - _NORMAL.cdf(_NORMAL.inv_cdf(q) + log(threshold / level.level) / max(level.spread, 1e-3))


def _canary_trials(control: float, canary: float, share: float, alpha: float) -> float:
    if abs(canary - control) < 1e-12:
        return inf
    return float(planning.canary_trials(control, canary, canary_share=share, alpha=alpha))


def _canary_units(level: MetricLevel, margin: float, canary_share: float) -> float:
    return float(
        planning.canary_units(
            level.level * compute_variation(level.spread),
            margin,
            canary_share=canary_share,
            alpha=clearing_stats.NONINFERIORITY_ALPHA,
        )
    )


@lru_cache(maxsize=1024)  # called hundreds of times in one search for the smallest change that is noticed
def compute_variation(spread: float) -> float:
    """Standard deviation over mean of a log-normal distribution capped at its 99th percentile."""
    values = np.exp(max(spread, 1e-3) * _cut_normal_values())
    return float(values.std() / values.mean())


@cache
def _cut_normal_values() -> NDArray[np.float64]:
    """Two thousand evenly spaced quantiles of the normal distribution, capped at its 99th percentile."""
    middles = (np.arange(2000) + 0.5) / 2000
    return np.array([_NORMAL.inv_cdf(min(p, CUT_QUANTILE)) for p in middles])
