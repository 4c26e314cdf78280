"""How strongly each criterion is broken: one e-value, and the part of it whose estimate lies beyond the limit."""

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
    """`log_e` is the criterion's e-value over everybody, `counted` its part that is beyond the limit, `strongest` what
    counts most there. `segments` are as of the last look at segments."""

    limit: int
    log_e: float
    counted: float
    strongest: Seen | None
    segments: tuple[SegmentScore, ...] = ()

    @property
    def beyond(self) -> bool:
        """Whether everybody's estimate lies beyond the limit."""
        return self.strongest is not None


def scores(question: Question, look: Look, state: State) -> tuple[Score, ...]:
    """One score per criterion, in order; `state` is the state after the look."""
    found: dict[int, list[SegmentScore]] = {}
    for one in state.segments:
        found.setdefault(one.limit, []).append(one)
    sighted = mixture.Sighted(question, look, state)
    return tuple(
        _score(position, list(sighted.everybody(position)), tuple(found.get(position, ())))
        for position in range(len(question.criteria))
    )


def segment_scores(question: Question, look: Look, state: State) -> tuple[SegmentScore, ...]:
    """Every criterion in every segment that was looked at; as before where this look did not look at segments."""
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
    """Whether the estimate was beyond the limit at every look for as long as the limit asks; `key` as in the state."""
    since = state.beyond_since.get(key)
    return since is not None and look.at - since >= (limit.lasting or timedelta(0))


def combined(question: Question, score: Score, lasted: Sequence[SegmentScore], *, everybody: bool) -> float:
    """ln of what a limit weighs in: everybody's part and those of the segments, as far as they are beyond it."""
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
    """E-processes that have not begun stand at 1, so that the e-value starts at 1 too."""
    rest = 1 - sum(exp(term.log_weight) for term in of)
    parts = [*(_strength(term) for term in of), *([log(rest)] if rest > 1e-12 else [])]
    return float(np.logaddexp.reduce(parts))


def by_segment(found: Iterable[SegmentScore]) -> Iterator[tuple[str, SegmentScore]]:
    """(key of the state, score) of each."""
    for one in found:
        yield f"{one.limit}|{one.segment}", one
