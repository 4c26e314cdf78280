"""The terms of a criterion since a stage began, overall or in one segment."""

from collections.abc import Iterator
from dataclasses import replace
from math import log

import numpy as np

from core.judging.engine.accumulate import is_gate_open
from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.mean_evidence import log_e_above_amount, log_e_of_difference
from core.judging.engine.terms.mixture_term import MixtureTerm
from core.judging.limits.hypothesis import Hypothesis, is_beyond_limit
from core.judging.limits.limits import Limit
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.leave_one_out import remaining_share_against_bound, robust_log_e, robust_log_e_of_mean
from core.judging.model.alpha_shares import CAPPED, TAIL, UNCAPPED
from core.judging.model.evidence import exceedance_cell
from core.metrics.catalogue import MetricKind
from core.stats.sequential import proportion


def build_stage_terms(
    evidence: EvidenceIndex, position: int, hypothesis: Hypothesis, since: int, segment: str, share: float
) -> Iterator[MixtureTerm]:
    """What the e-processes of a criterion since a stage contribute, with `share` of its weight in all."""
    limit = evidence.question.criteria[position]
    if limit.entry.is_average:
        yield from _build_mean_terms(evidence, position, hypothesis, since, segment, share)
        return
    standing = evidence.comparisons.get((limit.metric, since, segment))
    if standing is None:
        return
    if limit.is_absolute:
        log_e, beyond = _weigh_fixed_limit(evidence, position, standing, since, segment)
        yield MixtureTerm(log_weight=log(share), log_e=log_e, is_beyond_limit=beyond, estimate=standing.level_estimate)
        return
    beyond = _is_robustly_beyond(limit, hypothesis, standing)
    log_e = evidence.compute_exact_log_e(position, hypothesis.side, "pair", since, segment, standing)
    yield MixtureTerm(log_weight=log(share), log_e=log_e, is_beyond_limit=beyond, estimate=standing.paired_estimate)


def _weigh_fixed_limit(
    evidence: EvidenceIndex, position: int, standing: ArmComparison, since: int, segment: str
) -> tuple[float, bool]:
    """(log e-value, whether it is beyond the limit) against a fixed number. A quantile is tested by the share of
    values above that number."""
    limit = evidence.question.criteria[position]
    level, quantile = standing.level, limit.entry.quantile
    enough = level is not None and level * standing.level_weight >= (limit.min_events or 0)
    beyond = level is not None and level > limit.amount and enough
    bound = 1 - quantile if quantile is not None else limit.amount
    counted = standing
    if quantile is not None:
        counted = evidence.comparisons.get((exceedance_cell(limit.metric, limit.amount), since, segment), standing)
    left = counted.more
    components = evidence.components.get((position, "greater", "fixed", since, segment))
    if components is None:
        return 0.0, beyond
    if left is None or not 0 < bound < 1 or (quantile is not None and counted is standing):
        return float(proportion.log_mean(np.array(components) / counted.design_effect)), beyond
    share = remaining_share_against_bound(counted.level, counted.level_weight, bound, left)
    return robust_log_e(components, counted.design_effect, left, share), beyond and (left.level or 0.0) > bound


def _build_mean_terms(
    evidence: EvidenceIndex, position: int, hypothesis: Hypothesis, since: int, segment: str, share: float
) -> Iterator[MixtureTerm]:
    limit = evidence.question.criteria[position]
    metric = limit.metric
    plain = evidence.comparisons.get((metric, since, segment))
    cap, cell = evidence.question.caps.get(metric), evidence.question.comparison_cell(metric)
    if plain is not None:
        log_e = _weigh_mean(evidence, position, hypothesis, plain)
        beyond = _is_robustly_beyond(limit, hypothesis, plain)
        part = 1.0 if limit.entry.kind is MetricKind.RATIO else UNCAPPED  # a ratio has no cap
        yield MixtureTerm(
            log_weight=log(share * part), log_e=log_e, is_beyond_limit=beyond, estimate=plain.paired_estimate
        )
    if cap is None:
        return
    capped = evidence.comparisons.get((cell, since, segment))
    if capped is not None:
        part = CAPPED + (TAIL if hypothesis.side == "less" or limit.is_absolute else 0.0)
        log_e = _weigh_mean(evidence, position, hypothesis, capped)
        beyond = _is_robustly_beyond(limit, hypothesis, capped)
        note = f"values above {cap:.4g} count as that"
        sight = replace(capped.paired_estimate, note=note)
        yield MixtureTerm(log_weight=log(share * part), log_e=log_e, is_beyond_limit=beyond, estimate=sight)
    tail = evidence.comparisons.get((exceedance_cell(metric, cap), since, segment))
    if tail is None or hypothesis.side == "less" or limit.is_absolute:
        return
    judged = plain or capped
    beyond = judged is not None and _is_robustly_beyond(limit, hypothesis, judged)
    log_e = evidence.compute_exact_log_e(position, hypothesis.side, "tail", since, segment, tail)
    yield MixtureTerm(
        log_weight=log(share * TAIL),
        log_e=log_e,
        is_beyond_limit=beyond,
        estimate=replace(judged.paired_estimate, note=_format_tail_note(cap, tail))
        if judged is not None
        else tail.paired_estimate,
    )


def _weigh_mean(evidence: EvidenceIndex, position: int, hypothesis: Hypothesis, standing: ArmComparison) -> float:
    limit, tau = evidence.question.criteria[position], evidence.state.taus.get(str(position))
    if not is_gate_open(evidence.look, standing.metric, standing.since, standing.segment):
        return 0.0
    left = standing.without_loudest_bucket(hypothesis.side)
    if limit.is_absolute:
        whole = log_e_above_amount(standing.level, limit.amount, standing.level_error, tau)
        if left is None:
            return whole
        return robust_log_e_of_mean(whole, log_e_above_amount(left.level, limit.amount, left.level_error, tau))
    error = standing.error
    if limit.strict and not standing.segment:
        error = evidence.margin_errors.get((position, hypothesis.side, standing.since))
    whole = log_e_of_difference(hypothesis, standing.canary, standing.control, error, tau)
    if left is None:
        return whole
    # The margin is assumed to widen the error by the same factor without that bucket.
    widened = error / standing.error if error and standing.error else 1.0
    left_error = left.error * widened if left.error is not None else None
    return robust_log_e_of_mean(whole, log_e_of_difference(hypothesis, left.canary, left.control, left_error, tau))


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


def _format_tail_note(cap: float, tail: ArmComparison) -> str:
    shares = [f"{x:.1%}" if x is not None else "unknown" for x in (tail.canary, tail.control)]
    return f"above {cap:.4g}: {shares[0]} of requests on the new version, {shares[1]} on the current one"
