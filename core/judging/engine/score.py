"""Evidence against each criterion: one e-value, and the part of it whose estimate lies beyond the limit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import exp, inf, log

import numpy as np

from core.judging.engine import mixture
from core.judging.engine.mixture import MixtureTerm
from core.judging.look.look import SEGMENT_SLOTS, Look
from core.judging.model.alpha_shares import overall_share
from core.judging.model.confidence_range import Estimate
from core.judging.model.limits import Limit
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
    sighted = mixture.EvidenceIndex(question, look, state)
    return tuple(
        _build_score(position, list(sighted.overall_terms(position)), tuple(found.get(position, ())))
        for position in range(len(question.criteria))
    )


def score_segments(question: Question, look: Look, state: JudgingState) -> tuple[SegmentScore, ...]:
    """Scores of every criterion in every segment; those of the state if this look did not look at segments."""
    if look.slots is None:
        return state.segments
    sighted = mixture.EvidenceIndex(question, look, state)
    found = []
    for position in filter(question.is_judged_in_segments, range(len(question.criteria))):
        for segment in state.slots:
            of = list(sighted.segment_terms(position, segment))
            if of:
                everything = _mix_terms(of)
                beyond = [term for term in of if term.is_beyond_limit]
                found.append(
                    SegmentScore(
                        limit=position,
                        segment=segment,
                        log_e=everything,
                        counted=_sum_terms(beyond) if beyond else None,
                        sight=(max(beyond, key=_weighted_log_e) if beyond else of[0]).estimate,
                    )
                )
    return tuple(found)


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
    share = overall_share(question)
    parts = [score.counted + log(share)] if with_overall else []
    parts += [one.counted + log((1 - share) / SEGMENT_SLOTS) for one in segments if one.counted is not None]
    return float(np.logaddexp.reduce(parts)) if parts else -inf


def _build_score(position: int, terms: list[MixtureTerm], segments: tuple[SegmentScore, ...]) -> CriterionScore:
    beyond = [term for term in terms if term.is_beyond_limit]
    return CriterionScore(
        limit=position,
        log_e=_mix_terms(terms),
        counted=_sum_terms(beyond) if beyond else -inf,
        strongest=max(beyond, key=_weighted_log_e).estimate if beyond else None,
        segments=segments,
    )


def _weighted_log_e(term: MixtureTerm) -> float:
    return term.log_weight + term.log_e


def _sum_terms(terms: Iterable[MixtureTerm]) -> float:
    return float(np.logaddexp.reduce([_weighted_log_e(term) for term in terms]))


def _mix_terms(terms: Sequence[MixtureTerm]) -> float:
    """Log e-value of the mixture. E-processes that have not started count as 1, so the mixture also starts at 1."""
    rest = 1 - sum(exp(term.log_weight) for term in terms)
    parts = [*(_weighted_log_e(term) for term in terms), *([log(rest)] if rest > 1e-12 else [])]
    return float(np.logaddexp.reduce(parts))


def key_by_segment(scores: Iterable[SegmentScore]) -> Iterator[tuple[str, SegmentScore]]:
    """Yield (key of `JudgingState.beyond_since`, score) for each score."""
    for one in scores:
        yield f"{one.limit}|{one.segment}", one
