"""How strongly each limit is broken: one e-value per limit, and the part of it whose estimate lies beyond the limit."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import inf, log, pi

import numpy as np

from core.judging.accumulate import gate_is_open, in_control
from core.judging.hypothesis import Hypothesis, hypotheses, is_beyond
from core.judging.limits import Limit
from core.judging.look import Look
from core.judging.question import Question
from core.judging.ranges import Seen
from core.judging.state import Part, State
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import mean, proportion

BESIDE_SHARE = 0.9
"""Of a comparison's weight, the part for the time with a control; the rest waits for the time without one."""

FADE = 6 / pi**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One e-process of a limit: since one stage, on one side. `log_weight` is its share of the limit."""

    log_weight: float
    log_e: float
    beyond: bool
    sight: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """`log_e` is the limit's e-value, `counted` the part that is beyond the limit; `strongest` is what counts most."""

    limit: int
    log_e: float
    counted: float
    strongest: Seen | None

    @property
    def beyond(self) -> bool:
        """Whether an estimate lies beyond the limit."""
        return self.strongest is not None


def scores(question: Question, look: Look, state: State) -> tuple[Score, ...]:
    """One score per limit, in order; `state` is the state after the look."""
    return tuple(_score(position, _terms(question, look, state, position)) for position in range(len(question.limits)))


def has_lasted(limit: Limit, position: int, look: Look, state: State) -> bool:
    """Whether the estimate was beyond the limit at every look for as long as the limit asks."""
    since = state.beyond_since.get(str(position))
    return since is not None and look.at - since >= (limit.lasting or timedelta(0))


def _score(position: int, terms: list[Term]) -> Score:
    weighted = [term.log_weight + term.log_e for term in terms]
    # E-processes that have not begun stand at 1, so that the limit's e-value starts at 1 too.
    rest = 1 - sum(np.exp(term.log_weight) for term in terms)
    parts = [*weighted, log(rest)] if rest > 1e-12 else weighted
    beyond = [(strength, term.sight) for strength, term in zip(weighted, terms, strict=True) if term.beyond]
    return Score(
        limit=position,
        log_e=float(np.logaddexp.reduce(parts)),
        counted=float(np.logaddexp.reduce([strength for strength, _ in beyond])) if beyond else -inf,
        strongest=max(beyond, key=lambda one: one[0])[1] if beyond else None,
    )


def _terms(question: Question, look: Look, state: State, position: int) -> list[Term]:
    limit = question.limits[position]
    if limit.per_category:
        return list(_category_terms(question, state, position))
    terms: list[Term] = []
    for hypothesis in hypotheses(limit):
        if limit.absolute:
            terms += _epoch_terms(question, look, state, position, hypothesis, "fixed", question.exposed, 1.0)
        else:
            terms += _epoch_terms(question, look, state, position, hypothesis, "pair", question.compared, BESIDE_SHARE)
            terms += _alone_terms(question, look, state, position, hypothesis)
    return terms


def _epoch_terms(
    question: Question,
    look: Look,
    state: State,
    position: int,
    hypothesis: Hypothesis,
    part: Part,
    epochs: tuple[int, ...],
    share: float,
) -> Iterator[Term]:
    limit = question.limits[position]
    for order, since in enumerate(epochs, start=1):
        standing = look.standing(limit.metric, since)
        if standing is None:
            continue
        if part == "fixed":
            sight = Seen(
                canary=standing.level,
                control=standing.control,
                error=standing.level_error,
                n_canary=standing.level_weight,
                n_control=standing.control_weight,
            )
            beyond = (
                standing.level is not None
                and standing.level > limit.amount
                and standing.level * standing.level_weight >= (limit.min_events or 0)
            )
        else:
            sight = Seen(
                canary=standing.canary,
                control=standing.control,
                error=standing.error,
                n_canary=standing.canary_weight,
                n_control=standing.control_weight,
                design_effect=standing.design_effect,
            )
            beyond = is_beyond(limit, hypothesis.side, standing.canary, standing.control)
        if CATALOGUE[limit.metric].kind is Kind.MEAN:
            log_e = _mean_log_e(question, look, state, position, hypothesis, since, sight)
        else:
            log_e = _exact_log_e(state, position, hypothesis, since, part, standing.design_effect)
        yield Term(log_weight=log(share * hypothesis.share * FADE / order**2), log_e=log_e, beyond=beyond, sight=sight)


def _alone_terms(question: Question, look: Look, state: State, position: int, hypothesis: Hypothesis) -> Iterator[Term]:
    """Against control's past, always with the limit in the bound: a before and after cannot tell drift from harm."""
    limit = question.limits[position]
    baseline = state.baselines.get(limit.metric)
    if not question.alone or baseline is None:
        return
    since = question.alone[0]
    standing = look.standing(limit.metric, since)
    if standing is None:
        return
    error = None
    if standing.level_error is not None and baseline.error is not None:
        error = float(np.hypot(standing.level_error, hypothesis.bound_ratio * baseline.error))
    sight = Seen(
        canary=standing.level,
        control=baseline.value,
        error=error,
        n_canary=standing.level_weight,
        n_control=0,
        note="compared with the past: no control is left",
    )
    if CATALOGUE[limit.metric].kind is Kind.MEAN:
        bound = hypothesis.bound_ratio * baseline.value + hypothesis.bound_shift
        ready = standing.level is not None and gate_is_open(look, limit.metric, since)
        estimate = hypothesis.sign * (standing.level - bound) if standing.level is not None else 0.0
        log_e = _half_normal(estimate, error, state.taus.get(str(position))) if ready else 0.0
    else:
        log_e = _exact_log_e(state, position, hypothesis, since, "alone", standing.design_effect)
    yield Term(
        log_weight=log((1 - BESIDE_SHARE) * hypothesis.share),
        log_e=log_e,
        beyond=is_beyond(limit, hypothesis.side, standing.level, baseline.value),
        sight=sight,
    )


def _category_terms(question: Question, state: State, position: int) -> Iterator[Term]:
    limit = question.limits[position]
    for track in state.categories:
        if track.limit != position or in_control(state, track.name) or track.trials == 0:
            continue
        rate = track.events / track.trials
        control = sum(
            total.control_trials for key, total in state.totals.items() if key.partition("|")[2] == "requests"
        )
        yield Term(
            log_weight=log(FADE / track.order**2),
            log_e=float(proportion.log_mean(track.components)),
            beyond=rate > limit.amount and track.events >= (limit.min_events or 0),
            sight=Seen(
                canary=rate,
                control=0.0,
                error=None,
                n_canary=track.trials,
                n_control=control,
                note=f"{track.name}: {track.events:.0f} on the new version, none on the current one",
            ),
        )


def _exact_log_e(
    state: State, position: int, hypothesis: Hypothesis, since: int, part: Part, design_effect: float
) -> float:
    for track in state.tracks:
        if (track.limit, track.side, track.since, track.part) == (position, hypothesis.side, since, part):
            return float(proportion.log_mean(np.array(track.components) / design_effect))
    return 0.0


def _mean_log_e(
    question: Question, look: Look, state: State, position: int, hypothesis: Hypothesis, since: int, sight: Seen
) -> float:
    limit = question.limits[position]
    if sight.canary is None or not gate_is_open(look, limit.metric, since):
        return 0.0
    if limit.absolute:
        return _half_normal(sight.canary - limit.amount, sight.error, state.taus.get(str(position)))
    if sight.control is None:
        return 0.0
    error = sight.error
    if limit.strict:
        keys = (position, hypothesis.side, since)
        error = next((one.error for one in look.margins if (one.limit, one.side, one.since) == keys), None)
    estimate = sight.canary - hypothesis.ratio * sight.control - hypothesis.shift
    return _half_normal(hypothesis.sign * estimate, error, state.taus.get(str(position)))


def _half_normal(estimate: float, error: float | None, tau: float | None) -> float:
    """No evidence where nothing varies: an error of 0 is not certainty."""
    if error is None or error <= 0 or tau is None:
        return 0.0
    return float(mean.log_e_half_normal(estimate / error, (tau / error) ** 2))
