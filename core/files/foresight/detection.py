"""What a plan can detect: how soon each limit notices a change in a stage, the smallest change, and what would help.

These are expected figures from the evidence that a limit needs; `simulate` plays the same plan out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from math import exp, inf
from typing import assert_never

from core.files.foresight.known_traffic import KnownTraffic
from core.files.foresight.readings_needed import evidence_needed, readings_to_clear, readings_to_notice
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.typical_levels import JUDGED_METRICS, MetricLevel
from core.rollout.plans.plan import Plan, Risk, Stage
from core.rollout.plans.policy import DEFAULT_POLICY, GrowOn, Policy

LARGEST_PERCENT = 50.0  # the largest canary that leaves at least half of the traffic unchanged
ASSUMED_EXCESS = 0.25
"""How far above a fixed limit the level is assumed to lie, as a fraction; exactly at the limit it is undetectable."""
POWER_FACTOR = 2.0
"""Factor on the expected readings until a change is found with 80 % power, as the engine requires more of a finding
than evidence. Measured between 1.4 and 2.7."""
SIGHT_FACTOR = 2.0
_PRECISION = 1e-9  # of what is found, as a fraction; people are shown two digits of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedies:
    """What would make a limit notice its change within the stage, each on its own; None if that does not help.

    `percent` is 0 to 100, `judging` the fraction of answers to check, `amount` in the unit of the limit.
    """

    percent: float | None
    judging: float | None
    hold: timedelta | None
    amount: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitForesight:
    """What one limit can detect in one stage.

    `size` is the change to detect: the amount of the limit; for a fixed limit, a level a quarter above it; for error
    categories, twice the rate. `smallest` is the smallest change noticed `within` the stage. Both are in the scale of
    the limit, for fixed limits as the level itself.

    `expected` is how long the stage lasts if no limit breaks: its hold, its requests, and the evidence that growth
    waits for, up to `within`. `smallest_by_then` is the smallest change noticed by then. `cleared` is when unchanged
    rates are shown to keep the limit. Times that are never reached are None.
    """

    limit: Limit
    stage: str
    percent: float
    within: timedelta
    level: MetricLevel
    size: float
    noticed: timedelta | None
    smallest: float | None
    expected: timedelta
    smallest_by_then: float | None
    cleared: timedelta | None
    clearable: bool  # whether it can be shown that the limit is kept; not so for error categories
    rare: bool  # whether the engine only watches the limit instead of waiting until it is cleared
    waits: bool  # whether the stage waits until every limit is cleared
    remedies: Remedies | None
    seen: timedelta | None = None  # when harm of twice the limit is detected with 80 % power
    needs_sight: bool = False  # whether the stage waits until then

    @property
    def is_blind(self) -> bool:
        """Whether the stage ends, and asks, before harm of twice the limit would be detected."""
        return self.needs_sight and (self.seen is None or self.seen > self.within)

    @property
    def is_noticed_in_time(self) -> bool:
        """Whether the change to detect is noticed within the stage, if it lasts as long as it may."""
        return self.noticed is not None and self.noticed <= self.within

    @property
    def is_noticed_as_expected(self) -> bool:
        """Whether the change to detect is noticed before the stage is expected to be left."""
        return self.noticed is not None and self.noticed <= self.expected

    @property
    def is_cleared_in_time(self) -> bool:
        """Whether the limit is shown to be kept within the stage, or cannot be shown at all."""
        return not self.clearable or (self.cleared is not None and self.cleared <= self.within)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionDesign:
    """The parts of a plan that determine what it can detect."""

    stages: tuple[Stage, ...]
    limits: tuple[Limit, ...]
    control: str = "concurrent"
    segments: bool = False
    risk: Risk = Risk.STANDARD
    grow_on: GrowOn = GrowOn.TIME

    @property
    def compared_stages(self) -> tuple[Stage, ...]:
        """The stages with canary and control side by side, open to everyone, that last for some time."""
        return tuple(
            s for s in self.stages if s.is_compared and s.where is None and self.longest_time_in(s) > timedelta(0)
        )

    def longest_time_in(self, stage: Stage) -> timedelta:
        """The longest the stage lasts: where something has to be shown first, until a person is asked."""
        waits = self.risk is Risk.HIGH or self.grow_on is not GrowOn.TIME
        return stage.longest_hold if waits else stage.max_hold or stage.min_hold


def design_from_plan(plan: Plan, policy: Policy = DEFAULT_POLICY) -> DetectionDesign:
    """The design of a plan, as it grows under a policy."""
    return DetectionDesign(
        stages=plan.stages,
        limits=plan.limits,
        control=plan.control,
        segments=bool(plan.segments),
        risk=plan.risk,
        grow_on=policy.growth_rule_for(plan.risk),
    )


def foresee_limits(design: DetectionDesign, stage: Stage, known: KnownTraffic) -> tuple[LimitForesight, ...]:
    """What each acting limit can detect in a stage, in the order of the limits; empty if the traffic is unknown."""
    if not known.daily_requests:
        return ()
    levels = tuple(known.level_of(limit.entry) for limit in design.limits if limit.can_act)
    asked = _ForecastInputs(
        design=replace(design, stages=()),
        stage=replace(stage, where=None),
        daily_requests=known.daily_requests,
        levels=levels,
        known=known,
    )
    return _foresee_limits(asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ForecastInputs:
    """All that the forecast of a stage depends on: the key under which it is kept. Of `known`, nothing is read but the
    requests and the levels that stand beside it."""

    design: DetectionDesign  # without its stages, of which only `stage` matters
    stage: Stage
    daily_requests: float
    levels: tuple[MetricLevel, ...]
    known: KnownTraffic = field(compare=False)


@lru_cache(maxsize=256)  # people ask about the same plan again and again, and each answer takes hundreds of searches
def _foresee_limits(asked: _ForecastInputs) -> tuple[LimitForesight, ...]:
    design, stage, known = asked.design, asked.stage, asked.known
    within, limits = design.longest_time_in(stage), [limit for limit in design.limits if limit.can_act]
    seen = [
        _time_until_seen(design, stage, known, limit) if limit.role is LimitRole.ROLLBACK else None for limit in limits
    ]
    cleared = [_time_until_cleared(design, stage, known, limit) for limit in limits]
    match design.grow_on:
        case GrowOn.NOTICEABLE:
            waits = [when for limit, when in zip(limits, seen, strict=True) if limit.role is LimitRole.ROLLBACK]
        case GrowOn.SHOWN:
            waits = [
                when
                for limit, when in zip(limits, cleared, strict=True)
                if not limit.is_per_category and not _is_only_watched(limit, when, within)
            ]
        case GrowOn.TIME:
            waits = []
        case _:
            assert_never(design.grow_on)
    expected = min(max([expected_time_in_stage(stage, known), *(when or within for when in waits)]), within)
    return tuple(
        replace(
            _foresee_limit(design, stage, known, limit, expected, kept),
            seen=when,
            needs_sight=design.grow_on is GrowOn.NOTICEABLE and limit.role is LimitRole.ROLLBACK,
        )
        for limit, when, kept in zip(limits, seen, cleared, strict=True)
    )


def _time_until_seen(design: DetectionDesign, stage: Stage, known: KnownTraffic, limit: Limit) -> timedelta | None:
    """When harm of twice the limit is detected with 80 % power; None if never."""
    level, size = known.level_of(limit.entry), SIGHT_FACTOR * limit.amount
    if limit.is_absolute or limit.is_per_category:
        size = SIGHT_FACTOR - 1.0
    alpha = exp(-evidence_needed(design.limits, limit, segments=design.segments))
    asked = readings_to_notice(limit, level, size, canary_share=_canary_share(design, stage.percent), alpha=alpha)
    return _to_span(POWER_FACTOR * asked / _readings_per_hour(known, level, stage.percent))


def _time_until_cleared(design: DetectionDesign, stage: Stage, known: KnownTraffic, limit: Limit) -> timedelta | None:
    """When an unchanged level is shown to keep the limit; None if never."""
    level, share = known.level_of(limit.entry), _canary_share(design, stage.percent)
    readings = readings_to_clear(limit, level, canary_share=share)
    return _to_span(readings / _readings_per_hour(known, level, stage.percent))


def _is_only_watched(limit: Limit, cleared: timedelta | None, within: timedelta) -> bool:
    """Whether the engine watches the limit instead of waiting: what it counts is too rare to be shown in time."""
    countable = not limit.entry.has_amounts and not limit.is_absolute and not limit.is_per_category
    return countable and (cleared is None or cleared > within)


def foresee_best_stages(design: DetectionDesign, known: KnownTraffic) -> tuple[LimitForesight, ...]:
    """Each limit in the stage that comes closest to noticing it in time; the first one if several do."""
    stages = [foresee_limits(design, stage, known) for stage in design.compared_stages]
    return tuple(min(of, key=_relative_delay) for of in zip(*stages, strict=True))


def _relative_delay(one: LimitForesight) -> float:
    """The time until it is noticed, in multiples of the stage's time; 1 for everything in time."""
    return inf if one.noticed is None else max(one.noticed / one.within, 1.0)


def expected_time_in_stage(stage: Stage, known: KnownTraffic) -> timedelta:
    """How long a stage lasts if nothing prevents leaving it: its minimum hold and its minimum requests."""
    if not known.daily_requests:
        return stage.min_hold
    return max(stage.min_hold, timedelta(days=stage.min_samples / (known.daily_requests * stage.percent / 100)))


def _foresee_limit(
    design: DetectionDesign,
    stage: Stage,
    known: KnownTraffic,
    limit: Limit,
    expected: timedelta,
    cleared: timedelta | None,
) -> LimitForesight:
    level, within = known.level_of(limit.entry), design.longest_time_in(stage)
    alpha = exp(-evidence_needed(design.limits, limit, segments=design.segments))
    size = _change_sought(limit)

    def hours_until_noticed(percent: float, amount: float) -> float:
        """Hours until a change is noticed at this percentage."""
        per_hour = _readings_per_hour(known, level, percent)
        share = _canary_share(design, percent)
        return readings_to_notice(limit, level, amount, canary_share=share, alpha=alpha) / per_hour

    hours, limit_hours = hours_until_noticed(stage.percent, size), within / timedelta(hours=1)
    low, high = _size_range(limit, level)
    smallest = _find_least(lambda x: hours_until_noticed(stage.percent, x) <= limit_hours, low, high)
    expected_hours = expected / timedelta(hours=1)
    early = _find_least(lambda x: hours_until_noticed(stage.percent, x) <= expected_hours, low, high)
    ways = None
    if not hours <= limit_hours:
        percent = _find_least(lambda x: hours_until_noticed(x, size) <= limit_hours, stage.percent, LARGEST_PERCENT)
        more = level.share * hours / limit_hours
        ways = Remedies(
            percent=percent,
            judging=more if limit.metric in JUDGED_METRICS and more <= 1 else None,
            hold=_to_span(hours),
            amount=_displayed_size(limit, smallest),
        )
    return LimitForesight(
        limit=limit,
        stage=stage.name,
        percent=stage.percent,
        within=within,
        level=level,
        size=_displayed_size(limit, size) or 0.0,
        noticed=_to_span(hours),
        smallest=_displayed_size(limit, smallest),
        expected=expected,
        smallest_by_then=_displayed_size(limit, early),
        cleared=cleared,
        clearable=not limit.is_per_category,
        rare=_is_only_watched(limit, cleared, within),
        waits=design.risk is Risk.HIGH,
        remedies=ways,
    )


def _readings_per_hour(known: KnownTraffic, level: MetricLevel, percent: float) -> float:
    """Effective canary readings per hour: repeated requests of a user count less than independent ones."""
    assert known.daily_requests is not None
    return known.daily_requests / 24 * percent / 100 * level.share / level.design_effect


def _canary_share(design: DetectionDesign, percent: float) -> float:
    return 0.5 if design.control == "matched" and percent <= LARGEST_PERCENT else percent / 100


def _change_sought(limit: Limit) -> float:
    """The relative or absolute change to detect."""
    if limit.is_per_category:
        return 1.0
    if limit.is_absolute:
        return ASSUMED_EXCESS
    return 2 * limit.amount if limit.strict else limit.amount


def _size_range(limit: Limit, level: MetricLevel) -> tuple[float, float]:
    """The smallest and the largest sensible change, in the limit's scale."""
    if limit.is_absolute or limit.is_per_category:
        return 0.001, 100.0
    if limit.scale is LimitScale.RELATIVE:
        return limit.amount / 50, 0.999 if limit.kind is LimitKind.DROPS_BY else 100.0
    if limit.entry.is_binary:
        room = level.level if limit.kind is LimitKind.DROPS_BY else 1 - level.level
        return limit.amount / 50, room * 0.999
    return limit.amount / 50, level.level * 100


def _displayed_size(limit: Limit, size: float | None) -> float | None:
    """A size as shown to people: for a fixed limit, the level itself."""
    if size is None:
        return None
    return limit.amount * (1 + size) if limit.is_absolute or limit.is_per_category else size


def _find_least(enough: Callable[[float], bool], low: float, high: float) -> float | None:
    """The smallest x in [low, high] that is enough, for a monotone `enough`; None if not even `high` is."""
    if not enough(high):
        return None
    if enough(low):
        return low
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _to_span(hours: float) -> timedelta | None:
    """The duration; None if it is longer than ten years."""
    return timedelta(hours=hours) if hours < 24 * 3650 else None


def select_late(foreseen: Sequence[LimitForesight]) -> tuple[LimitForesight, ...]:
    """The limits that do not notice their own change within the stage."""
    return tuple(one for one in foreseen if not one.is_noticed_in_time)
