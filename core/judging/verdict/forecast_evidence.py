"""The evidence to expect, at more traffic, if harm of twice a limit were there: one forecast per kind of test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log
from statistics import NormalDist

import numpy as np

from core.judging.engine.accumulate import count_canary_units, is_gate_open
from core.judging.limits.hypothesis import Hypothesis, is_beyond_limit
from core.judging.limits.limits import Limit, LimitScale
from core.judging.look import quantile_crossing
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.leave_one_out import REQUIRED_SHARE, compare_without_loudest_bucket
from core.judging.look.log_spread import WIDEST, estimate_log_spread
from core.judging.look.look import Look
from core.judging.model.evidence import BUCKETS, REQUESTS, exceedance_cell
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.metrics.catalogue import MetricKind
from core.stats.input_checks import Array
from core.stats.sequential import mean, proportion, rate

HARM_MULTIPLE = 2.0
"""The harm that has to be detected, as a multiple of the limit's amount."""
DETECTION_PROBABILITY = 0.8
"""The probability with which it has to be detected."""
SHORTFALL_ERRORS = NormalDist().inv_cdf(DETECTION_PROBABILITY)
"""Standard errors below the expectation that a draw stays above with `DETECTION_PROBABILITY`."""
MIN_REPORTS = 3
ASSUMED_QUANTILE_LIMIT = 0.15
"""Size, relative to control, of a limit on a quantile that is not relative."""
_NORMAL = NormalDist()
NORMAL_FROM = 50.0
_MIDDLES = (np.arange(BUCKETS) + 0.5) / BUCKETS
_NORMALS = np.array([_NORMAL.inv_cdf(float(one)) for one in _MIDDLES])
_LOG_FACTORIALS = np.cumsum(np.log(np.maximum(np.arange(200), 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceForecast:
    """Evidence to expect for one limit.

    `readings` are the canary's so far. `evidence` maps multiples of the present traffic to the log e-value (before the
    limit's share) that harm of twice the limit reaches with 80 % probability; None if it never gives any. `robust` is
    the part of it that does not rest on the loudest bucket, never more and far slower to compute; None if it is all.
    """

    readings: float
    evidence: Callable[[Array], Array] | None
    robust: Callable[[Array], Array] | None = None


def forecast_evidence(
    question: Question, look: Look, state: JudgingState, position: int, hypothesis: Hypothesis
) -> EvidenceForecast:
    """The evidence that harm of `HARM_MULTIPLE` times a limit would give against one of its hypotheses."""
    limit = question.limits[position]
    entry = limit.entry
    if limit.is_per_category:
        return _forecast_category(question, look, state, limit)
    if entry.is_average:
        return _forecast_mean(question, look, state, position, hypothesis)
    if limit.is_absolute:
        return _forecast_fixed_limit(question, look, limit)
    first = question.compared_stages[0]
    standing = look.find_comparison(limit.metric, first)
    if entry.kind is MetricKind.COUNT:
        return _forecast_events(question, state, standing, limit, hypothesis)
    if standing is None or standing.canary_weight == 0 or standing.control_weight == 0:
        return EvidenceForecast(readings=0.0, evidence=None)
    if entry.quantile is not None:
        control_rate = 1 - entry.quantile
        harmed = _share_above_quantile(limit, entry.quantile, hypothesis, estimate_log_spread(state, position, limit))
    else:
        level = standing.control or 0.0
        control_rate = (level * standing.control_weight + 0.5) / (standing.control_weight + 1)
        change = hypothesis.sign * HARM_MULTIPLE * limit.amount
        harmed = control_rate * (1 + change) if limit.scale is LimitScale.RELATIVE else control_rate + change
    return _forecast_two_sample(
        question,
        look,
        state,
        standing,
        limit,
        hypothesis,
        proportion.clip_rate(control_rate),
        proportion.clip_rate(harmed),
    )


def _forecast_two_sample(
    question: Question,
    look: Look,
    state: JudgingState,
    standing: ArmComparison,
    limit: Limit,
    hypothesis: Hypothesis,
    control_rate: float,
    harmed_rate: float,
) -> EvidenceForecast:
    """Forecast for a rate compared with control: the kernel's evidence if both arms fall short of their expectation by
    `SHORTFALL_ERRORS`."""
    part, effect = _stratified_share(question, state), standing.design_effect
    if part <= 0:  # no stage has had both arms yet
        return EvidenceForecast(readings=standing.canary_weight, evidence=None)
    crossed, entry = quantile_crossing.compares_quantiles(limit), limit.entry
    units = standing.assumed_units or count_canary_units(look, question.compared_stages[0])

    def expect_rates(times: Array) -> tuple[Array, Array, Array, Array]:
        canary, control = standing.canary_weight * part * times, standing.control_weight * part * times
        new, old = (
            harmed_rate * (1 - harmed_rate) * effect / canary,
            control_rate * (1 - control_rate) * effect / control,
        )
        off = SHORTFALL_ERRORS / np.sqrt(new + old) * hypothesis.sign
        return canary, control, np.clip(harmed_rate - off * new, 0, 1), np.clip(control_rate + off * old, 0, 1)

    def log_evidence(times: Array) -> Array:
        canary, control, new, old = expect_rates(times)
        components = proportion.two_sample_increments(
            canary * new,
            canary,
            control * old,
            control,
            earlier_successes=control * control_rate,
            earlier_trials=control,
            side=hypothesis.side,
            ratio=1.0 if crossed else hypothesis.ratio,
            shift=0.0 if crossed else hypothesis.shift,
        )
        return np.asarray(proportion.log_mean(components / effect), dtype=np.float64)

    def log_robust_evidence(times: Array) -> Array:
        canary, control, new, old = expect_rates(times)
        arms = _spread_over_buckets(canary, new, effect), _spread_over_buckets(control, old, 0.0)
        left = compare_without_loudest_bucket(
            entry.kind, *arms, hypothesis.side, np.ceil(units * times).astype(np.int64)
        )
        kept = np.array([one.share for one in left])
        inside = [
            one.drawn_in is not None and not is_beyond_limit(limit, hypothesis.side, one.drawn_in, float(level))
            for one, level in zip(left, old, strict=True)
        ]
        found = log_evidence(times)
        return np.where(inside, 0.0, np.where(kept >= REQUIRED_SHARE, found, found * np.maximum(kept, 0.0)))

    return EvidenceForecast(
        readings=standing.canary_weight, evidence=log_evidence, robust=None if crossed else log_robust_evidence
    )


def _spread_over_buckets(trials: Array, share: Array, effect: float) -> Array:
    """Bucket sums, shape (times, 1, 256, 2), with the rarer outcome spread as chance would, by Poisson quantiles.

    An `effect` of 0 spreads it evenly.
    """
    weight = np.repeat((trials / BUCKETS)[:, np.newaxis], BUCKETS, axis=1)
    rarer = np.minimum(share, 1 - share)[:, np.newaxis]
    expected = weight * rarer
    came = expected + (_poisson_quantiles(expected[:, 0]) - expected) * np.sqrt(effect)
    came = np.clip(came, 0.0, weight)
    events = np.where((share <= 1 / 2)[:, np.newaxis], came, weight - came)
    return np.stack([weight, events], axis=-1)[:, np.newaxis]


def _poisson_quantiles(means: Array) -> Array:
    """256 quantiles of a Poisson distribution per mean, shape (means, 256); normal approximation from 50 on."""
    found = np.maximum(means[:, np.newaxis] + np.sqrt(means)[:, np.newaxis] * _NORMALS, 0.0)
    for row in np.flatnonzero(means < NORMAL_FROM):
        counts = np.arange(int(means[row] + 12 * np.sqrt(means[row]) + 12))
        logs = counts * np.log(max(means[row], proportion.RATE_EDGE)) - means[row] - _LOG_FACTORIALS[: len(counts)]
        found[row] = np.searchsorted(np.cumsum(np.exp(logs)), _MIDDLES)
    return np.asarray(found, dtype=np.float64)


def _stratified_share(question: Question, state: JudgingState) -> float:
    """Share of a pooled comparison's information that stratifying by stage leaves, as splits differ between stages."""
    pairs = [
        (t.canary_trials, t.control_trials) for s in question.compared_stages for t in (state.get_total(s, REQUESTS),)
    ]
    canary, control = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if canary == 0 or control == 0:
        return 1.0
    within = sum(a * b / (a + b) for a, b in pairs if a + b > 0)
    return float(min(within * (canary + control) / (canary * control), 1.0))


def _forecast_events(
    question: Question, state: JudgingState, standing: ArmComparison | None, limit: Limit, hypothesis: Hypothesis
) -> EvidenceForecast:
    """Forecast for a metric that counts events over all requests."""
    totals = [state.get_total(stage, REQUESTS) for stage in question.compared_stages]
    canary, control = sum(t.canary_trials for t in totals), sum(t.control_trials for t in totals)
    if canary == 0 or control == 0:
        return EvidenceForecast(readings=canary, evidence=None)
    level = standing.control if standing is not None and standing.control is not None else 0.0
    control_rate = max(level, 0.5 / control)
    change = hypothesis.sign * HARM_MULTIPLE * limit.amount
    harmed = max(
        control_rate * (1 + change) if limit.scale is LimitScale.RELATIVE else control_rate + change,
        proportion.RATE_EDGE,
    )
    part, effect = _stratified_share(question, state), standing.design_effect if standing is not None else 1.0
    if part <= 0:
        return EvidenceForecast(readings=canary, evidence=None)

    def log_evidence(times: Array) -> Array:
        served, beside = canary * part * times, control * part * times
        new, old = harmed * effect / served, control_rate * effect / beside
        off = SHORTFALL_ERRORS / np.sqrt(new + old) * hypothesis.sign
        came = np.maximum(served * (harmed - off * new), 0)
        there = np.maximum(beside * (control_rate + off * old), 0)
        components = rate.two_sample_increments(
            came, there, served, beside, side=hypothesis.side, ratio=hypothesis.ratio
        )
        found = proportion.log_mean(components / effect)
        enough = came >= MIN_REPORTS if hypothesis.side == "greater" else np.full(came.shape, True)
        return np.where(enough, found, -np.inf)

    return EvidenceForecast(readings=canary, evidence=log_evidence)


def _forecast_category(question: Question, look: Look, state: JudgingState, limit: Limit) -> EvidenceForecast:
    """Forecast for a new error category at twice the rate. The event that makes it appear is no evidence."""
    served = sum(state.get_total(stage, REQUESTS).canary_trials for stage in question.exposed_stages)
    if served == 0:
        return EvidenceForecast(readings=0.0, evidence=None)
    effect = max((one.design_effect for one in look.categories), default=1.0)
    return _forecast_one_sample(
        served,
        effect,
        proportion.clip_rate(limit.amount),
        proportion.clip_rate(HARM_MULTIPLE * limit.amount),
        limit.min_events or 0,
        ignored_events=1.0,
    )


def _forecast_fixed_limit(question: Question, look: Look, limit: Limit) -> EvidenceForecast:
    """Forecast for a level compared with a fixed number; for a quantile, the share of values above it."""
    quantile, first = limit.entry.quantile, question.exposed_stages[0]
    name = limit.metric if quantile is None else exceedance_cell(limit.metric, limit.amount)
    standing = look.find_comparison(name, first) or look.find_comparison(limit.metric, first)
    if standing is None or standing.level_weight == 0:
        return EvidenceForecast(readings=0.0, evidence=None)
    bound, harmed = limit.amount, HARM_MULTIPLE * limit.amount
    if quantile is not None:
        bound = 1 - quantile
        # If the quantile lies at twice the limit, this share of values lies above the limit itself.
        harmed = 1 - _NORMAL.cdf(_NORMAL.inv_cdf(quantile) - log(HARM_MULTIPLE) / WIDEST)
    if not 0 < bound < 1:
        return EvidenceForecast(readings=standing.level_weight, evidence=None)
    return _forecast_one_sample(
        standing.level_weight,
        standing.design_effect,
        bound,
        proportion.clip_rate(harmed),
        limit.min_events or 0,
        ignored_events=0.0,
    )


def _forecast_one_sample(
    served: float, effect: float, bound: float, harmed: float, min_events: int, *, ignored_events: float
) -> EvidenceForecast:
    """The evidence that the canary's share of events is above `bound`, if it is `harmed`."""

    def log_evidence(times: Array) -> Array:
        trials = served * times
        came = np.maximum(trials * harmed - SHORTFALL_ERRORS * np.sqrt(trials * harmed * (1 - harmed) * effect), 0)
        components = proportion.one_sample_increments(
            np.maximum(came - ignored_events, 0), trials, side="greater", bound=bound
        )
        return np.where(came >= min_events, proportion.log_mean(components / effect), -np.inf)

    return EvidenceForecast(readings=served, evidence=log_evidence)


def _forecast_mean(
    question: Question, look: Look, state: JudgingState, position: int, hypothesis: Hypothesis
) -> EvidenceForecast:
    """The evidence about a mean if it is off by `HARM_MULTIPLE` times its limit."""
    limit = question.limits[position]
    cell = question.comparison_cell(limit.metric)
    first = question.exposed_stages[0] if limit.is_absolute else question.compared_stages[0]
    standing = look.find_comparison(cell, first)
    tau = state.taus.get(str(position))
    read = EvidenceForecast(readings=standing.level_weight if standing is not None else 0.0, evidence=None)
    if standing is None or tau is None or not is_gate_open(look, cell, first):
        return read
    level, error = (standing.level, standing.level_error) if limit.is_absolute else (standing.control, standing.error)
    if level is None or error is None or error <= 0:
        return read
    size = limit.amount * (level if limit.scale is LimitScale.RELATIVE else 1.0)
    beyond = HARM_MULTIPLE * size - size if limit.is_absolute or limit.strict else HARM_MULTIPLE * size
    if beyond <= 0:
        return read
    # The spread of a mean grows in proportion to its level.
    grown = (
        (HARM_MULTIPLE * limit.amount if limit.is_absolute else level + hypothesis.sign * HARM_MULTIPLE * size) / level
        if level
        else 1.0
    )
    spread = error * max(grown, 1.0)

    def log_evidence(times: Array) -> Array:
        now = spread / np.sqrt(times)
        return np.asarray(mean.log_e_half_normal((beyond - SHORTFALL_ERRORS * now) / now, (tau / now) ** 2))

    return replace(read, evidence=log_evidence)


def _share_above_quantile(limit: Limit, quantile: float, hypothesis: Hypothesis, spread: float) -> float:
    """Share of the canary's values above control's quantile if its own quantile is off by twice the limit."""
    size = HARM_MULTIPLE * (limit.amount if limit.scale is LimitScale.RELATIVE else ASSUMED_QUANTILE_LIMIT)
    moved = log(max(1 + hypothesis.sign * size, proportion.RATE_EDGE))
    return 1 - _NORMAL.cdf(_NORMAL.inv_cdf(quantile) - moved / spread)
