"""Power and length of comparisons that are read once: which difference they notice, and how long they would have to be.

A difference is noticed where its range at the end leaves out zero. The same sample shows an unchanged version to lie
within a limit of that size: both ask for (z(1 - alpha/2m) + z(0.8)) standard errors, with m deciding metrics
(Bonferroni). The new version's readings vary as they do once its rate has changed for the worse by that much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf, sqrt
from statistics import NormalDist

from core import durations
from core.files.foresight.known_traffic import KnownTraffic
from core.files.foresight.readings_needed import compute_variation
from core.files.sections.holdout_terms import LARGEST_HOLDOUT
from core.judging.limits.limits import Limit, LimitScale
from core.judging.report.horizon import COMPARISON_ALPHA
from core.metrics.catalogue import DesiredDirection, MarginScale, Metric, MetricKind
from core.metrics.typical_levels import MetricLevel
from core.rollout.plans.plan import Plan, Stage
from core.rollout.serving import holdout

POWER = 0.8
"""Chance that a difference of the size that is named is noticed."""
LONGEST = timedelta(days=366)
"""Longer comparisons are not suggested."""
_NORMAL = NormalDist()
_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)
_STEP = 0.1  # percent
_ROUNDS = 8  # until the smallest difference and the variance that it brings about agree


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPower:
    """What one deciding metric can show. `wanted` is its limit, or else the catalogue's margin; None for neither.

    `wanted` and `smallest` are fractions of the level where `is_relative`, else in points (0.01 is 1 pp). `needed` is
    how long it would have to last for `wanted`; None for longer than ten years, or where nothing is wanted.
    """

    metric: Metric
    is_relative: bool
    wanted: float | None
    smallest: float
    needed: timedelta | None

    @property
    def is_too_short(self) -> bool:
        """Whether a difference as large as is wanted may be missed at the end."""
        return self.wanted is not None and self.smallest > self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPower:
    """A comparison that is read once at its end: an `ab` stage, or a holdout. `percent` is the share of the new version
    in a stage, and of those held back in a holdout."""

    name: str
    percent: float
    lasts: timedelta
    metrics: tuple[MetricPower, ...]
    percent_needed: float | None = None  # of a holdout: the share that would do within the time; None: none would

    @property
    def short(self) -> tuple[MetricPower, ...]:
        """The metrics for which it is too short."""
        return tuple(one for one in self.metrics if one.is_too_short)

    @property
    def length_needed(self) -> timedelta | None:
        """The length that would do for every metric, in whole weeks from a week on; None if none up to a year would."""
        needed = [one.needed for one in self.metrics if one.wanted is not None]
        if any(span is None for span in needed):
            return None
        longest = max((span for span in needed if span is not None), default=timedelta(0))
        step = _WEEK if self.lasts >= _DAY else timedelta(minutes=15)
        rounded = ceil(longest / step) * step
        return rounded if rounded <= LONGEST else None


def foresee_comparisons(plan: Plan, known: KnownTraffic, reach: float = 1.0) -> tuple[ComparisonPower, ...]:
    """The long comparisons of a plan in order; none where the traffic is unknown.

    `known` is the traffic of the units that the rollout may touch, which are the fraction `reach` of all.
    """
    found = [
        foresee_stage(stage, plan.limits, [plan.find_metric(name) for name in stage.decide_on], plan.control, known)
        for stage in plan.stages
        if stage.is_decided_at_end
    ]
    if plan.holdout is not None:
        everyone = known.with_pace((known.daily_requests or 0.0) / reach, known.pace_from)
        metrics = [plan.find_metric(name) for name in holdout.list_deciding_metrics(plan)]
        found.append(foresee_holdout(plan.holdout.percent, plan.holdout.lasts, plan.limits, metrics, everyone))
    return tuple(one for one in found if one is not None)


def foresee_stage(
    stage: Stage, limits: Sequence[Limit], metrics: Sequence[Metric | None], control: str, known: KnownTraffic
) -> ComparisonPower | None:
    """What an `ab` stage can show on these metrics; None where the traffic is unknown or nothing is compared."""
    shares = stage.percent / 100, stage.control_share(control)
    judged = _judge_all(limits, metrics, known, *shares, stage.min_hold)
    if not judged:
        return None
    return ComparisonPower(name=stage.name, percent=stage.percent, lasts=stage.min_hold, metrics=judged)


def foresee_holdout(
    percent: float, lasts: timedelta, limits: Sequence[Limit], metrics: Sequence[Metric | None], known: KnownTraffic
) -> ComparisonPower | None:
    """What those held back can show on these metrics; None where the traffic is unknown or nothing is compared."""

    def judge(share: float) -> tuple[MetricPower, ...]:
        return _judge_all(limits, metrics, known, 1 - share, share, lasts)

    judged = judge(percent / 100)
    if not judged:
        return None
    steps = range(ceil(percent / _STEP), round(LARGEST_HOLDOUT / _STEP) + 1)
    enough = (step * _STEP for step in steps if not any(one.is_too_short for one in judge(step * _STEP / 100)))
    return ComparisonPower(
        name=holdout.STAGE, percent=percent, lasts=lasts, metrics=judged, percent_needed=next(enough, None)
    )


def _judge_all(
    limits: Sequence[Limit],
    metrics: Sequence[Metric | None],
    known: KnownTraffic,
    share: float,
    rest: float,
    lasts: timedelta,
) -> tuple[MetricPower, ...]:
    given = [metric for metric in metrics if metric is not None]
    if not known.daily_requests or not given or not 0 < share < 1 or rest <= 0:
        return ()
    errors = _NORMAL.inv_cdf(1 - COMPARISON_ALPHA / (2 * len(given))) + _NORMAL.inv_cdf(POWER)
    arms = (known.daily_requests * share, known.daily_requests * rest)
    return tuple(_judge_metric(metric, known.level_of(metric), limits, arms, errors, lasts) for metric in given)


def _judge_metric(
    metric: Metric,
    level: MetricLevel,
    limits: Sequence[Limit],
    arms: tuple[float, float],
    errors: float,
    lasts: timedelta,
) -> MetricPower:
    """`arms` are requests a day on each side, `errors` how many standard errors a difference has to be."""
    is_relative, wanted = _find_wanted(metric, limits)
    scale = level.level if is_relative else 1.0
    new, old = (a * level.share / level.design_effect for a in arms)

    def find_size(days: float, change: float) -> float:
        """How large a difference has to be after so many days, where the new version's rate has changed so much."""
        variance = _variance(metric, level, change * scale) / new + _variance(metric, level, 0.0) / old
        return errors * sqrt(variance / days) / scale if scale > 0 else inf

    smallest = 0.0
    for _ in range(_ROUNDS):
        smallest = find_size(lasts / _DAY, smallest)
    days = (find_size(1.0, wanted) / wanted) ** 2 if wanted else inf
    return MetricPower(
        metric=metric,
        is_relative=is_relative,
        wanted=wanted,
        smallest=smallest,
        needed=timedelta(days=days) if days < 3650 else None,
    )


def _variance(metric: Metric, level: MetricLevel, change: float) -> float:
    """The variance of one independent reading, once the rate has changed for the worse by `change`."""
    if metric.is_average:
        return (level.level * compute_variation(level.spread)) ** 2
    worse = -change if metric.good is DesiredDirection.UP else change
    if metric.kind is MetricKind.COUNT:
        return max(level.level + worse, 0.0)
    rate = min(max(level.level + worse, 0.0), 1.0)
    return max(rate * (1 - rate), level.level * (1 - level.level) / 4)


def _find_wanted(metric: Metric, limits: Sequence[Limit]) -> tuple[bool, float | None]:
    """(whether it is relative, the size): that of the smallest limit on the metric, or else the catalogue's margin."""
    own = [one for one in limits if one.metric == metric.key and not (one.is_absolute or one.is_per_category)]
    if own:
        least = min(own, key=lambda one: one.amount)
        return least.scale is LimitScale.RELATIVE, least.amount
    if metric.default_margin is not None and metric.margin_scale is not MarginScale.ABSOLUTE:
        return metric.margin_scale is MarginScale.RELATIVE, metric.default_margin
    return not metric.is_binary, None


def format_size(one: MetricPower, size: float) -> str:
    """A size as people read it: `1.4 pp`, `12 %`."""
    return f"{size * 100:,.3g} %" if one.is_relative else f"{size * 100:.2g} pp"


def describe_short(power: ComparisonPower) -> str:
    """For which metrics it is too short, and what would do."""
    missed = ", ".join(
        f"{one.metric.key} from {format_size(one, one.smallest)} on, not from {format_size(one, one.wanted or 0.0)}"
        for one in power.short
    )
    held = " held back" if power.name == holdout.STAGE else ""
    lasts = durations.format_exact(power.lasts)
    ways = []
    if power.length_needed is not None:
        ways.append(durations.format_exact(power.length_needed))
    if power.percent_needed is not None:
        ways.append(f"{power.percent_needed:g}% held back")
    would = f"{' or '.join(ways)} would do" if ways else "no length up to a year would do"
    return f"at this traffic {lasts} at {power.percent:g}%{held} notice {missed} (four times in five); {would}"
