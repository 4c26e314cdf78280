"""The term of a criterion against control's past, where no control is left."""

from collections.abc import Iterator
from math import log

import numpy as np

from core.judging.engine.accumulate import is_gate_open
from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.mean_evidence import log_e_against_past
from core.judging.engine.terms.mixture_term import MixtureTerm
from core.judging.limits.hypothesis import Hypothesis, is_beyond_limit
from core.judging.look.leave_one_out import remaining_share_against_bound, robust_log_e, robust_log_e_of_mean
from core.judging.model.alpha_shares import WITHOUT_CONTROL
from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import EVERYONE
from core.judging.model.state import PastLevel
from core.stats.sequential.proportion import clip_rate


def build_past_terms(evidence: EvidenceIndex, position: int, hypothesis: Hypothesis) -> Iterator[MixtureTerm]:
    """The term against control's past. The limit is part of the bound, since drift can look like harm."""
    question, limit = evidence.question, evidence.question.criteria[position]
    past = evidence.state.baselines.get(limit.metric)
    if not question.stages_without_control or past is None:
        return
    since = question.stages_without_control[0]
    standing = evidence.comparisons.get((question.comparison_cell(limit.metric), since, EVERYONE))
    if standing is None:
        return
    error = _combine_errors(standing.level_error, hypothesis, past)
    left = standing.without_loudest_bucket(hypothesis.side)
    entry, tau = limit.entry, evidence.state.taus.get(str(position))
    components = evidence.components.get((position, hypothesis.side, "alone", since, EVERYONE))
    bound = hypothesis.bound_ratio * past.least_harmful_level(hypothesis.side) + hypothesis.bound_shift
    if entry.is_average:
        ready = is_gate_open(evidence.look, standing.metric, since)
        log_e = log_e_against_past(hypothesis, standing.level, bound, error, tau) if ready else 0.0
        if left is not None:
            left_error = _combine_errors(left.level_error, hypothesis, past)
            log_e = robust_log_e_of_mean(log_e, log_e_against_past(hypothesis, left.level, bound, left_error, tau))
    elif components is None:
        log_e = 0.0
    else:
        edge = clip_rate(bound)
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
        is_beyond_limit=is_beyond_limit(limit, hypothesis.side, standing.level, past.value)
        and (
            left is None
            or entry.quantile is not None  # `left` knows the mean of its values only
            or is_beyond_limit(limit, hypothesis.side, left.level, past.value)
        ),
        estimate=Estimate(
            canary=standing.level,
            control=past.value,
            error=error,
            n_canary=standing.level_weight,
            n_control=0,
            note="compared with the past: no control is left",
        ),
    )


def _combine_errors(level_error: float | None, hypothesis: Hypothesis, past: PastLevel) -> float | None:
    if level_error is None or past.error is None:
        return None
    return float(np.hypot(level_error, hypothesis.bound_ratio * past.error))
