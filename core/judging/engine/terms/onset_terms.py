"""The terms of a criterion for harm that began at an unknown time, judged by what came lately."""

from collections.abc import Iterator
from dataclasses import replace
from math import log

from core.judging.engine.recent_counts import recent_key
from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.mixture_term import MixtureTerm
from core.judging.limits.hypothesis import Hypothesis, is_beyond_limit
from core.judging.limits.limits import Limit
from core.judging.look import quantile_crossing
from core.judging.look.count_new import exact_kernel_cell, level_cell
from core.judging.look.leave_one_out import LeaveOneOut, robust_log_e
from core.judging.model.alpha_shares import ANY_TIME, LATE_LEVEL
from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import EVERYONE
from core.judging.model.state import CountTotals, EProcessKind, OutlierExcess
from core.metrics.catalogue import MetricKind
from core.stats.input_checks import Side
from core.stats.sequential import proportion

MIN_RECENT_TRIALS = 20
"""Recent canary trials below which there is no recent estimate."""
_MINUTES, _HOUR = "in the last minutes", "in the last hour"


def build_onset_terms(evidence: EvidenceIndex, position: int, hypothesis: Hypothesis) -> Iterator[MixtureTerm]:
    """The terms for harm with an unknown onset, with a recent estimate."""
    limit, share = evidence.question.criteria[position], ANY_TIME * hypothesis.share
    level = level_cell(evidence.question, limit)
    if level is not None:
        part = 1.0 if limit.entry.kind is MetricKind.RATIO or hypothesis.side == "less" else LATE_LEVEL
        yield from _build_onset_term(evidence, position, hypothesis, "late_level", level, share * part)
        share *= 1 - part
    if share <= 0 or (limit.entry.is_average and (hypothesis.side == "less" or limit.is_absolute)):
        return
    name = exact_kernel_cell(evidence.question, limit)
    if quantile_crossing.compares_quantiles(limit):
        # Judge by the values above quantile plus limit: beyond it if the canary has more of them than control.
        opposite: Side = "less" if hypothesis.side == "greater" else "greater"
        name = quantile_crossing.crossing_name(position, opposite, clear=True)
    yield from _build_onset_term(evidence, position, hypothesis, "onset", name or "", share)


def _build_onset_term(
    evidence: EvidenceIndex, position: int, hypothesis: Hypothesis, part: EProcessKind, name: str, share: float
) -> Iterator[MixtureTerm]:
    """The term of one e-process with an unknown onset, by the last minutes or the last hour: whichever says more.

    Where traffic is sparse, minutes hold too little for an estimate that does not rest on one bucket. Both windows
    only decide whether the evidence counts, so that choosing between them adds none.
    """
    components = evidence.components.get((position, hypothesis.side, part, -1, EVERYONE))
    if components is None:
        return
    limit = evidence.question.criteria[position]
    key = recent_key(limit, name)
    # Histograms have no buckets, so the mean of the values stands for a quantile.
    summed = limit.metric if quantile_crossing.compares_quantiles(limit) else key
    outliers = evidence.state.outliers.get(summed, OutlierExcess())
    windows = (
        (evidence.state.recent, outliers.recent, _MINUTES),
        (evidence.state.lately, outliers.lately, _HOUR),
    )
    found = [
        _build_term_of_window(
            evidence, position, hypothesis, components, name, share, counts, of.get(summed), excess, words
        )
        for of, excess, words in windows
        if (counts := of.get(key)) is not None and counts.canary_trials >= MIN_RECENT_TRIALS
    ]
    terms = [term for term in found if term is not None]
    if terms:
        yield max(terms, key=lambda term: (term.is_beyond_limit, term.log_e))


def _build_term_of_window(
    evidence: EvidenceIndex,
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
    limit = evidence.question.criteria[position]
    is_level = name == level_cell(evidence.question, limit)
    canary = recent.canary_events / recent.canary_trials
    control = recent.control_events / recent.control_trials if recent.control_trials else None
    sight = _build_recent_estimate(evidence, limit, recent, canary, control, words, is_level=is_level)
    if sight is None:
        return None
    log_e = float(proportion.log_mean(components))
    beyond = _is_recently_beyond(limit, hypothesis, canary, control, is_level=is_level)
    if beyond and log_e > 0 and values is not None:
        rest, part = _leave_loudest_few_out(evidence, limit, name, hypothesis, values, excess)
        log_e = robust_log_e(components, 1.0, LeaveOneOut(), part)
        beyond = (
            part > 0
            if quantile_crossing.compares_quantiles(limit)  # the rest is a mean, which no limit of a quantile is about
            else _is_recently_beyond(limit, hypothesis, rest, control, is_level=is_level)
        )
    return MixtureTerm(log_weight=log(share), log_e=log_e, is_beyond_limit=beyond, estimate=sight)


def _leave_loudest_few_out(
    evidence: EvidenceIndex, limit: Limit, name: str, hypothesis: Hypothesis, recent: CountTotals, excess: float
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
    loudest = _measure_loudest_bucket(evidence, limit, name, hypothesis)
    few = max(hypothesis.sign * excess, hypothesis.sign * loudest, 0.0)
    rest = canary - hypothesis.sign * few / recent.canary_trials
    return rest, (rest - reference) / (canary - reference) if canary != reference else 0.0


def _measure_loudest_bucket(evidence: EvidenceIndex, limit: Limit, name: str, hypothesis: Hypothesis) -> float:
    """By how many events the loudest bucket of the current stage exceeds the others, in the direction of harm.

    A look does not say when a bucket's events came, so all of them are taken to be recent.
    """
    compares_quantiles = quantile_crossing.compares_quantiles(limit)
    standing = evidence.comparisons.get(
        (limit.metric if compares_quantiles else name, evidence.question.current, EVERYONE)
    )
    left = standing.without_loudest_bucket(hypothesis.side) if standing is not None else None
    if standing is None or left is None:
        return 0.0
    rate, weight, others = standing.level, standing.level_weight, left.level
    total = evidence.state.get_total(evidence.question.current, standing.metric)
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


def _build_recent_estimate(
    evidence: EvidenceIndex,
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
            design_effect=evidence.state.effects.get(limit.metric, 1.0),
            note=words,
        )
    standing = evidence.comparisons.get((limit.metric, evidence.question.current, EVERYONE))
    if standing is None:
        return None
    beside = f" and {control:.1%} on the current one" if control is not None and not limit.is_absolute else ""
    crossed = "above what is usual" if not limit.is_absolute else f"above {limit.amount:g}"
    note = f"{words} {canary:.1%} of requests were {crossed} on the new version{beside}"
    return replace(standing.level_estimate if limit.is_absolute else standing.paired_estimate, note=note)


def _is_recently_beyond(
    limit: Limit, hypothesis: Hypothesis, canary: float, control: float | None, *, is_level: bool
) -> bool:
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
