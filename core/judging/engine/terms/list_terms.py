"""All terms of a criterion's mixture."""

from collections.abc import Iterator

from core.judging.engine.terms.category_terms import build_category_terms
from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.mixture_term import MixtureTerm
from core.judging.engine.terms.onset_terms import build_onset_terms
from core.judging.engine.terms.past_terms import build_past_terms
from core.judging.engine.terms.stage_terms import build_stage_terms
from core.judging.limits.hypothesis import build_harm_hypotheses
from core.judging.model.alpha_shares import segment_share, stage_share
from core.judging.model.evidence import EVERYONE


def list_overall_terms(evidence: EvidenceIndex, position: int) -> Iterator[MixtureTerm]:
    """All terms of a criterion in the overall comparison."""
    question, limit = evidence.question, evidence.question.criteria[position]
    if limit.is_per_category:
        yield from build_category_terms(question, evidence.look, evidence.state, position)
        return
    epochs = question.exposed_stages if limit.is_absolute else question.compared_stages
    kept = epochs if not question.is_default_limit(position) else question.comparison_starts
    for hypothesis in build_harm_hypotheses(limit):
        for order, since in enumerate(epochs, start=1):
            if since in kept:
                share = stage_share(order, absolute=limit.is_absolute) * hypothesis.share
                yield from build_stage_terms(evidence, position, hypothesis, since, EVERYONE, share)
        yield from build_onset_terms(evidence, position, hypothesis)
        if not limit.is_absolute:
            yield from build_past_terms(evidence, position, hypothesis)


def list_segment_terms(evidence: EvidenceIndex, position: int, segment: str) -> Iterator[MixtureTerm]:
    """The terms of a criterion in one segment."""
    orders = {since: order for order, since in enumerate(evidence.question.compared_stages, start=1)}
    for hypothesis in build_harm_hypotheses(evidence.question.criteria[position]):
        for since in evidence.question.comparison_starts:
            share = segment_share(orders[since]) * hypothesis.share
            yield from build_stage_terms(evidence, position, hypothesis, since, segment, share)
