"""Simulated harm: how a new version changes a metric, in points, relative to its level, or to a fixed level."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.files.foresight.known_traffic import Known
from core.files.syntax.units import Unit, amount
from core.judging.model.limits import CATEGORIES, Kind, Limit, Role, Scale
from core.metrics.catalogue import CATALOGUE
from core.metrics.catalogue import Kind as MetricKind
from core.stats.checked import Array

TIMES = 2.0
"""Default harm, as a multiple of the limit's amount."""
LOWEST, HIGHEST = 0.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """One change of one metric. `shift` is added to a rate; `ratio` multiplies rates, counts and values.

    `text` describes it as people write it, such as `refusal_rate +6 pp`.
    """

    metric: str
    text: str
    shift: float = 0.0
    ratio: float = 1.0

    def on_rates(self, rates: Array) -> Array:
        """The new version's rates, clipped to [0, 1]."""
        return np.clip(rates * self.ratio + self.shift, LOWEST, HIGHEST)


def written(text: str, known: Known) -> Harm:
    """Parse `refusal_rate=+6pp`, `cost_per_request=+50%` or `latency_p95=8000ms`. ValueError says what to write.

    With a sign the value is a change; without one it is the new level of the metric.
    """
    metric, equals, change = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f'"{text}" names no change: write refusal_rate=+6pp or cost_per_request=+50%')
    if metric not in CATALOGUE:
        raise ValueError(f'there is no metric "{metric}"; the keys are those of a rollout file')
    found, entry, level = amount(change), CATALOGUE[metric], known.level(metric).level
    signed = change[:1] in "+-"
    shown = f"{CATALOGUE[metric].key} {change}"
    rate = entry.binary or metric == CATEGORIES
    if found.unit is Unit.POINTS:
        if not rate:
            raise ValueError(f"{metric} is no share, so it has no percentage points: write +50%")
        return Harm(metric=metric, text=shown, shift=found.value)
    if found.unit is Unit.TIMES:
        return _times(metric, shown, found.value)
    if found.unit is Unit.PERCENT and (signed or not rate) and metric != CATEGORIES:
        return _times(metric, shown, 1 + found.value)
    if metric == CATEGORIES or (rate and found.unit is Unit.PERCENT):
        return Harm(metric=metric, text=shown, shift=found.value - (0 if metric == CATEGORIES else level))
    if rate or found.value < 0:
        raise ValueError(f"{metric} is a share: write +6pp, +50% or 8%")
    return _times(metric, shown, found.value / level + (1 if signed else 0))


def of_limits(limits: Sequence[Limit], known: Known) -> tuple[Harm, ...]:
    """Harms that violate each acting rollback limit by twice its amount, one per metric and direction."""
    found: dict[tuple[str, bool], Harm] = {}
    for limit in limits:
        if limit.role is Role.ROLLBACK and limit.acts:
            for harm in _breaking(limit, known):
                found.setdefault((limit.metric, harm.shift < 0 or harm.ratio < 1), harm)
    return tuple(found.values())


def _breaking(limit: Limit, known: Known) -> Iterator[Harm]:
    metric, size = limit.metric, TIMES * limit.amount
    if limit.per_category:
        yield Harm(metric=metric, text=f"{metric} {size * 100:g} % of requests", shift=size)
    elif limit.absolute:
        level = known.level(metric).level
        if CATALOGUE[metric].binary:
            yield Harm(metric=metric, text=f"{metric} at {size * 100:g} %", shift=size - level)
        elif level > 0:
            yield Harm(metric=metric, text=f"{metric} at {size:g} {_unit(metric)}".strip(), ratio=size / level)
    else:
        up = limit.kind is not Kind.DROPS_BY
        sign = 1 if up else -1
        if limit.scale is Scale.POINTS:
            yield Harm(metric=metric, text=f"{metric} {sign * size * 100:+g} pp", shift=sign * size)
        elif limit.scale is Scale.RELATIVE:
            yield _times(metric, f"{metric} {sign * size * 100:+g} %", max(1 + sign * size, 0.0))
        else:
            level = known.level(metric).level
            yield _times(metric, f"{metric} {sign * size:+g}", max(1 + sign * size / level, 0.0))


def _times(metric: str, text: str, ratio: float) -> Harm:
    if ratio < 0:
        raise ValueError(f"{text}: nothing falls by more than 100 %")
    return Harm(metric=metric, text=text, ratio=ratio)


def _unit(metric: str) -> str:
    entry = CATALOGUE[metric]
    return entry.unit if entry.kind is MetricKind.QUANTILE else ""
