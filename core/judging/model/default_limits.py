"""Default limits: what is tested although the rollout file sets no limit, from the catalogue and the expectations."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from core.judging.model.limits import CATEGORIES, Kind, Limit, Role, Scale
from core.metrics.catalogue import CATALOGUE, DefaultRole, Good, MarginScale, Metric

Direction: TypeAlias = Literal["up", "down", "same"]

FALSE_DISCOVERIES = 0.1
"""False discovery rate of the default limits. If nothing changed, it is also the chance of any finding at all."""

_SCALES = {
    MarginScale.POINTS: Scale.POINTS,
    MarginScale.RELATIVE: Scale.RELATIVE,
    MarginScale.ABSOLUTE: Scale.ABSOLUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How the owner expects a metric to change. `low` and `high` are signed: in points if `points`, else relative to
    control. None means no bound."""

    metric: str
    direction: Direction
    low: float | None = None
    high: float | None = None
    points: bool = False


@lru_cache(maxsize=256)
def implied(limits: tuple[Limit, ...], expectations: tuple[Expected, ...]) -> tuple[Limit, ...]:
    """Default limits for every metric and direction without a limit in the file, in catalogue order.

    Each uses the metric's default margin. Harm holds the rollout if the catalogue gives the metric the role hold or
    rollback; everything else is only reported. In a direction that the owner expects, the limit lies at the far end of
    the expectation.
    """
    expected = {one.metric: one for one in expectations}
    return tuple(
        limit
        for entry in CATALOGUE.values()
        if entry.key != CATEGORIES
        for limit in _of(entry, [x for x in limits if x.metric == entry.key], expected.get(entry.key))
    )


def _of(entry: Metric, limits: list[Limit], expected: Expected | None) -> Iterator[Limit]:
    if entry.default_margin is None and expected is None:
        return
    for kind in (Kind.RISES_BY, Kind.DROPS_BY):
        if any(one.kind is kind or one.kind is Kind.CHANGES_BY or _rises(one, kind) for one in limits):
            continue
        limit = _side(entry, kind, expected)
        if limit is not None:
            yield limit


def _rises(limit: Limit, kind: Kind) -> bool:
    """Whether a limit of another kind already covers a rise."""
    return kind is Kind.RISES_BY and limit.kind in {Kind.EXCEEDS, Kind.EXCEEDS_NORMAL_BY}


def _side(entry: Metric, kind: Kind, expected: Expected | None) -> Limit | None:
    up = kind is Kind.RISES_BY
    amount, scale = entry.default_margin or 0.02, _SCALES[entry.margin_scale]
    foreseen = expected is not None and expected.direction == ("up" if up else "down")
    if expected is not None and foreseen:
        far = expected.high if up else expected.low
        if far is None or far == 0:
            return None  # a change of any size is expected
        amount, scale = abs(far), Scale.POINTS if expected.points else Scale.RELATIVE
    return Limit(metric=entry.key, kind=kind, amount=amount, scale=scale, role=_role(entry, up=up, foreseen=foreseen))


def _role(entry: Metric, *, up: bool, foreseen: bool) -> Role:
    """HOLD for harm, for a metric that should not change, and for exceeding an expectation.

    Metrics that the catalogue only watches, and unexpected improvements, are always WATCH.
    """
    if entry.role is DefaultRole.WATCH:
        return Role.WATCH
    if entry.good is Good.UNCHANGED or entry.good is (Good.DOWN if up else Good.UP):
        return Role.HOLD
    return Role.HOLD if foreseen else Role.WATCH
