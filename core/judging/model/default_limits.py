"""What is watched although no file asked for it: what the catalogue holds for harm, and what the owner expected."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from core.judging.model.limits import CATEGORIES, Kind, Limit, Role, Scale
from core.metrics.catalogue import CATALOGUE, DefaultRole, Good, MarginScale, Metric

Direction: TypeAlias = Literal["up", "down", "same"]

FALSE_DISCOVERIES = 0.1
"""The share of false findings beyond the file's own limits; also the chance of any, where nothing changed."""

_SCALES = {
    MarginScale.POINTS: Scale.POINTS,
    MarginScale.RELATIVE: Scale.RELATIVE,
    MarginScale.ABSOLUTE: Scale.ABSOLUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the owner expects of a metric. `low` and `high` are signed, relative to control or in points; None: open."""

    metric: str
    direction: Direction
    low: float | None = None
    high: float | None = None
    points: bool = False


@lru_cache(maxsize=256)
def implied(limits: tuple[Limit, ...], expectations: tuple[Expected, ...]) -> tuple[Limit, ...]:
    """One limit per metric and side that the file leaves open, in the catalogue's order, with its default margin.

    Harm of a metric whose role is to hold, or that may roll back, holds; the rest is only told. A side that the owner
    expects is open up to the far end of the expectation.
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
    """Whether a limit of another kind already speaks of this side."""
    return kind is Kind.RISES_BY and limit.kind in {Kind.EXCEEDS, Kind.EXCEEDS_NORMAL_BY}


def _side(entry: Metric, kind: Kind, expected: Expected | None) -> Limit | None:
    up = kind is Kind.RISES_BY
    amount, scale = entry.default_margin or 0.02, _SCALES[entry.margin_scale]
    foreseen = expected is not None and expected.direction == ("up" if up else "down")
    if expected is not None and foreseen:
        far = expected.high if up else expected.low
        if far is None or far == 0:
            return None  # any amount of it is expected
        amount, scale = abs(far), Scale.POINTS if expected.points else Scale.RELATIVE
    return Limit(metric=entry.key, kind=kind, amount=amount, scale=scale, role=_role(entry, up=up, foreseen=foreseen))


def _role(entry: Metric, *, up: bool, foreseen: bool) -> Role:
    """Whether a change on this side may hold: harm, or any change of what should not change or was expected to go the
    other way. What is only unexpectedly good is told."""
    if entry.role is DefaultRole.WATCH:
        return Role.WATCH
    if entry.good is Good.UNCHANGED or entry.good is (Good.DOWN if up else Good.UP):
        return Role.HOLD
    return Role.HOLD if foreseen else Role.WATCH
