"""Default limits: what is tested although the rollout file sets no limit, from the catalogue and the expectations."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from core.judging.limits.limits import NEW_CATEGORY_METRIC, Limit, LimitKind, LimitRole, LimitScale
from core.metrics.catalogue import CATALOGUE, UNJUDGED, DefaultRole, DesiredDirection, MarginScale, Metric

Direction: TypeAlias = Literal["up", "down", "same"]

FALSE_DISCOVERY_RATE = 0.1
"""False discovery rate of the default limits. If nothing changed, it is also the chance of any finding at all."""

_ADDED = (UNJUDGED,)
"""Metrics that came with engine 10. What a rollout has found so far refers to its limits by position, and one that is
under way while a release adds metrics must find its own where they were: later ones come behind them all."""

_SCALES = {
    MarginScale.POINTS: LimitScale.POINTS,
    MarginScale.RELATIVE: LimitScale.RELATIVE,
    MarginScale.ABSOLUTE: LimitScale.ABSOLUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedChange:
    """How the owner expects a metric to change. `low` and `high` are signed: in points if `points`, else relative to
    control. None means no bound."""

    metric: str
    direction: Direction
    low: float | None = None
    high: float | None = None
    points: bool = False


@lru_cache(maxsize=256)
def derive_default_limits(
    limits: tuple[Limit, ...], expectations: tuple[ExpectedChange, ...], own: tuple[Metric, ...] = ()
) -> tuple[Limit, ...]:
    """Default limits for every metric and direction without a limit in the file: the catalogue's in order, then `own`,
    then those of `_ADDED`.

    Each uses the metric's default margin. Harm holds the rollout if the catalogue gives the metric the role hold or
    rollback; everything else is only reported. In a direction that the owner expects, the limit lies at the far end of
    the expectation.
    """
    expected, names = {one.metric: one for one in expectations}, {one.key for one in own}
    known = [one for one in CATALOGUE.values() if one.key not in names]
    first = [one for one in known if one.key not in _ADDED]
    return tuple(
        limit
        for entry in (*first, *own, *(one for one in known if one.key in _ADDED))
        if entry.key != NEW_CATEGORY_METRIC
        for limit in _derive_for_metric(entry, [x for x in limits if x.metric == entry.key], expected.get(entry.key))
    )


def _derive_for_metric(entry: Metric, limits: list[Limit], expected: ExpectedChange | None) -> Iterator[Limit]:
    if entry.default_margin is None and expected is None:
        return
    for kind in (LimitKind.RISES_BY, LimitKind.DROPS_BY):
        if any(one.kind is kind or one.kind is LimitKind.CHANGES_BY or _covers_rise(one, kind) for one in limits):
            continue
        limit = _build_limit(entry, kind, expected)
        if limit is not None:
            yield limit


def _covers_rise(limit: Limit, kind: LimitKind) -> bool:
    """Whether a limit of another kind already covers a rise."""
    return kind is LimitKind.RISES_BY and limit.kind in {LimitKind.EXCEEDS, LimitKind.EXCEEDS_NORMAL_BY}


def _build_limit(entry: Metric, kind: LimitKind, expected: ExpectedChange | None) -> Limit | None:
    up = kind is LimitKind.RISES_BY
    amount, scale = entry.default_margin or 0.02, _SCALES[entry.margin_scale]
    foreseen = expected is not None and expected.direction == ("up" if up else "down")
    if expected is not None and foreseen:
        far = expected.high if up else expected.low
        if far is None or far == 0:
            return None  # a change of any size is expected
        amount, scale = abs(far), LimitScale.POINTS if expected.points else LimitScale.RELATIVE
    return Limit(
        metric=entry.key,
        kind=kind,
        amount=amount,
        scale=scale,
        role=_choose_role(entry, up=up, expected=foreseen),
        definition=None if entry is CATALOGUE.get(entry.key) else entry,
    )


def _choose_role(entry: Metric, *, up: bool, expected: bool) -> LimitRole:
    """HOLD for harm, for a metric that should not change, and for exceeding an expectation.

    Metrics that the catalogue only watches, and unexpected improvements, are always WATCH.
    """
    if entry.role is DefaultRole.WATCH:
        return LimitRole.WATCH
    if entry.good is DesiredDirection.UNCHANGED or entry.good is (DesiredDirection.DOWN if up else DesiredDirection.UP):
        return LimitRole.HOLD
    return LimitRole.HOLD if expected else LimitRole.WATCH
