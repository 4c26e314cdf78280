"""Evidence against each criterion: one e-value, and the part of it whose estimate lies beyond the limit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import exp, inf, log

import numpy as np

from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.list_terms import list_overall_terms
from core.judging.engine.terms.mixture_term import MixtureTerm
from core.judging.limits.limits import Limit
from core.judging.look.look import Look
from core.judging.model.alpha_shares import one_segment_share, overall_share
from core.judging.model.confidence_range import Estimate
from core.judging.model.question import Question
from core.judging.model.state import JudgingState, SegmentScore


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionScore:
    """Evidence that one criterion (`limit` is its position) is violated.

    `log_e` is the overall log e-value, `counted` the part of it whose estimate lies beyond the limit, `strongest` the
    estimate with the most evidence there. `segments` are as of the last look at segments.
    """

    limit: int
    log_e: float
    counted: float
    strongest: Estimate | None
    segments: tuple[SegmentScore, ...] = ()

    @property
    def is_beyond_limit(self) -> bool:
        """Whether an overall estimate lies beyond the limit."""
        return self.strongest is not None


def score_criteria(question: Question, look: Look, state: JudgingState) -> tuple[CriterionScore, ...]:
    """One score per criterion, in order of position. `state` is the state after the look."""
    found: dict[int, list[SegmentScore]] = {}
    for one in state.segments:
        found.setdefault(one.limit, []).append(one)
    evidence = EvidenceIndex(question, look, state)
    return tuple(
        _build_score(position, list(list_overall_terms(evidence, position)), tuple(found.get(position, ())))
        for position in range(len(question.criteria))
    )


def has_lasted(limit: Limit, key: str, look: Look, state: JudgingState) -> bool:
    """Whether the estimate has been beyond the limit at every look for as long as `limit.lasting` asks.

    `key` is a key of `JudgingState.beyond_since`.
    """
    since = state.beyond_since.get(key)
    return since is not None and look.at - since >= (limit.lasting or timedelta(0))


def combine_log_e(
    question: Question, score: CriterionScore, segments: Sequence[SegmentScore], *, with_overall: bool
) -> float:
    """Log e-value that a limit contributes: the weighted sum of its parts beyond the limit, -inf if there are none.

    The overall part counts only if `with_overall`.
    """
    parts = [score.counted + log(overall_share(question))] if with_overall else []
    parts += [one.counted + log(one_segment_share(question)) for one in segments if one.counted is not None]
    return float(np.logaddexp.reduce(parts)) if parts else -inf


def _build_score(position: int, terms: list[MixtureTerm], segments: tuple[SegmentScore, ...]) -> CriterionScore:
    beyond = [term for term in terms if term.is_beyond_limit]
    return CriterionScore(
        limit=position,
        log_e=mix_terms(terms),
        counted=sum_terms(beyond) if beyond else -inf,
        strongest=max(beyond, key=weighted_log_e).estimate if beyond else None,
        segments=segments,
    )


def weighted_log_e(term: MixtureTerm) -> float:
    """The part of a mixture that one e-process contributes, as a logarithm."""
    return term.log_weight + term.log_e


def sum_terms(terms: Iterable[MixtureTerm]) -> float:
    """Logarithm of the sum of these parts of a mixture."""
    return float(np.logaddexp.reduce([weighted_log_e(term) for term in terms]))


def mix_terms(terms: Sequence[MixtureTerm]) -> float:
    """Log e-value of the mixture. E-processes that have not started count as 1, so the mixture also starts at 1."""
    rest = 1 - sum(exp(term.log_weight) for term in terms)
    parts = [*(weighted_log_e(term) for term in terms), *([log(rest)] if rest > 1e-12 else [])]
    return float(np.logaddexp.reduce(parts))
