"""Evidence against each criterion: one e-value, and the part of it whose estimate lies beyond the limit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import exp, inf, log

import numpy as np

from core.judging.engine import mixture
from core.judging.engine.mixture import Term
from core.judging.look.look import SLOTS, Look
from core.judging.model.alpha_shares import of_everybody
from core.judging.model.confidence_range import Seen
from core.judging.model.limits import Limit
from core.judging.model.question import Question
from core.judging.model.state import SegmentScore, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Evidence that one criterion (`limit` is its position) is violated.

    `log_e` is the overall log e-value, `counted` the part of it whose estimate lies beyond the limit, `strongest` the
    estimate with the most evidence there. `segments` are as of the last look at segments.
    """

    limit: int
    log_e: float
    counted: float
    strongest: Seen | None
    segments: tuple[SegmentScore, ...] = ()

    @property
    def beyond(self) -> bool:
        """Whether an overall estimate lies beyond the limit."""
        return self.strongest is not None


def scores(question: Question, look: Look, state: State) -> tuple[Score, ...]:
    """One score per criterion, in order of position. `state` is the state after the look."""
    found: dict[int, list[SegmentScore]] = {}
    for one in state.segments:
        found.setdefault(one.limit, []).append(one)
    sighted = mixture.Sighted(question, look, state)
    return tuple(
        _score(position, list(sighted.everybody(position)), tuple(found.get(position, ())))
        for position in range(len(question.criteria))
    )


def segment_scores(question: Question, look: Look, state: State) -> tuple[SegmentScore, ...]:
    """Scores of every criterion in every segment; those of the state if this look did not look at segments."""
    if look.slots is None:
        return state.segments
    sighted = mixture.Sighted(question, look, state)
    found = []
    for position in filter(question.is_divided, range(len(question.criteria))):
        for segment in state.slots:
            of = list(sighted.segment(position, segment))
            if of:
                everything = _mixed(of)
                beyond = [term for term in of if term.beyond]
                found.append(
                    SegmentScore(
                        limit=position,
                        segment=segment,
                        log_e=everything,
                        counted=_summed(beyond) if beyond else None,
                        sight=(max(beyond, key=_strength) if beyond else of[0]).sight,
                    )
                )
    return tuple(found)


def has_lasted(limit: Limit, key: str, look: Look, state: State) -> bool:
    """Whether the estimate has been beyond the limit at every look for as long as `limit.lasting` asks.

    `key` is a key of `JudgingState.beyond_since`.
    """
    since = state.beyond_since.get(key)
    return since is not None and look.at - since >= (limit.lasting or timedelta(0))


def combined(question: Question, score: Score, lasted: Sequence[SegmentScore], *, everybody: bool) -> float:
    """Log e-value that a limit contributes: the weighted sum of its parts beyond the limit, -inf if there are none.

    The overall part counts only if `with_overall`.
    """
    share = of_everybody(question)
    parts = [score.counted + log(share)] if everybody else []
    parts += [one.counted + log((1 - share) / SLOTS) for one in lasted if one.counted is not None]
    return float(np.logaddexp.reduce(parts)) if parts else -inf


def _score(position: int, of: list[Term], segments: tuple[SegmentScore, ...]) -> Score:
    beyond = [term for term in of if term.beyond]
    return Score(
        limit=position,
        log_e=_mixed(of),
        counted=_summed(beyond) if beyond else -inf,
        strongest=max(beyond, key=_strength).sight if beyond else None,
        segments=segments,
    )


def _strength(term: Term) -> float:
    return term.log_weight + term.log_e


def _summed(of: Iterable[Term]) -> float:
    return float(np.logaddexp.reduce([_strength(term) for term in of]))


def _mixed(of: Sequence[Term]) -> float:
    """Log e-value of the mixture. E-processes that have not started count as 1, so the mixture also starts at 1."""
    rest = 1 - sum(exp(term.log_weight) for term in of)
    parts = [*(_strength(term) for term in of), *([log(rest)] if rest > 1e-12 else [])]
    return float(np.logaddexp.reduce(parts))


def by_segment(found: Iterable[SegmentScore]) -> Iterator[tuple[str, SegmentScore]]:
    """Yield (key of `JudgingState.beyond_since`, score) for each score."""
    for one in found:
        yield f"{one.limit}|{one.segment}", one
