"""How segments are judged: the evidence against each criterion in each segment that is judged."""

from collections.abc import Iterable, Iterator

from core.judging.engine.score import mix_terms, sum_terms, weighted_log_e
from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.list_terms import list_segment_terms
from core.judging.look.look import Look
from core.judging.model.question import Question
from core.judging.model.state import JudgingState, SegmentScore


def score_segments(question: Question, look: Look, state: JudgingState) -> tuple[SegmentScore, ...]:
    """Scores of every criterion in every segment; those of the state if this look did not look at segments."""
    if look.slots is None:
        return state.segments
    evidence = EvidenceIndex(question, look, state)
    found = []
    for position in filter(question.is_judged_in_segments, range(len(question.criteria))):
        for segment in state.slots:
            terms = list(list_segment_terms(evidence, position, segment))
            if terms:
                beyond = [term for term in terms if term.is_beyond_limit]
                found.append(
                    SegmentScore(
                        limit=position,
                        segment=segment,
                        log_e=mix_terms(terms),
                        counted=sum_terms(beyond) if beyond else None,
                        sight=(max(beyond, key=weighted_log_e) if beyond else terms[0]).estimate,
                    )
                )
    return tuple(found)


def key_by_segment(scores: Iterable[SegmentScore]) -> Iterator[tuple[str, SegmentScore]]:
    """Yield (key of `JudgingState.beyond_since`, score) for each score."""
    for one in scores:
        yield f"{one.limit}|{one.segment}", one
