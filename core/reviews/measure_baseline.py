"""What a rollout measured of the version that is live after it: the baseline that its review may keep."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import expm1

from core.files.foresight import known_traffic
from core.judging.look import bucket_sums
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.look import Look
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, REQUESTS, Arm, EvidenceSums
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind
from core.metrics.typical_levels import MetricLevel
from core.reviews.draft import COMPLAINT_METRIC
from core.rollout.plans.baseline import BaselineLevel, HourlyComplaints, SurfaceBaseline
from core.rollout.state.model import Rollout, RolloutState
from core.stats import clustering

MAX_SEGMENTS = 20
"""Segments that a baseline holds, those with the most requests first."""
_LONGEST_GAP = timedelta(hours=1)
"""Between two looks; what came in during a longer gap cannot be told by the hour."""
_HOURS_OF_DAY = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeasuredArm:
    """The arm that had the version which is live now, and the stages in which it was open to everybody."""

    arm: Arm
    version: str
    stages: tuple[int, ...]


def measure_baseline(rollout: Rollout, sums: EvidenceSums, looks: Iterable[Look], live: str) -> SurfaceBaseline | None:
    """The baseline of `live`, measured in a rollout that has ended.

    None if another version is live by now, or if too little was measured. `looks` are the kept ones, in order.
    """
    measured = _choose_arm(rollout)
    if rollout.ended_at is None or measured.version != live:
        return None
    metrics = (*CATALOGUE.values(), *(rollout.plan.metrics or ()))
    levels = tuple(_measure_levels(sums, measured, metrics, EVERYONE))
    if not levels:
        return None
    return SurfaceBaseline(
        rollout=rollout.id,
        version=live,
        until=rollout.ended_at,
        daily_requests=known_traffic.measure_pace(rollout, sums, rollout.ended_at),
        levels=levels,
        segments=tuple(
            level
            for segment in _list_largest_segments(sums, measured)
            for level in _measure_levels(sums, measured, metrics, segment)
        ),
        complaints_by_hour=count_complaints(looks, measured.arm),
    )


def _choose_arm(rollout: Rollout) -> _MeasuredArm:
    done = rollout.state is RolloutState.DONE
    stages = {span.index: rollout.plan.stages[span.index] for span in rollout.spans}
    return _MeasuredArm(
        arm=CANARY if done else CONTROL,
        version=rollout.plan.to_version if done else rollout.plan.from_version,
        stages=tuple(
            index
            for index, stage in stages.items()
            if stage.where is None and (stage.has_exposure if done else stage.is_compared)
        ),
    )


def _measure_levels(
    sums: EvidenceSums, measured: _MeasuredArm, metrics: Iterable[Metric], segment: str
) -> Iterator[BaselineLevel]:
    for metric in metrics:
        level = known_traffic.measure_level(sums, measured.stages, metric, measured.arm, segment)
        if level is None:
            continue
        arrays = bucket_sums.read_bucket_sums(sums, measured.stages, measured.arm, metric.key, (segment,))[0]
        yield BaselineLevel(
            metric=metric.key,
            level=level.level,
            spread=level.spread,
            share=level.share,
            design_effect=_measure_design_effect(arrays, metric, level),
            readings=round(float(arrays[..., 0].sum())),
            segment=segment,
        )


def _measure_design_effect(arrays: bucket_sums.Array, metric: Metric, level: MetricLevel) -> float:
    """The design effect of single readings; for a mean, against the variance of a log-normal with this spread."""
    if metric.kind is not MetricKind.MEAN:
        return level.design_effect
    return clustering.design_effect_of_mean(arrays, level.level**2 * expm1(level.spread**2))


def _list_largest_segments(sums: EvidenceSums, measured: _MeasuredArm) -> tuple[str, ...]:
    requests: dict[str, float] = {}
    for key, cell in sums.cells.items():
        if key.segment and key.arm == measured.arm and key.metric == REQUESTS and key.stage in measured.stages:
            requests[key.segment] = requests.get(key.segment, 0.0) + float(cell.weight.sum())
    return tuple(sorted(requests, key=lambda segment: (-requests[segment], segment))[:MAX_SEGMENTS])


def count_complaints(looks: Iterable[Look], arm: Arm) -> tuple[HourlyComplaints, ...]:
    """Complaints and requests by hour of the week, from what each look adds to the one before in its stage."""
    counted: dict[int, tuple[float, float]] = {}
    before: tuple[int, datetime, float, float] | None = None
    for look in looks:
        comparison = look.find_comparison(COMPLAINT_METRIC, look.stage)
        if comparison is None:
            continue
        requests, complaints = _read_counts(comparison, arm)
        if before is not None and before[0] == look.stage and look.at - before[1] <= _LONGEST_GAP:
            hour = hour_of_week(look.at)
            known = counted.get(hour, (0.0, 0.0))
            counted[hour] = (known[0] + max(requests - before[2], 0), known[1] + max(complaints - before[3], 0))
        before = (look.stage, look.at, requests, complaints)
    return tuple(
        HourlyComplaints(hour=hour, requests=round(requests), complaints=round(complaints))
        for hour, (requests, complaints) in sorted(counted.items())
        if round(requests)
    )


def hour_of_week(at: datetime) -> int:
    """The hour of the week, 0 to 167 from Monday 00:00 UTC."""
    utc = at.astimezone(UTC)
    return utc.weekday() * _HOURS_OF_DAY + utc.hour


def _read_counts(comparison: ArmComparison, arm: Arm) -> tuple[float, float]:
    """(requests, complaints) of one arm since the stage began."""
    level, weight = (
        (comparison.level, comparison.level_weight)
        if arm == CANARY
        else (comparison.control, comparison.control_weight)
    )
    return weight, (level or 0.0) * weight
