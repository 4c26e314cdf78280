"""Power of one measure so far: the smallest noticeable harm, the worst harm still possible, and the time needed."""

from dataclasses import dataclass
from datetime import timedelta
from math import exp, isfinite, log
from statistics import NormalDist

from core.judging.limits.limits import NEW_CATEGORY_METRIC
from core.judging.model.confidence_range import MIN_REQUESTS_FOR_RANGE
from core.judging.model.question import FALSE_ALARM_ALPHA
from core.judging.model.verdict import Measure
from core.metrics.catalogue import CATALOGUE, HarmDirection, Metric, MetricKind
from core.stats import planning
from core.stats.input_checks import Side

_NORMAL = NormalDist()
TYPICAL_HARM = 0.02  # default typical harm, if neither a limit nor the catalogue gives one


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Statistical power of one measure. None means unknown.

    `noticeable` is the smallest harm that would have been noticed so far: a positive number in the unit of
    `difference`, or the distance beyond a fixed limit. `could_still_be` is the harmful end of the 95 % range.
    `decided_in` is the time until harm as large as the limit would be noticed at this traffic; zero if it already
    would have been.
    """

    noticeable: float | None
    could_still_be: float | None
    decided_in: timedelta | None


def estimate_power(measure: Measure, entry: Metric | None, *, canary_share: float, elapsed: timedelta) -> Power:
    """Estimate what this measure could have shown since the stage began, `elapsed` ago.

    `entry` is its metric, None if this program does not know it. `canary_share` is the canary's share of both arms'
    traffic, 0 to 1. Times are expectations, not promises; a strict limit takes longer. A quantile's rest on how widely
    the values near it spread, which the measure holds; unknown where it does not.
    """
    bar = exp(-measure.needed) if measure.needed > 0 else FALSE_ALARM_ALPHA
    return Power(
        noticeable=_smallest_noticeable(measure, entry, canary_share, bar),
        could_still_be=_worst_remaining(measure),
        decided_in=_decided_in(measure, entry, canary_share, elapsed, bar),
    )


def harm_direction(measure: Measure) -> HarmDirection:
    """The harmful direction. Rows recorded before rows had a role take it from the catalogue."""
    entry = CATALOGUE.get(measure.metric)
    return measure.harm if measure.role or entry is None else entry.harm_direction


def _smallest_noticeable(measure: Measure, entry: Metric | None, share: float, alpha: float) -> float | None:
    if entry is None or not _is_comparable(measure, entry, share):
        return None
    if entry.is_average:
        typical = _typical_harm(measure, entry)
        if measure.error is None or measure.error <= 0 or typical is None or measure.n_canary < MIN_REQUESTS_FOR_RANGE:
            return None
        found = float(planning.smallest_noticeable_mean(measure.error, tau=2 * typical, alpha=alpha))
    elif entry.quantile is not None:
        trials = measure.n_canary / measure.design_effect
        found = max(
            _noticeable_move(measure, entry.quantile, side, trials, share, alpha) for side in _harm_sides(measure)
        )
        return found if isfinite(found) else None
    else:
        trials = measure.n_canary / measure.design_effect
        found = max(_noticeable_points(measure, side, trials, share, alpha) for side in _harm_sides(measure))
    return _to_shown_unit(measure, found) if isfinite(found) else None


def _noticeable_points(measure: Measure, side: Side, trials: float, share: float, alpha: float) -> float:
    """Smallest noticeable change of a rate in points; infinite if no change would have been noticed."""
    if _has_fixed_limit(measure):
        bound = planning.clip_rate(measure.amount or 0.0)
        found = float(planning.smallest_noticeable_against(bound, trials, side=side, alpha=alpha))
    else:
        rate = _control_rate(measure)
        found = float(planning.smallest_noticeable(rate, trials, canary_share=share, side=side, alpha=alpha))
    return found if isfinite(found) else float("inf")


def _noticeable_move(measure: Measure, quantile: float, side: Side, trials: float, share: float, alpha: float) -> float:
    """Smallest noticeable change of a quantile as people read it: relative, or in its own unit beyond a fixed limit.

    The test counts values above a threshold: control's quantile, or the limit. Infinite if nothing would be noticed.
    """
    control_rate, spread = 1 - quantile, measure.spread or 0.0
    if measure.absolute:
        points = float(planning.smallest_noticeable_against(control_rate, trials, side=side, alpha=alpha))
    else:
        points = float(planning.smallest_noticeable(control_rate, trials, canary_share=share, side=side, alpha=alpha))
    if not isfinite(points):
        return float("inf")
    above = planning.clip_rate(control_rate + points if side == "greater" else control_rate - points)
    moved = abs(exp(spread * (_NORMAL.inv_cdf(quantile) - _NORMAL.inv_cdf(1 - above))) - 1)
    return moved * (measure.amount or 0.0) if measure.absolute else moved


def _rate_above_quantile(measure: Measure, quantile: float, side: Side) -> float:
    """The share of values above control's quantile once it has changed by the limit."""
    moved = measure.amount or 0.0
    if not measure.relative:
        moved /= measure.control or 1.0
    factor = 1 + moved if side == "greater" else 1 - moved
    return planning.clip_rate(
        1
        - _NORMAL.cdf(
            _NORMAL.inv_cdf(quantile) - log(max(factor, planning.LEAST_RATE)) / (measure.spread or planning.LEAST_RATE)
        )
    )


def _decided_in(
    measure: Measure, entry: Metric | None, share: float, elapsed: timedelta, alpha: float
) -> timedelta | None:
    amount = _to_own_unit(measure, measure.amount)
    if entry is None or not amount or _has_fixed_limit(measure) or measure.n_canary == 0:
        return None
    if not _is_comparable(measure, entry, share):
        return None
    if entry.is_average:
        if measure.error is None or measure.error <= 0 or measure.n_canary < MIN_REQUESTS_FOR_RANGE:
            return None
        wanted = float(planning.error_needed(amount, tau=2 * amount, alpha=alpha))
        needed = measure.n_canary * (measure.error / wanted) ** 2
    elif entry.quantile is not None:
        changed = [_rate_above_quantile(measure, entry.quantile, side) for side in _harm_sides(measure)]
        control_rate = 1 - entry.quantile
        trials = [float(planning.canary_trials(control_rate, to, canary_share=share, alpha=alpha)) for to in changed]
        needed = max(trials) * measure.design_effect
    else:
        rate = _control_rate(measure)
        changed = [
            planning.clip_rate(rate + amount if side == "greater" else rate - amount) for side in _harm_sides(measure)
        ]
        trials = [float(planning.canary_trials(rate, to, canary_share=share, alpha=alpha)) for to in changed]
        needed = max(trials) * measure.design_effect
    if needed <= measure.n_canary:
        return timedelta(0)
    hours = elapsed.total_seconds() / 3600
    if hours <= 0 or not isfinite(needed):
        return None
    return planning.time_until(needed - measure.n_canary, trials_per_hour=measure.n_canary / hours)


def _worst_remaining(measure: Measure) -> float | None:
    match harm_direction(measure):
        case "more":
            return measure.high
        case "less":
            return measure.low
        case "either":
            ends = [x for x in (measure.low, measure.high) if x is not None]
            return max(ends, key=abs, default=None)


def _is_comparable(measure: Measure, entry: Metric, share: float) -> bool:
    """Whether there is something to compare with and the metric's noise is known."""
    if measure.weaker or (entry.kind is MetricKind.QUANTILE and not measure.spread):
        return False
    if _has_fixed_limit(measure) and entry.quantile is not None:
        return bool(measure.amount)
    if _has_fixed_limit(measure):
        return not entry.is_average and measure.amount is not None and 0 < measure.amount < 1
    return 0 < share < 1 and measure.control is not None and measure.n_control > 0


def _has_fixed_limit(measure: Measure) -> bool:
    return measure.absolute or measure.metric == NEW_CATEGORY_METRIC


def _harm_sides(measure: Measure) -> tuple[Side, ...]:
    match harm_direction(measure):
        case "more":
            return ("greater",)
        case "less":
            return ("less",)
        case "either":
            return ("greater", "less")


def _control_rate(measure: Measure) -> float:
    """Control's rate, smoothed away from 0 and 1: no event so far does not mean never."""
    control, trials = measure.control or 0.0, measure.n_control / measure.design_effect
    return planning.clip_rate((control * trials + 0.5) / (trials + 1) if control <= 0 or control >= 1 else control)


def _typical_harm(measure: Measure, entry: Metric) -> float | None:
    """Typical harm of a mean in its own unit; it tunes the mixture."""
    amount = measure.amount if measure.amount and not measure.absolute else entry.default_margin or TYPICAL_HARM
    return _to_own_unit(measure, amount) or None


def _to_own_unit(measure: Measure, amount: float | None) -> float | None:
    if amount is None or not measure.relative:
        return amount
    return amount * abs(measure.control) if measure.control is not None else None


def _to_shown_unit(measure: Measure, found: float) -> float | None:
    if not measure.relative or _has_fixed_limit(measure):
        return found
    return found / abs(measure.control) if measure.control else None
