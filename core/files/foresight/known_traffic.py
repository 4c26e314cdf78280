"""What is known of a surface's traffic before a rollout: its pace and its levels, measured or assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from core.judging.limits.limits import NEW_CATEGORY_METRIC
from core.judging.look import bucket_sums
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, REQUESTS, EvidenceSums
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind
from core.metrics.typical_levels import TYPICAL, MetricLevel, assume_level
from core.rollout.state.model import Rollout
from core.rollout.state.sources import map_unknown_units
from core.rollout.state.surface import Surface
from core.stats import clustering, quantile
from core.stats.input_checks import Array

ENOUGH_READINGS = 200  # readings of control before its level is trusted
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTraffic:
    """The traffic of a surface. `daily_requests` is None if it is unknown; `pace_from` says where it comes from.

    `measured` is the id of the rollout that the levels come from, empty if they are assumed; `metrics` lists those that
    were measured. `is_baseline`: a review has kept them as what is normal.
    """

    daily_requests: float | None
    pace_from: str
    levels: Mapping[str, MetricLevel] = field(default_factory=lambda: dict(TYPICAL))
    measured: str = ""
    metrics: frozenset[str] = frozenset()
    is_baseline: bool = False
    unknown_units: Mapping[str, float] = field(default_factory=dict)

    def level_of(self, metric: Metric) -> MetricLevel:
        """The measured level of a metric, or else the typical one."""
        found = self.levels.get(metric.key)
        if found is None or (metric.key not in TYPICAL and (found.spread > 0) != metric.has_amounts):
            found = assume_level(metric)  # not measured, or measured while this name meant another kind of metric
        return replace(found, design_effect=max(found.design_effect, self.unknown_units.get(metric.key, 1.0)))

    @property
    def levels_from(self) -> str:
        """Where the levels come from, as a phrase."""
        if self.is_baseline:
            return f"of the baseline from {self.measured}"
        return f"as measured in {self.measured}" if self.measured else "assumed: nothing has been measured yet"

    def with_pace(self, daily_requests: float, source: str) -> "KnownTraffic":
        """The same traffic with another pace."""
        return replace(self, daily_requests=daily_requests, pace_from=source)


def assume_traffic(surface: Surface) -> KnownTraffic:
    """The traffic before any rollout: the pace of the surface file, and typical levels."""
    unknown = map_unknown_units(surface.sources or ())
    if surface.daily_requests is None:
        return KnownTraffic(daily_requests=None, pace_from="", unknown_units=unknown)
    return KnownTraffic(daily_requests=float(surface.daily_requests), pace_from="daily_requests", unknown_units=unknown)


def recall_traffic(surface: Surface) -> KnownTraffic | None:
    """The traffic as the baseline of the live version has it; None without one.

    The surface file's pace takes precedence over the measured one.
    """
    baseline = surface.live_baseline
    if baseline is None:
        return None
    known = assume_traffic(surface)
    if known.daily_requests is None and baseline.daily_requests is not None:
        known = known.with_pace(baseline.daily_requests, f"the pace of {baseline.rollout}")
    found = {
        one.metric: MetricLevel(level=one.level, spread=one.spread, share=one.share, design_effect=one.design_effect)
        for one in baseline.levels
    }
    return replace(
        known,
        levels={**TYPICAL, **found},
        measured=baseline.rollout,
        metrics=frozenset(found),
        is_baseline=True,
    )


def measure_traffic(surface: Surface, rollout: Rollout, sums: EvidenceSums, now: datetime) -> KnownTraffic:
    """The traffic that the control of a rollout showed; the rest is assumed.

    The surface file's pace takes precedence over the measured one.
    """
    stages = [span.index for span in rollout.spans if rollout.plan.stages[span.index].is_compared]
    metrics = (*CATALOGUE.values(), *(rollout.plan.metrics or ()))
    found = {one.key: level for one in metrics if (level := measure_level(sums, stages, one)) is not None}
    known = assume_traffic(surface)
    if known.daily_requests is None and (pace := measure_pace(rollout, sums, now)) is not None:
        known = known.with_pace(pace, f"the pace of {rollout.id}")
    if not found:
        return known
    return replace(known, levels={**TYPICAL, **found}, measured=rollout.id, metrics=frozenset(found))


def measure_level(
    sums: EvidenceSums, stages: Sequence[int], entry: Metric, arm: str = CONTROL, segment: str = EVERYONE
) -> MetricLevel | None:
    """The level of a metric in one arm over these stages; None if there are too few readings."""
    arrays = bucket_sums.read_bucket_sums(sums, stages, arm, entry.key, (segment,))[0]
    weight, value = float(arrays[..., 0].sum()), float(arrays[..., 1].sum())
    requests = float(bucket_sums.read_bucket_sums(sums, stages, arm, REQUESTS, (segment,))[..., 0].sum())
    if weight < ENOUGH_READINGS or requests <= 0 or entry.key == NEW_CATEGORY_METRIC:
        return None
    if entry.kind is MetricKind.COUNT:
        return MetricLevel(level=(value + 0.5) / (requests + 1)) if value > 0 else None
    share = min(weight / requests, 1.0)
    if not entry.has_amounts:
        return MetricLevel(
            level=(value + 0.5) / (weight + 1), share=share, design_effect=float(clustering.design_effect(arrays))
        )
    if entry.kind is MetricKind.RATIO:
        arrays = bucket_sums.read_metric_sums(sums, stages, arm, entry, entry.key, (segment,))[0]
        weight = float(arrays[..., 0].sum())
    counted = bucket_sums.merge_histograms(sums, stages, arm, entry.key, segment)
    # Once the cap of a mean is frozen, its histogram is no longer stored; the buckets' spread is a good substitute.
    spread = (
        _measure_spread(counted) if sum(counted.values()) >= ENOUGH_READINGS else _estimate_spread_from_buckets(arrays)
    )
    if entry.quantile is None:
        return MetricLevel(level=value / weight, spread=spread, share=share) if value > 0 else None
    high = quantile.estimate_quantile(counted, entry.quantile)
    return MetricLevel(level=high, spread=spread, share=share) if high else None


def _measure_spread(counted: Mapping[int, int]) -> float:
    """The standard deviation of the logarithm, at least 0.01."""
    bins = np.array([b for b in counted if b > quantile.LOWEST_BIN], dtype=np.float64)
    if len(bins) == 0:
        return 0.01
    weights = np.array([counted[int(b)] for b in bins], dtype=np.float64)
    logs = bins * np.log(quantile.GAMMA)
    centre = np.average(logs, weights=weights)
    return max(0.01, float(np.sqrt(np.average((logs - centre) ** 2, weights=weights))))


def _estimate_spread_from_buckets(arrays: Array) -> float:
    """The log-normal spread that explains how much sums of buckets vary; shape (stages, 256, 2)."""
    weight, value = arrays[..., 0], arrays[..., 1]
    total = weight.sum(axis=-1, keepdims=True)
    level = np.divide(value.sum(axis=-1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    variance = float(((value - level * weight) ** 2).sum()) / max(float(weight.sum()), 1.0)
    mean = float(value.sum()) / max(float(weight.sum()), 1.0)
    return max(0.01, float(np.sqrt(np.log1p(variance / mean**2)))) if mean > 0 else 0.01


def measure_pace(rollout: Rollout, sums: EvidenceSums, now: datetime) -> float | None:
    """Requests per day in the stages that were open to everyone, with those of other surfaces' users in its layer; None
    if there were none."""
    requests, days = 0.0, 0.0
    for span in rollout.spans:
        stage = rollout.plan.stages[span.index]
        lasted = ((span.until or rollout.ended_at or now) - span.since) / DAY
        if not stage.has_exposure or stage.where is not None or lasted <= 0:
            continue
        arms = (CANARY,) if rollout.plan.control == "matched" else (CANARY, CONTROL)
        seen = sum(
            float(bucket_sums.read_bucket_sums(sums, (span.index,), arm, REQUESTS)[..., 0].sum()) for arm in arms
        )
        requests += seen / (stage.percent / 100) if rollout.plan.control == "matched" else seen
        days += lasted
    share = rollout.layer.share if rollout.layer is not None else 1.0
    return requests / days / share if requests > 0 and days > 0 else None
