"""What a surface's baseline fills in where a plan leaves it open: sample sizes, and the amounts of limits."""

from dataclasses import replace
from datetime import timedelta
from math import ceil, floor, log10

from core.files.foresight import detection
from core.files.foresight.detection import DetectionDesign, LimitForesight
from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.catalogue import CATALOGUE
from core.rollout.plans.plan import Stage

LEVEL_FACTOR = 2.0
"""How many default margins above its measured level a fixed limit is suggested."""
_DAY = timedelta(days=1)


def fill_sample_sizes(design: DetectionDesign, known: KnownTraffic) -> tuple[Stage, ...]:
    """The stages, with `min_samples` of those that have one as many requests as their rollback limits need.

    That is, until each is expected to notice a change of its own size, but no more than come within the stage.
    """
    return tuple(_fill_stage(design, stage, known) for stage in design.stages)


def suggest_amount(limit: Limit, design: DetectionDesign, stage: Stage, known: KnownTraffic) -> float | None:
    """The amount to suggest for a limit, in its own scale: what the stage can notice, but at least `limit.amount`.

    A fixed limit on a mean or a quantile lies above its measured level. None if nothing was measured of the metric, or
    if no change is ever noticed.
    """
    if limit.metric not in known.metrics or limit.is_per_category:
        return None
    if limit.is_absolute:
        margin = limit.entry.default_margin
        level = known.level_of(limit.entry).level
        return round_up(level * (1 + LEVEL_FACTOR * margin)) if margin is not None else None
    foreseen = detection.foresee_limits(replace(design, limits=(limit,)), stage, known)
    smallest = foreseen[0].smallest if foreseen else None
    return None if smallest is None else max(limit.amount, round_up(smallest))


def build_limit(metric: str, kind: LimitKind, amount: float) -> Limit:
    """A rollback limit of this kind, in the scale of the metric's default margin."""
    points = CATALOGUE[metric].is_binary and kind in {LimitKind.RISES_BY, LimitKind.DROPS_BY}
    relative = LimitScale.POINTS if points else LimitScale.RELATIVE
    fixed = kind in {LimitKind.EXCEEDS, LimitKind.RATE_ABOVE}
    scale = LimitScale.ABSOLUTE if fixed else relative
    return Limit(metric=metric, kind=kind, amount=amount, scale=scale, role=LimitRole.ROLLBACK)


def round_up(number: float) -> float:
    """The number rounded up to two digits."""
    if number <= 0:
        return number
    step = 10.0 ** (floor(log10(number)) - 1)
    return round(ceil(number / step - 1e-9) * step, 10)


def _fill_stage(design: DetectionDesign, stage: Stage, known: KnownTraffic) -> Stage:
    if not stage.min_samples or not stage.is_compared or not known.daily_requests:
        return stage
    foreseen = detection.foresee_limits(design, stage, known)
    needed = [_requests_needed(one, known) for one in foreseen if one.limit.role is LimitRole.ROLLBACK]
    return replace(stage, min_samples=int(round_up(max(needed)))) if needed else stage


def _requests_needed(one: LimitForesight, known: KnownTraffic) -> float:
    """Canary requests until the limit is expected to notice a change of its own size, or until the stage ends."""
    span = one.within if one.noticed is None else min(one.noticed, one.within)
    return (known.daily_requests or 0.0) * one.percent / 100 * (span / _DAY)
