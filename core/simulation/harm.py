"""Simulated harm: how a new version changes a metric, in points, relative to its level, or to a fixed level."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.files.foresight.known_traffic import KnownTraffic
from core.files.syntax.amounts import Unit, parse_amount
from core.judging.limits.limits import NEW_CATEGORY_METRIC, Limit, LimitKind, LimitRole, LimitScale
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind
from core.stats.input_checks import Array

HARM_MULTIPLE = 2.0
"""Default harm, as a multiple of the limit's amount."""
LOWEST, HIGHEST = 0.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedHarm:
    """One change of one metric. `shift` is added to a rate; `ratio` multiplies rates, counts and values.

    `text` describes it as people write it, such as `refusal_rate +6 pp`.
    """

    metric: str
    text: str
    shift: float = 0.0
    ratio: float = 1.0

    def apply_to_rates(self, rates: Array) -> Array:
        """The new version's rates, clipped to [0, 1]."""
        return np.clip(rates * self.ratio + self.shift, LOWEST, HIGHEST)


def parse_harm(text: str, known: KnownTraffic, own: Iterable[Metric] = ()) -> SimulatedHarm:
    """Parse `refusal_rate=+6pp`, `cost_per_request=+50%` or `latency_p95=8000ms`. ValueError says what to write.

    `own` are the surface's own metrics. With a sign the value is a change; without one it is the metric's new level.
    """
    metric, equals, change = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f'"{text}" is not a change: write refusal_rate=+6pp or cost_per_request=+50%')
    entry = {**CATALOGUE, **{one.key: one for one in own}}.get(metric)
    if entry is None:
        raise ValueError(f'there is no metric "{metric}"; use the keys of a rollout file')
    found, level = parse_amount(change), known.level_of(entry).level
    signed = change[:1] in "+-"
    shown = f"{metric} {change}"
    rate = entry.is_binary or metric == NEW_CATEGORY_METRIC
    if found.unit is Unit.POINTS:
        if not rate:
            raise ValueError(f"{metric} is not a share, so it has no percentage points: write +50%")
        return SimulatedHarm(metric=metric, text=shown, shift=found.value)
    if found.unit is Unit.TIMES:
        return _build_ratio_harm(metric, shown, found.value)
    if found.unit is Unit.PERCENT and (signed or not rate) and metric != NEW_CATEGORY_METRIC:
        return _build_ratio_harm(metric, shown, 1 + found.value)
    if metric == NEW_CATEGORY_METRIC or (rate and found.unit is Unit.PERCENT):
        return SimulatedHarm(
            metric=metric, text=shown, shift=found.value - (0 if metric == NEW_CATEGORY_METRIC else level)
        )
    if rate or found.value < 0:
        raise ValueError(f"{metric} is a share: write +6pp, +50% or 8%")
    return _build_ratio_harm(metric, shown, found.value / level + (1 if signed else 0))


def build_harms(limits: Sequence[Limit], known: KnownTraffic) -> tuple[SimulatedHarm, ...]:
    """Harms that violate each acting rollback limit by twice its amount, one per metric and direction."""
    found: dict[tuple[str, bool], SimulatedHarm] = {}
    for limit in limits:
        if limit.role is LimitRole.ROLLBACK and limit.can_act:
            for harm in _harms_breaking(limit, known):
                found.setdefault((limit.metric, harm.shift < 0 or harm.ratio < 1), harm)
    return tuple(found.values())


def _harms_breaking(limit: Limit, known: KnownTraffic) -> Iterator[SimulatedHarm]:
    metric, size = limit.metric, HARM_MULTIPLE * limit.amount
    if limit.is_per_category:
        yield SimulatedHarm(metric=metric, text=f"{metric} {size * 100:g} % of requests", shift=size)
    elif limit.is_absolute:
        level = known.level_of(limit.entry).level
        if limit.entry.is_binary:
            yield SimulatedHarm(metric=metric, text=f"{metric} at {size * 100:g} %", shift=size - level)
        elif level > 0:
            yield SimulatedHarm(
                metric=metric, text=f"{metric} at {size:g} {_quantile_unit(limit.entry)}".strip(), ratio=size / level
            )
    else:
        up = limit.kind is not LimitKind.DROPS_BY
        sign = 1 if up else -1
        if limit.scale is LimitScale.POINTS:
            yield SimulatedHarm(metric=metric, text=f"{metric} {sign * size * 100:+g} pp", shift=sign * size)
        elif limit.scale is LimitScale.RELATIVE:
            yield _build_ratio_harm(metric, f"{metric} {sign * size * 100:+g} %", max(1 + sign * size, 0.0))
        else:
            level = known.level_of(limit.entry).level
            yield _build_ratio_harm(metric, f"{metric} {sign * size:+g}", max(1 + sign * size / level, 0.0))


def _build_ratio_harm(metric: str, text: str, ratio: float) -> SimulatedHarm:
    if ratio < 0:
        raise ValueError(f"{text}: nothing can fall by more than 100 %")
    return SimulatedHarm(metric=metric, text=text, ratio=ratio)


def _quantile_unit(entry: Metric) -> str:
    return entry.unit if entry.kind is MetricKind.QUANTILE else ""
