"""Power of one measure so far: the smallest noticeable harm, the worst harm still possible, and the time needed."""

from dataclasses import dataclass
from datetime import timedelta
from math import exp, isfinite

from core.judging.model.confidence_range import SHOWN_FROM
from core.judging.model.limits import CATEGORIES
from core.judging.model.verdict import Harm, Measure
from core.metrics.catalogue import CATALOGUE, Good, Kind
from core.stats import planning
from core.stats.checked import Side

EDGE = 1e-9
TYPICAL = 0.02  # default typical harm, if neither a limit nor the catalogue gives one


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


def power(measure: Measure, *, canary_share: float, elapsed: timedelta, alpha: float = 0.05) -> Power:
    """Estimate what this measure could have shown since the stage began, `elapsed` ago.

    `canary_share` is the canary's share of both arms' traffic, 0 to 1. Times are expectations, not promises; a strict
    limit takes longer. The power for quantiles is unknown, since a measure does not hold the density around one.
    """
    bar = exp(-measure.needed) if measure.needed > 0 else alpha
    return Power(
        noticeable=_noticeable(measure, canary_share, bar),
        could_still_be=_worst(measure),
        decided_in=_decided_in(measure, canary_share, elapsed, bar),
    )


def harm(measure: Measure) -> Harm:
    """The harmful direction. Rows recorded before rows had a role take it from the catalogue."""
    entry = CATALOGUE.get(measure.metric)
    if measure.role or entry is None:
        return measure.harm
    match entry.good:
        case Good.UP:
            return "less"
        case Good.DOWN:
            return "more"
        case _:
            return "either"


def _noticeable(measure: Measure, share: float, alpha: float) -> float | None:
    if not _comparable(measure, share):
        return None
    kind = CATALOGUE[measure.metric].kind
    if kind is Kind.MEAN:
        typical = _typical(measure)
        if measure.error is None or measure.error <= 0 or typical is None or measure.n_canary < SHOWN_FROM:
            return None
        found = float(planning.smallest_noticeable_mean(measure.error, tau=2 * typical, alpha=alpha))
    else:
        trials = measure.n_canary / measure.design_effect
        found = max(_points(measure, side, trials, share, alpha) for side in _sides(measure))
    return _as_shown(measure, found) if isfinite(found) else None


def _points(measure: Measure, side: Side, trials: float, share: float, alpha: float) -> float:
    """Smallest noticeable change of a rate in points; infinite if no change would have been noticed."""
    if _is_fixed(measure):
        bound = _inside(measure.amount or 0.0)
        found = float(planning.smallest_noticeable_against(bound, trials, side=side, alpha=alpha))
    else:
        rate = _control_rate(measure)
        found = float(planning.smallest_noticeable(rate, trials, canary_share=share, side=side, alpha=alpha))
    return found if isfinite(found) else float("inf")


def _decided_in(measure: Measure, share: float, elapsed: timedelta, alpha: float) -> timedelta | None:
    amount = _own_unit(measure, measure.amount)
    if not amount or _is_fixed(measure) or not _comparable(measure, share) or measure.n_canary == 0:
        return None
    if CATALOGUE[measure.metric].kind is Kind.MEAN:
        if measure.error is None or measure.error <= 0 or measure.n_canary < SHOWN_FROM:
            return None
        wanted = float(planning.error_needed(amount, tau=2 * amount, alpha=alpha))
        needed = measure.n_canary * (measure.error / wanted) ** 2
    else:
        rate = _control_rate(measure)
        changed = [_inside(rate + amount if side == "greater" else rate - amount) for side in _sides(measure)]
        trials = [float(planning.canary_trials(rate, to, canary_share=share, alpha=alpha)) for to in changed]
        needed = max(trials) * measure.design_effect
    if needed <= measure.n_canary:
        return timedelta(0)
    hours = elapsed.total_seconds() / 3600
    if hours <= 0 or not isfinite(needed):
        return None
    return planning.time_until(needed - measure.n_canary, trials_per_hour=measure.n_canary / hours)


def _worst(measure: Measure) -> float | None:
    match harm(measure):
        case "more":
            return measure.high
        case "less":
            return measure.low
        case "either":
            ends = [x for x in (measure.low, measure.high) if x is not None]
            return max(ends, key=abs, default=None)


def _comparable(measure: Measure, share: float) -> bool:
    """Whether there is something to compare with and the metric's noise is known."""
    entry = CATALOGUE.get(measure.metric)
    if entry is None or measure.weaker or entry.kind is Kind.QUANTILE:
        return False
    if _is_fixed(measure):
        return entry.kind is not Kind.MEAN and measure.amount is not None and 0 < measure.amount < 1
    return 0 < share < 1 and measure.control is not None and measure.n_control > 0


def _is_fixed(measure: Measure) -> bool:
    return measure.absolute or measure.metric == CATEGORIES


def _sides(measure: Measure) -> tuple[Side, ...]:
    match harm(measure):
        case "more":
            return ("greater",)
        case "less":
            return ("less",)
        case "either":
            return ("greater", "less")


def _control_rate(measure: Measure) -> float:
    """Control's rate, smoothed away from 0 and 1: no event so far does not mean never."""
    control, trials = measure.control or 0.0, measure.n_control / measure.design_effect
    return _inside((control * trials + 0.5) / (trials + 1) if control <= 0 or control >= 1 else control)


def _typical(measure: Measure) -> float | None:
    """Typical harm of a mean in its own unit; it tunes the mixture."""
    entry = CATALOGUE[measure.metric]
    amount = measure.amount if measure.amount and not measure.absolute else entry.default_margin or TYPICAL
    return _own_unit(measure, amount) or None


def _own_unit(measure: Measure, amount: float | None) -> float | None:
    if amount is None or not measure.relative:
        return amount
    return amount * abs(measure.control) if measure.control is not None else None


def _as_shown(measure: Measure, found: float) -> float | None:
    if not measure.relative or _is_fixed(measure):
        return found
    return found / abs(measure.control) if measure.control else None


def _inside(rate: float) -> float:
    return min(max(rate, EDGE), 1 - EDGE)
