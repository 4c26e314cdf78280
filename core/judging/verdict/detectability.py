"""Blind spots: rollback limits whose test would not yet find harm of twice their amount with 80 % probability."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil, log
from statistics import NormalDist

import numpy as np

from core.judging.engine.accumulate import canary_units, gate_is_open
from core.judging.look import quantile_crossing
from core.judging.look.arm_comparison import Standing
from core.judging.look.leave_one_out import HALF, beside
from core.judging.look.look import Look
from core.judging.look.new_counts import counted
from core.judging.model.alpha_shares import CAPPED, TAIL, fading, of_everybody, of_stage
from core.judging.model.evidence import BUCKETS, REQUESTS, counter
from core.judging.model.hypothesis import Hypothesis, hypotheses, is_beyond
from core.judging.model.limits import CATEGORY_UNIT, Kind, Limit, Role, Scale, wording
from core.judging.model.question import Question
from core.judging.model.state import State
from core.judging.model.verdict import BlindSpot, Harm
from core.metrics.catalogue import CATALOGUE
from core.metrics.catalogue import Kind as MetricKind
from core.stats import mean, proportion, rate
from core.stats.checked import Array

TIMES = 2.0
"""The harm that has to be detected, as a multiple of the limit's amount."""
CHANCE = 0.8
"""The probability with which it has to be detected."""
BELOW = NormalDist().inv_cdf(CHANCE)
"""Standard errors below the expectation that a draw stays above with `DETECTION_PROBABILITY`."""
REPORTERS = 3
USUAL_SPREAD = 0.75
"""Assumed standard deviation of the logarithm of latencies if the data do not show it."""
NARROWEST, WIDEST = 0.3, 1.2
LEAST = 1e-6
MOST = 1e4
"""Largest multiple of the present traffic that is considered; anything beyond counts as never."""
_NOW, _AHEAD = np.ones(1), np.geomspace(1.05, MOST, 60)
_NORMAL = NormalDist()
NORMAL_FROM = 50.0
_MIDDLES = (np.arange(BUCKETS) + 0.5) / BUCKETS
_NORMALS = np.array([_NORMAL.inv_cdf(float(one)) for one in _MIDDLES])
_LOG_FACTORIALS = np.cumsum(np.log(np.maximum(np.arange(200), 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """Evidence to expect for one limit.

    `readings` are the canary's so far. `evidence` maps multiples of the present traffic to the log e-value (before the
    limit's share) that harm of twice the limit reaches with 80 % probability; None if it never gives any.
    """

    readings: float
    evidence: Callable[[Array], Array] | None


def blind_spots(question: Question, look: Look, state: State) -> tuple[BlindSpot, ...]:
    """Blind spots among the acting rollback limits in the current stage, in order. `state` is the one after the look.

    All evidence since the first stage with a control counts. Once no control is left nothing more can be detected, so
    only limits without any reading are listed.
    """
    if question.current not in question.exposed:
        return ()
    positions = question.acting(Role.ROLLBACK)
    return tuple(
        spot for position in positions if (spot := _blind(question, look, state, position, len(positions))) is not None
    )


def nothing_seen(limits: tuple[Limit, ...]) -> tuple[BlindSpot, ...]:
    """The blind spots before the first look: every acting rollback limit."""
    return tuple(_spot(limit) for limit in limits if limit.acts and limit.role is Role.ROLLBACK)


def _blind(question: Question, look: Look, state: State, position: int, limits: int) -> BlindSpot | None:
    limit = question.limits[position]
    spot = _spot(limit)
    since = look.standing(limit.metric, question.exposed[0])
    if counted(limit):
        if since is None or since.level_weight == 0:
            return replace(spot, unread=True, arm="canary")
        if not limit.absolute and question.stage.compared and since.control_weight == 0:
            return replace(spot, unread=True, arm="control", readings=round(since.level_weight))
    if not (question.stage.compared and question.stage.control_left):
        return None
    bar = log(1 / question.alpha) + log(limits) - log(of_everybody(question))
    of = [_read(question, look, state, position, one) for one in hypotheses(limit)]
    missing = [
        (read, None if read.evidence is None else _first(read.evidence, bar - log(_share(question, limit, one))))
        for read, one in zip(of, hypotheses(limit), strict=True)
    ]
    late = [(read, times) for read, times in missing if times is None or times > 1]
    if not late:
        return None
    readings = round(max(read.readings for read, _ in late))
    if any(times is None for _, times in late):
        return replace(spot, readings=readings)
    times = max(times for _, times in late if times is not None)
    needed = max(ceil(readings * times), readings + 1)
    return replace(spot, readings=readings, needed=needed, more=_more(question, look, state, limit, needed - readings))


def _spot(limit: Limit) -> BlindSpot:
    entry = CATALOGUE[limit.metric]
    harm: Harm = "either" if limit.kind is Kind.CHANGES_BY else "less" if limit.kind is Kind.DROPS_BY else "more"
    return BlindSpot(
        metric=limit.metric,
        kind=limit.kind.value,
        title=entry.title,
        limit_text=wording(limit),
        missed=TIMES * limit.amount,
        unit=CATEGORY_UNIT if limit.per_category else entry.unit,
        relative=limit.scale is Scale.RELATIVE,
        harm=harm,
        absolute=limit.absolute or limit.per_category,
    )


def _first(evidence: Callable[[Array], Array], bar: float) -> float | None:
    """The smallest multiple of the present traffic that gives enough evidence; None if none does."""
    if evidence(_NOW)[0] >= bar:
        return 1.0
    enough = evidence(_AHEAD) >= bar
    return float(_AHEAD[int(np.argmax(enough))]) if enough.any() else None


def _more(question: Question, look: Look, state: State, limit: Limit, readings: int) -> timedelta | None:
    """Time until the canary has this many more readings at the current pace; None if unknown or over a year."""
    metric = limit.metric if counted(limit) else REQUESTS
    began = state.stage_seen
    here = state.total(question.current, REQUESTS).canary_trials
    if counted(limit):
        standing = look.standing(metric, question.current)
        here = standing.level_weight if standing is not None else 0.0
    if began is None or here <= 0 or look.at <= began:
        return None
    seconds = readings * (look.at - began).total_seconds() / here
    return timedelta(seconds=round(seconds)) if seconds < timedelta(days=365).total_seconds() else None


def _share(question: Question, limit: Limit, hypothesis: Hypothesis) -> float:
    """Share of the limit's weight that belongs to evidence since the first stage."""
    if limit.per_category:
        return fading(1)
    share = of_stage(1, absolute=limit.absolute) * hypothesis.share
    if CATALOGUE[limit.metric].kind is MetricKind.MEAN:
        share *= CAPPED + (TAIL if hypothesis.side == "less" or limit.absolute else 0.0)
    return share


def _read(question: Question, look: Look, state: State, position: int, hypothesis: Hypothesis) -> _Read:
    limit = question.limits[position]
    entry = CATALOGUE[limit.metric]
    if limit.per_category:
        return _category(question, look, state, limit)
    if entry.kind is MetricKind.MEAN:
        return _mean(question, look, state, position, hypothesis)
    if limit.absolute:
        return _fixed(question, look, limit)
    first = question.compared[0]
    standing = look.standing(limit.metric, first)
    if entry.kind is MetricKind.COUNT:
        return _events(question, state, standing, limit, hypothesis)
    if standing is None or standing.canary_weight == 0 or standing.control_weight == 0:
        return _Read(readings=0.0, evidence=None)
    if entry.quantile is not None:
        usual = 1 - entry.quantile
        harmed = _above(limit, entry.quantile, hypothesis, _spread(state, position, entry.quantile, limit))
    else:
        level = standing.control or 0.0
        usual = (level * standing.control_weight + 0.5) / (standing.control_weight + 1)
        change = hypothesis.sign * TIMES * limit.amount
        harmed = usual * (1 + change) if limit.scale is Scale.RELATIVE else usual + change
    return _beside(question, look, state, standing, limit, hypothesis, _inside(usual), _inside(harmed))


def _beside(
    question: Question,
    look: Look,
    state: State,
    standing: Standing,
    limit: Limit,
    hypothesis: Hypothesis,
    usual: float,
    harmed: float,
) -> _Read:
    """Forecast for a rate compared with control: the kernel's evidence if both arms fall short of their expectation by
    `SHORTFALL_ERRORS`."""
    part, effect = _stratified(question, state), standing.design_effect
    if part <= 0:  # no stage has had both arms yet
        return _Read(readings=standing.canary_weight, evidence=None)
    crossed, entry = quantile_crossing.is_crossed(limit), CATALOGUE[limit.metric]
    units = canary_units(look, question.compared[0])

    def evidence(times: Array) -> Array:
        canary, control = standing.canary_weight * part * times, standing.control_weight * part * times
        new, old = harmed * (1 - harmed) * effect / canary, usual * (1 - usual) * effect / control
        off = BELOW / np.sqrt(new + old) * hypothesis.sign
        rates = np.clip(harmed - off * new, 0, 1), np.clip(usual + off * old, 0, 1)
        components = proportion.two_sample_steps(
            canary * rates[0],
            canary,
            control * rates[1],
            control,
            earlier_successes=control * usual,
            earlier_trials=control,
            side=hypothesis.side,
            ratio=1.0 if crossed else hypothesis.ratio,
            shift=0.0 if crossed else hypothesis.shift,
        )
        found = np.asarray(proportion.log_mean(components / effect))
        if crossed:
            return np.asarray(found, dtype=np.float64)
        arms = _over_buckets(canary, rates[0], effect), _over_buckets(control, rates[1], 0.0)
        left = beside(entry.kind, *arms, hypothesis.side, np.ceil(units * times).astype(np.int64))
        kept = np.array([one.share for one in left])
        inside = [
            one.drawn_in is not None and not is_beyond(limit, hypothesis.side, one.drawn_in, float(old))
            for one, old in zip(left, rates[1], strict=True)
        ]
        return np.where(inside, 0.0, np.where(kept >= HALF, found, found * np.maximum(kept, 0.0)))

    return _Read(readings=standing.canary_weight, evidence=evidence)


def _over_buckets(trials: Array, share: Array, effect: float) -> Array:
    """Bucket sums, shape (times, 1, 256, 2), with the rarer outcome spread as chance would, by Poisson quantiles.

    An `effect` of 0 spreads it evenly.
    """
    weight = np.repeat((trials / BUCKETS)[:, np.newaxis], BUCKETS, axis=1)
    rarer = np.minimum(share, 1 - share)[:, np.newaxis]
    usual = weight * rarer
    came = usual + (_quantiles(usual[:, 0]) - usual) * np.sqrt(effect)
    came = np.clip(came, 0.0, weight)
    events = np.where((share <= 1 / 2)[:, np.newaxis], came, weight - came)
    return np.stack([weight, events], axis=-1)[:, np.newaxis]


def _quantiles(means: Array) -> Array:
    """256 quantiles of a Poisson distribution per mean, shape (means, 256); normal approximation from 50 on."""
    found = np.maximum(means[:, np.newaxis] + np.sqrt(means)[:, np.newaxis] * _NORMALS, 0.0)
    for row in np.flatnonzero(means < NORMAL_FROM):
        counts = np.arange(int(means[row] + 12 * np.sqrt(means[row]) + 12))
        logs = counts * np.log(max(means[row], LEAST)) - means[row] - _LOG_FACTORIALS[: len(counts)]
        found[row] = np.searchsorted(np.cumsum(np.exp(logs)), _MIDDLES)
    return np.asarray(found, dtype=np.float64)


def _stratified(question: Question, state: State) -> float:
    """Share of a pooled comparison's information that stratifying by stage leaves, as splits differ between stages."""
    pairs = [(t.canary_trials, t.control_trials) for s in question.compared for t in (state.total(s, REQUESTS),)]
    canary, control = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if canary == 0 or control == 0:
        return 1.0
    within = sum(a * b / (a + b) for a, b in pairs if a + b > 0)
    return float(min(within * (canary + control) / (canary * control), 1.0))


def _events(question: Question, state: State, standing: Standing | None, limit: Limit, hypothesis: Hypothesis) -> _Read:
    """Forecast for a metric that counts events over all requests."""
    totals = [state.total(stage, REQUESTS) for stage in question.compared]
    canary, control = sum(t.canary_trials for t in totals), sum(t.control_trials for t in totals)
    if canary == 0 or control == 0:
        return _Read(readings=canary, evidence=None)
    level = standing.control if standing is not None and standing.control is not None else 0.0
    usual = max(level, 0.5 / control)
    change = hypothesis.sign * TIMES * limit.amount
    harmed = max(usual * (1 + change) if limit.scale is Scale.RELATIVE else usual + change, LEAST)
    part, effect = _stratified(question, state), standing.design_effect if standing is not None else 1.0
    if part <= 0:
        return _Read(readings=canary, evidence=None)

    def evidence(times: Array) -> Array:
        served, beside = canary * part * times, control * part * times
        new, old = harmed * effect / served, usual * effect / beside
        off = BELOW / np.sqrt(new + old) * hypothesis.sign
        came = np.maximum(served * (harmed - off * new), 0)
        there = np.maximum(beside * (usual + off * old), 0)
        components = rate.two_sample_steps(came, there, served, beside, side=hypothesis.side, ratio=hypothesis.ratio)
        found = proportion.log_mean(components / effect)
        enough = came >= REPORTERS if hypothesis.side == "greater" else np.full(came.shape, True)
        return np.where(enough, found, -np.inf)

    return _Read(readings=canary, evidence=evidence)


def _category(question: Question, look: Look, state: State, limit: Limit) -> _Read:
    """Forecast for a new error category at twice the rate. The event that makes it appear is no evidence."""
    served = sum(state.total(stage, REQUESTS).canary_trials for stage in question.exposed)
    if served == 0:
        return _Read(readings=0.0, evidence=None)
    effect = max((one.design_effect for one in look.categories), default=1.0)
    return _alone(served, effect, _inside(limit.amount), _inside(TIMES * limit.amount), limit.min_events or 0, 1.0)


def _fixed(question: Question, look: Look, limit: Limit) -> _Read:
    """Forecast for a level compared with a fixed number; for a quantile, the share of values above it."""
    quantile, first = CATALOGUE[limit.metric].quantile, question.exposed[0]
    name = limit.metric if quantile is None else counter(limit.metric, limit.amount)
    standing = look.standing(name, first) or look.standing(limit.metric, first)
    if standing is None or standing.level_weight == 0:
        return _Read(readings=0.0, evidence=None)
    bound, harmed = limit.amount, TIMES * limit.amount
    if quantile is not None:
        bound = 1 - quantile
        # If the quantile lies at twice the limit, this share of values lies above the limit itself.
        harmed = 1 - _NORMAL.cdf(_NORMAL.inv_cdf(quantile) - log(TIMES) / WIDEST)
    if not 0 < bound < 1:
        return _Read(readings=standing.level_weight, evidence=None)
    return _alone(standing.level_weight, standing.design_effect, bound, _inside(harmed), limit.min_events or 0, 0.0)


def _alone(served: float, effect: float, bound: float, harmed: float, least: int, aside: float) -> _Read:
    def evidence(times: Array) -> Array:
        trials = served * times
        came = np.maximum(trials * harmed - BELOW * np.sqrt(trials * harmed * (1 - harmed) * effect), 0)
        components = proportion.one_sample_steps(np.maximum(came - aside, 0), trials, side="greater", bound=bound)
        return np.where(came >= least, proportion.log_mean(components / effect), -np.inf)

    return _Read(readings=served, evidence=evidence)


def _mean(question: Question, look: Look, state: State, position: int, hypothesis: Hypothesis) -> _Read:
    limit = question.limits[position]
    cell = question.cell(limit.metric)
    first = question.exposed[0] if limit.absolute else question.compared[0]
    standing = look.standing(cell, first)
    tau = state.taus.get(str(position))
    read = _Read(readings=standing.level_weight if standing is not None else 0.0, evidence=None)
    if standing is None or tau is None or not gate_is_open(look, cell, first):
        return read
    level, error = (standing.level, standing.level_error) if limit.absolute else (standing.control, standing.error)
    if level is None or error is None or error <= 0:
        return read
    size = limit.amount * (level if limit.scale is Scale.RELATIVE else 1.0)
    beyond = TIMES * size - size if limit.absolute or limit.strict else TIMES * size
    if beyond <= 0:
        return read
    # The spread of a mean grows in proportion to its level.
    grown = (
        (TIMES * limit.amount if limit.absolute else level + hypothesis.sign * TIMES * size) / level if level else 1.0
    )
    spread = error * max(grown, 1.0)

    def evidence(times: Array) -> Array:
        now = spread / np.sqrt(times)
        return np.asarray(mean.log_e_half_normal((beyond - BELOW * now) / now, (tau / now) ** 2))

    return replace(read, evidence=evidence)


def _spread(state: State, position: int, quantile: float, limit: Limit) -> float:
    """Standard deviation of the logarithm of values near a quantile, from the canary values above quantile plus limit.

    `USUAL_SPREAD` if there are too few values.
    """
    found = [
        one
        for one in state.thresholds
        if one.limit == position and one.clear and not one.segment and one.canary_total >= quantile_crossing.ENOUGH
    ]
    if not found or limit.scale is not Scale.RELATIVE:
        return USUAL_SPREAD
    last = max(found, key=lambda one: one.stage)
    above = (last.canary_above + 0.5) / (last.canary_total + 1)
    apart = _NORMAL.inv_cdf(1 - above) - _NORMAL.inv_cdf(quantile)
    moved = log(last.canary / last.control) if last.canary > 0 and last.control > 0 else 0.0
    if moved * apart <= 0:
        return USUAL_SPREAD
    return min(max(moved / apart, NARROWEST), WIDEST)


def _above(limit: Limit, quantile: float, hypothesis: Hypothesis, spread: float) -> float:
    """Share of the canary's values above control's quantile if its own quantile is off by twice the limit."""
    size = TIMES * limit.amount if limit.scale is Scale.RELATIVE else TIMES * 0.15
    moved = log(max(1 + hypothesis.sign * size, LEAST))
    return 1 - _NORMAL.cdf(_NORMAL.inv_cdf(quantile) - moved / spread)


def _inside(share: float) -> float:
    return min(max(share, LEAST), 1 - LEAST)
