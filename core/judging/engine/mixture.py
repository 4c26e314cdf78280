"""The e-processes of one criterion as terms of a mixture: weight, evidence, and whether the estimate is beyond it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log

import numpy as np

from core.judging.engine.accumulate import categories_in_control, is_gate_open
from core.judging.engine.increments import RATE_EDGE
from core.judging.engine.recent_counts import recent_key
from core.judging.limits.hypothesis import Hypothesis, build_harm_hypotheses, is_beyond_limit
from core.judging.limits.limits import Limit
from core.judging.look import quantile_crossing
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.count_new import exact_kernel_cell, level_cell
from core.judging.look.leave_one_out import (
    LeaveOneOut,
    remaining_share_against_bound,
    robust_log_e,
    robust_log_e_of_mean,
)
from core.judging.look.look import CategorySpread, Look
from core.judging.model.alpha_shares import (
    ANY_TIME,
    CAPPED,
    LATE_LEVEL,
    TAIL,
    UNCAPPED,
    WITHOUT_CONTROL,
    infinite_series_share,
    segment_share,
    stage_share,
)
from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import CATEGORY_PREFIX, EVERYONE, REQUESTS, exceedance_cell
from core.judging.model.question import Question
from core.judging.model.state import Baseline, CountTotals, EProcessKind, JudgingState, OutlierExcess
from core.metrics.catalogue import MetricKind
from core.stats.heaviest_bucket import kl_divergence
from core.stats.input_checks import Side
from core.stats.sequential import mean, proportion

MIN_RECENT_TRIALS = 20
"""Recent canary trials below which there is no recent estimate."""
_MINUTES, _HOUR = "in the last minutes", "in the last hour"

_Key = tuple[int, Side, EProcessKind, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureTerm:
    """One e-process of a criterion. `log_weight` is the log of its share of the criterion's weight.

    `is_beyond_limit` says whether its `estimate` lies beyond the limit.
    """

    log_weight: float
    log_e: float
    is_beyond_limit: bool
    estimate: Estimate


class EvidenceIndex:
    """A look and the state after it, indexed so that hundreds of criteria and segments can be read quickly."""

    def __init__(self, question: Question, look: Look, state: JudgingState) -> None:
        self._question, self._look, self._state = question, look, state
        self._comparisons = {(one.metric, one.since, one.segment): one for one in look.standings}
        self._components: dict[_Key, tuple[float, ...]] = {
            (one.limit, one.side, one.part, one.since, one.segment): one.components for one in state.tracks
        }
        self._margin_errors = {(one.limit, one.side, one.since): one.error for one in look.margins}

    def overall_terms(self, position: int) -> Iterator[MixtureTerm]:
        """All terms of a criterion in the overall comparison."""
        question, limit = self._question, self._question.criteria[position]
        if limit.is_per_category:
            yield from _category_terms(question, self._look, self._state, position)
            return
        epochs = question.exposed_stages if limit.is_absolute else question.compared_stages
        kept = epochs if not question.is_default_limit(position) else question.comparison_starts
        for hypothesis in build_harm_hypotheses(limit):
            for order, since in enumerate(epochs, start=1):
                if since in kept:
                    share = stage_share(order, absolute=limit.is_absolute) * hypothesis.share
                    yield from self._terms_since(position, hypothesis, since, EVERYONE, share)
            yield from self._onset_terms(position, hypothesis)
            if not limit.is_absolute:
                yield from self._past_control_terms(position, hypothesis)

    def segment_terms(self, position: int, segment: str) -> Iterator[MixtureTerm]:
        """The terms of a criterion in one segment."""
        orders = {since: order for order, since in enumerate(self._question.compared_stages, start=1)}
        for hypothesis in build_harm_hypotheses(self._question.criteria[position]):
            for since in self._question.comparison_starts:
                share = segment_share(orders[since]) * hypothesis.share
                yield from self._terms_since(position, hypothesis, since, segment, share)

    def _terms_since(
        self, position: int, hypothesis: Hypothesis, since: int, segment: str, share: float
    ) -> Iterator[MixtureTerm]:
        limit = self._question.criteria[position]
        if limit.entry.is_average:
            yield from self._mean_terms(position, hypothesis, since, segment, share)
            return
        standing = self._comparisons.get((limit.metric, since, segment))
        if standing is None:
            return
        if limit.is_absolute:
            log_e, beyond = self._fixed_limit_evidence(position, standing, since, segment)
            yield MixtureTerm(
                log_weight=log(share), log_e=log_e, is_beyond_limit=beyond, estimate=standing.level_estimate
            )
            return
        beyond = _is_robustly_beyond(limit, hypothesis, standing)
        log_e = self._exact_log_e(position, hypothesis.side, "pair", since, segment, standing)
        yield MixtureTerm(log_weight=log(share), log_e=log_e, is_beyond_limit=beyond, estimate=standing.paired_estimate)

    def _fixed_limit_evidence(
        self, position: int, standing: ArmComparison, since: int, segment: str
    ) -> tuple[float, bool]:
        """(log e-value, whether it is beyond the limit) against a fixed number. A quantile is tested by the share of
        values above that number."""
        limit = self._question.criteria[position]
        level, quantile = standing.level, limit.entry.quantile
        enough = level is not None and level * standing.level_weight >= (limit.min_events or 0)
        beyond = level is not None and level > limit.amount and enough
        bound = 1 - quantile if quantile is not None else limit.amount
        counted = standing
        if quantile is not None:
            counted = self._comparisons.get((exceedance_cell(limit.metric, limit.amount), since, segment), standing)
        left = counted.more
        components = self._components.get((position, "greater", "fixed", since, segment))
        if components is None:
            return 0.0, beyond
        if left is None or not 0 < bound < 1 or (quantile is not None and counted is standing):
            return float(proportion.log_mean(np.array(components) / counted.design_effect)), beyond
        share = remaining_share_against_bound(counted.level, counted.level_weight, bound, left)
        return robust_log_e(components, counted.design_effect, left, share), beyond and (left.level or 0.0) > bound

    def _mean_terms(
        self, position: int, hypothesis: Hypothesis, since: int, segment: str, share: float
    ) -> Iterator[MixtureTerm]:
        limit, metric = self._question.criteria[position], self._question.criteria[position].metric
        plain = self._comparisons.get((metric, since, segment))
        cap, cell = self._question.caps.get(metric), self._question.comparison_cell(metric)
        if plain is not None:
            log_e = self._mean_log_e(position, hypothesis, plain)
            beyond = _is_robustly_beyond(limit, hypothesis, plain)
            part = 1.0 if limit.entry.kind is MetricKind.RATIO else UNCAPPED  # a ratio has no cap
            yield MixtureTerm(
                log_weight=log(share * part), log_e=log_e, is_beyond_limit=beyond, estimate=plain.paired_estimate
            )
        if cap is None:
            return
        capped = self._comparisons.get((cell, since, segment))
        if capped is not None:
            part = CAPPED + (TAIL if hypothesis.side == "less" or limit.is_absolute else 0.0)
            log_e, beyond = (
                self._mean_log_e(position, hypothesis, capped),
                _is_robustly_beyond(limit, hypothesis, capped),
            )
            note = f"values above {cap:.4g} count as that"
            sight = replace(capped.paired_estimate, note=note)
            yield MixtureTerm(log_weight=log(share * part), log_e=log_e, is_beyond_limit=beyond, estimate=sight)
        tail = self._comparisons.get((exceedance_cell(metric, cap), since, segment))
        if tail is None or hypothesis.side == "less" or limit.is_absolute:
            return
        judged = plain or capped
        beyond = judged is not None and _is_robustly_beyond(limit, hypothesis, judged)
        log_e = self._exact_log_e(position, hypothesis.side, "tail", since, segment, tail)
        yield MixtureTerm(
            log_weight=log(share * TAIL),
            log_e=log_e,
            is_beyond_limit=beyond,
            estimate=replace(judged.paired_estimate, note=_format_tail_note(cap, tail))
            if judged is not None
            else tail.paired_estimate,
        )

    def _mean_log_e(self, position: int, hypothesis: Hypothesis, standing: ArmComparison) -> float:
        limit, tau = self._question.criteria[position], self._state.taus.get(str(position))
        if not is_gate_open(self._look, standing.metric, standing.since, standing.segment):
            return 0.0
        left = standing.without_loudest_bucket(hypothesis.side)
        if limit.is_absolute:
            whole = _log_e_above_amount(standing.level, limit.amount, standing.level_error, tau)
            return (
                whole
                if left is None
                else robust_log_e_of_mean(whole, _log_e_above_amount(left.level, limit.amount, left.level_error, tau))
            )
        error = standing.error
        if limit.strict and not standing.segment:
            error = self._margin_errors.get((position, hypothesis.side, standing.since))
        whole = _log_e_of_difference(hypothesis, standing.canary, standing.control, error, tau)
        if left is None:
            return whole
        # The margin is assumed to widen the error by the same factor without that bucket.
        widened = error / standing.error if error and standing.error else 1.0
        left_error = left.error * widened if left.error is not None else None
        return robust_log_e_of_mean(whole, _log_e_of_difference(hypothesis, left.canary, left.control, left_error, tau))

    def _onset_terms(self, position: int, hypothesis: Hypothesis) -> Iterator[MixtureTerm]:
        """The terms for harm with an unknown onset, with a recent estimate."""
        limit, share = self._question.criteria[position], ANY_TIME * hypothesis.share
        level = level_cell(self._question, limit)
        if level is not None:
            part = 1.0 if limit.entry.kind is MetricKind.RATIO or hypothesis.side == "less" else LATE_LEVEL
            yield from self._onset_term(position, hypothesis, "late_level", level, share * part)
            share *= 1 - part
        if share <= 0 or (limit.entry.is_average and (hypothesis.side == "less" or limit.is_absolute)):
            return
        name = exact_kernel_cell(self._question, limit)
        if quantile_crossing.compares_quantiles(limit):
            # Judge by the values above quantile plus limit: beyond it if the canary has more of them than control.
            opposite: Side = "less" if hypothesis.side == "greater" else "greater"
            name = quantile_crossing.crossing_name(position, opposite, clear=True)
        yield from self._onset_term(position, hypothesis, "onset", name or "", share)

    def _onset_term(
        self, position: int, hypothesis: Hypothesis, part: EProcessKind, name: str, share: float
    ) -> Iterator[MixtureTerm]:
        """The term of one e-process with an unknown onset, by the last minutes or the last hour: whichever says more.

        Where traffic is sparse, minutes hold too little for an estimate that does not rest on one bucket. Both windows
        only decide whether the evidence counts, so that choosing between them adds none.
        """
        components = self._components.get((position, hypothesis.side, part, -1, EVERYONE))
        if components is None:
            return
        limit = self._question.criteria[position]
        key = recent_key(limit, name)
        # Histograms have no buckets, so the mean of the values stands for a quantile.
        summed = limit.metric if quantile_crossing.compares_quantiles(limit) else key
        outliers = self._state.outliers.get(summed, OutlierExcess())
        windows = (
            (self._state.recent, outliers.recent, _MINUTES),
            (self._state.lately, outliers.lately, _HOUR),
        )
        found = [
            self._onset_term_in_window(
                position, hypothesis, components, name, share, counts, of.get(summed), excess, words
            )
            for of, excess, words in windows
            if (counts := of.get(key)) is not None and counts.canary_trials >= MIN_RECENT_TRIALS
        ]
        terms = [term for term in found if term is not None]
        if terms:
            yield max(terms, key=lambda term: (term.is_beyond_limit, term.log_e))

    def _onset_term_in_window(
        self,
        position: int,
        hypothesis: Hypothesis,
        components: tuple[float, ...],
        name: str,
        share: float,
        recent: CountTotals,
        values: CountTotals | None,
        excess: float,
        words: str,
    ) -> MixtureTerm | None:
        limit = self._question.criteria[position]
        is_level = name == level_cell(self._question, limit)
        canary = recent.canary_events / recent.canary_trials
        control = recent.control_events / recent.control_trials if recent.control_trials else None
        sight = self._recent_estimate(limit, recent, canary, control, words, is_level=is_level)
        if sight is None:
            return None
        log_e = float(proportion.log_mean(components))
        beyond = self._is_recently_beyond(position, hypothesis, canary, control, is_level=is_level)
        if beyond and log_e > 0 and values is not None:
            rest, part = self._leave_loudest_few_out(limit, name, hypothesis, values, excess)
            log_e = robust_log_e(components, 1.0, LeaveOneOut(), part)
            beyond = (
                part > 0
                if quantile_crossing.compares_quantiles(
                    limit
                )  # the rest is a mean, which no limit of a quantile is about
                else self._is_recently_beyond(position, hypothesis, rest, control, is_level=is_level)
            )
        return MixtureTerm(log_weight=log(share), log_e=log_e, is_beyond_limit=beyond, estimate=sight)

    def _leave_loudest_few_out(
        self, limit: Limit, name: str, hypothesis: Hypothesis, recent: CountTotals, excess: float
    ) -> tuple[float, float]:
        """(recent level of the canary without what its loudest few buckets added, share of its distance that is left).

        The distance is that from control, or from the fixed number that a limit names.
        """
        if recent.canary_trials <= 0:
            return 0.0, 0.0
        canary = recent.canary_events / recent.canary_trials
        reference = recent.control_events / recent.control_trials if recent.control_trials else 0.0
        if limit.is_absolute:
            reference = limit.amount if limit.entry.quantile is None else 1 - limit.entry.require_quantile()
        elif limit.entry.quantile is not None and hypothesis.sign * (canary - reference) <= 0:
            return canary, 1.0  # more values are beyond, but not by what they add to the mean
        loudest = self._excess_of_loudest_bucket(limit, name, hypothesis)
        few = max(hypothesis.sign * excess, hypothesis.sign * loudest, 0.0)
        rest = canary - hypothesis.sign * few / recent.canary_trials
        return rest, (rest - reference) / (canary - reference) if canary != reference else 0.0

    def _excess_of_loudest_bucket(self, limit: Limit, name: str, hypothesis: Hypothesis) -> float:
        """By how many events the loudest bucket of the current stage exceeds the others, in the direction of harm.

        A look does not say when a bucket's events came, so all of them are taken to be recent.
        """
        compares_quantiles = quantile_crossing.compares_quantiles(limit)
        standing = self._comparisons.get(
            (limit.metric if compares_quantiles else name, self._question.current, EVERYONE)
        )
        left = standing.without_loudest_bucket(hypothesis.side) if standing is not None else None
        if standing is None or left is None:
            return 0.0
        rate, weight, others = standing.level, standing.level_weight, left.level
        total = self._state.get_total(self._question.current, standing.metric)
        if not limit.is_absolute:
            rate, weight, others = standing.canary, standing.canary_weight, left.canary
        if limit.entry.kind is MetricKind.RATIO:
            weight = total.canary_trials  # of denominators, not readings
        if compares_quantiles:  # the others' level is the mean of their values
            weight = total.canary_trials
            rate = total.canary_events / weight if weight else None
        if rate is None:
            return 0.0
        beyond = (rate - (others or 0.0)) * weight
        return hypothesis.sign * max(hypothesis.sign * beyond, 0.0)

    def _recent_estimate(
        self,
        limit: Limit,
        recent: CountTotals,
        canary: float,
        control: float | None,
        words: str,
        *,
        is_level: bool,
    ) -> Estimate | None:
        """The recent estimate of a rate, count or level; otherwise the stage's, with the recent exceedance as note."""
        entry = limit.entry
        if is_level or entry.is_binary or entry.kind is MetricKind.COUNT:
            return Estimate(
                canary=canary,
                control=control,
                error=None,
                n_canary=recent.canary_trials,
                n_control=recent.control_trials,
                design_effect=self._state.effects.get(limit.metric, 1.0),
                note=words,
            )
        standing = self._comparisons.get((limit.metric, self._question.current, EVERYONE))
        if standing is None:
            return None
        beside = f" and {control:.1%} on the current one" if control is not None and not limit.is_absolute else ""
        crossed = "above what is usual" if not limit.is_absolute else f"above {limit.amount:g}"
        note = f"{words} {canary:.1%} of requests were {crossed} on the new version{beside}"
        return replace(standing.level_estimate if limit.is_absolute else standing.paired_estimate, note=note)

    def _is_recently_beyond(
        self, position: int, hypothesis: Hypothesis, canary: float, control: float | None, *, is_level: bool
    ) -> bool:
        limit = self._question.criteria[position]
        entry = limit.entry
        if entry.quantile is not None and limit.is_absolute:
            return canary > 1 - entry.quantile
        if limit.is_absolute:
            return canary > limit.amount
        if quantile_crossing.compares_quantiles(limit):
            return control is not None and hypothesis.sign * (canary - control) > 0
        if entry.is_average and not is_level:
            return control is not None and canary > 2 * control
        return is_beyond_limit(limit, hypothesis.side, canary, control)

    def _past_control_terms(self, position: int, hypothesis: Hypothesis) -> Iterator[MixtureTerm]:
        """The term against control's past. The limit is part of the bound, since drift can look like harm."""
        question, limit = self._question, self._question.criteria[position]
        baseline = self._state.baselines.get(limit.metric)
        if not question.stages_without_control or baseline is None:
            return
        since = question.stages_without_control[0]
        standing = self._comparisons.get((question.comparison_cell(limit.metric), since, EVERYONE))
        if standing is None:
            return
        error = _combine_errors(standing.level_error, hypothesis, baseline)
        left = standing.without_loudest_bucket(hypothesis.side)
        entry, tau = limit.entry, self._state.taus.get(str(position))
        components = self._components.get((position, hypothesis.side, "alone", since, EVERYONE))
        bound = hypothesis.bound_ratio * baseline.least_harmful_level(hypothesis.side) + hypothesis.bound_shift
        if entry.is_average:
            ready = is_gate_open(self._look, standing.metric, since)
            log_e = _log_e_against_past(hypothesis, standing.level, bound, error, tau) if ready else 0.0
            if left is not None:
                left_error = _combine_errors(left.level_error, hypothesis, baseline)
                log_e = robust_log_e_of_mean(log_e, _log_e_against_past(hypothesis, left.level, bound, left_error, tau))
        elif components is None:
            log_e = 0.0
        else:
            edge = min(max(bound, RATE_EDGE), 1 - RATE_EDGE)
            share = None
            if left is not None:
                share = (
                    left.level_share
                    if entry.quantile is not None
                    else remaining_share_against_bound(standing.level, standing.level_weight, edge, left)
                )
            log_e = robust_log_e(components, standing.design_effect, left, share)
        yield MixtureTerm(
            log_weight=log(WITHOUT_CONTROL * hypothesis.share),
            log_e=log_e,
            is_beyond_limit=is_beyond_limit(limit, hypothesis.side, standing.level, baseline.value)
            and (
                left is None
                or entry.quantile is not None  # `left` knows the mean of its values only
                or is_beyond_limit(limit, hypothesis.side, left.level, baseline.value)
            ),
            estimate=Estimate(
                canary=standing.level,
                control=baseline.value,
                error=error,
                n_canary=standing.level_weight,
                n_control=0,
                note="compared with the past: no control is left",
            ),
        )

    def _exact_log_e(
        self, position: int, side: Side, part: EProcessKind, since: int, segment: str, standing: ArmComparison
    ) -> float:
        components = self._components.get((position, side, part, since, segment))
        return (
            0.0
            if components is None
            else robust_log_e(components, standing.design_effect, standing.without_loudest_bucket(side))
        )


def _category_terms(question: Question, look: Look, state: JudgingState, position: int) -> Iterator[MixtureTerm]:
    limit, old = question.limits[position], categories_in_control(state)
    shown = {one.name: one for one in look.categories}
    for track in state.categories:
        if track.limit != position or CATEGORY_PREFIX + track.name in old or track.trials == 0:
            continue
        rate = track.events / track.trials
        control = sum(total.control_trials for key, total in state.totals.items() if key.partition("|")[2] == REQUESTS)
        spread = shown.get(track.name, CategorySpread(name=track.name))
        others = max(track.events - spread.loudest, 0.0)
        whole = track.trials * float(kl_divergence(min(rate, 1.0), limit.amount))
        rest = track.trials * float(kl_divergence(min(others / track.trials, 1.0), limit.amount))
        part = rest / whole if others / track.trials > limit.amount and whole > 0 else 0.0
        yield MixtureTerm(
            log_weight=log(infinite_series_share(track.order)),
            log_e=robust_log_e(
                track.components,
                spread.design_effect,
                LeaveOneOut(level_design_effect=spread.left_design_effect),
                part,
            ),
            is_beyond_limit=others / track.trials > limit.amount and track.events >= (limit.min_events or 0),
            estimate=Estimate(
                canary=rate,
                control=0.0,
                error=None,
                n_canary=track.trials,
                n_control=control,
                note=f"{track.name}: {track.events:.0f} on the new version, none on the current one",
            ),
        )


def _is_robustly_beyond(limit: Limit, hypothesis: Hypothesis, standing: ArmComparison) -> bool:
    """Whether the estimate is beyond the limit with and without the loudest bucket.

    For a quantile compared with control only the full estimate is known.
    """
    left = standing.without_loudest_bucket(hypothesis.side)
    if limit.is_absolute:
        levels = (standing.level,) if left is None else (standing.level, left.level)
        return all(level is not None and level > limit.amount for level in levels)
    if not is_beyond_limit(limit, hypothesis.side, standing.canary, standing.control):
        return False
    if left is None or limit.entry.quantile is not None:
        return True
    # The error of a mean is that between buckets, so that a few outliers widen it.
    drawn_in = None if limit.entry.is_average else left.drawn_in
    levels = (left.canary,) if drawn_in is None else (left.canary, drawn_in)
    return all(is_beyond_limit(limit, hypothesis.side, level, left.control) for level in levels)


def _combine_errors(level_error: float | None, hypothesis: Hypothesis, baseline: Baseline) -> float | None:
    if level_error is None or baseline.error is None:
        return None
    return float(np.hypot(level_error, hypothesis.bound_ratio * baseline.error))


def _log_e_against_past(
    hypothesis: Hypothesis, level: float | None, bound: float, error: float | None, tau: float | None
) -> float:
    return 0.0 if level is None else _half_normal_log_e(hypothesis.sign * (level - bound), error, tau)


def _log_e_above_amount(level: float | None, amount: float, error: float | None, tau: float | None) -> float:
    return 0.0 if level is None else _half_normal_log_e(level - amount, error, tau)


def _log_e_of_difference(
    hypothesis: Hypothesis, canary: float | None, control: float | None, error: float | None, tau: float | None
) -> float:
    if canary is None or control is None:
        return 0.0
    return _half_normal_log_e(hypothesis.sign * (canary - hypothesis.ratio * control - hypothesis.shift), error, tau)


def _format_tail_note(cap: float, tail: ArmComparison) -> str:
    shares = [f"{x:.1%}" if x is not None else "unknown" for x in (tail.canary, tail.control)]
    return f"above {cap:.4g}: {shares[0]} of requests on the new version, {shares[1]} on the current one"


def _half_normal_log_e(estimate: float, error: float | None, tau: float | None) -> float:
    """Log e-value of the half-normal mixture; 0 if error or tau is unknown. An error of 0 is not certainty either."""
    if error is None or error <= 0 or tau is None:
        return 0.0
    return float(mean.log_e_half_normal(estimate / error, (tau / error) ** 2))
