"""Rows of a summary: each metric's estimate in the current stage, with its range and a label."""

from dataclasses import replace
from math import log

import numpy as np

from core.judging.engine.accumulate import GATE_REQUESTS, in_control
from core.judging.engine.score import Score
from core.judging.look.arm_comparison import Standing
from core.judging.look.look import SLOTS, Look
from core.judging.model import confidence_range
from core.judging.model.alpha_shares import of_everybody
from core.judging.model.confidence_range import Seen
from core.judging.model.default_limits import FALSE_DISCOVERIES
from core.judging.model.evidence import CATEGORY, EVERYONE, OTHER, REQUESTS
from core.judging.model.hypothesis import hypotheses, is_beyond
from core.judging.model.limits import CATEGORIES, CATEGORY_UNIT, Kind, Limit, wording
from core.judging.model.question import Question
from core.judging.model.state import State
from core.judging.model.verdict import Harm, Measure, Word
from core.judging.report import expectations, labels
from core.judging.verdict.noninferiority import Clearances
from core.metrics.catalogue import CATALOGUE

_NAMES_RAN_OUT = (
    f"both versions show more kinds of errors than there are names, so those called {OTHER} may hide a new one"
)
_WELL: frozenset[Word] = frozenset({"Fine", "Better", "Slightly worse, within limit"})


def everybody(
    question: Question, look: Look, state: State, scored: tuple[Score, ...], kept: Clearances
) -> tuple[Measure, ...]:
    """One row per limit of the file, in order, then one per other metric that has data.

    `state` is the state after the look.
    """
    rows = []
    for position, limit in enumerate(question.limits):
        score = scored[position]
        if limit.per_category:
            rows.append(_category_row(question, state, limit, score))
            continue
        row = _row(question, look, state, position, score)
        if (clear := kept.get(position)) is not None:
            row = replace(row, log_clear=clear.log_e, cleared=clear.kept)
        rows.append(row)
    limited = {limit.metric for limit in question.limits}
    shown: set[str] = set()
    for position, limit in enumerate(question.implied, start=len(question.limits)):
        other = limit.metric
        if other in limited or other in shown or look.standing(question.cell(other), question.current) is None:
            continue
        shown.add(other)
        sides = [i for i, one in enumerate(question.criteria) if one.metric == other]
        worst = _worst(scored, sides, position)
        rows.append(_row(question, look, state, worst, scored[worst]))
    return tuple(rows)


def segments(question: Question, state: State, most: int | None = None) -> tuple[Measure, ...]:
    """One row per criterion and segment as of the last look at segments, the file's limits first.

    With `max_rows` only those beyond their limit with the most evidence, strongest first.
    """
    share = (1 - of_everybody(question)) / SLOTS
    found = [(one, _needed(question, question.criteria[one.limit], one.limit, share)) for one in state.segments]
    if most is not None:
        telling = [pair for pair in found if pair[0].counted is not None and pair[0].log_e > 0]
        found = sorted(telling, key=lambda pair: pair[1] - pair[0].log_e)[:most]
    return tuple(
        _measure(question, one.limit, one.sight, one.log_e, needed, segment=one.segment, weaker=False, silent=False)
        for one, needed in found
    )


def _worst(scored: tuple[Score, ...], sides: list[int], otherwise: int) -> int:
    """Position of the default limit (rise or drop) that a metric's row describes."""
    return max(sides, key=lambda i: scored[i].counted) if any(scored[i].beyond for i in sides) else otherwise


def _row(question: Question, look: Look, state: State, position: int, score: Score) -> Measure:
    limit = question.criteria[position]
    standing = look.standing(question.cell(limit.metric), question.current)
    weaker = question.stage.exposes and not question.stage.control_left
    seen = Seen(canary=None, control=None, error=None, n_canary=0.0, n_control=0.0)
    if standing is not None:
        seen = standing.beside
        if weaker:
            seen = replace(seen, canary=standing.level, n_canary=standing.level_weight, n_control=0.0)
    if weaker and (baseline := state.baselines.get(limit.metric)) is not None:
        seen = replace(seen, control=baseline.value)
        if standing is not None and standing.level_error is not None and baseline.error is not None:
            seen = replace(seen, error=float(np.hypot(standing.level_error, baseline.error)))
    silent = seen.n_canary == 0 or (seen.n_control == 0 and not weaker)
    row = _measure(
        question,
        position,
        seen,
        score.log_e,
        _needed(question, limit, position, of_everybody(question)),
        segment=EVERYONE,
        weaker=weaker,
        silent=silent,
    )
    if standing is not None and not weaker and row.word in _WELL and _rests_on_one_bucket(limit, standing, row):
        note = "looks well only by the requests of one group of people"
        return replace(row, word="Not enough data", note="; ".join(text for text in (row.note, note) if text))
    return row


def _rests_on_one_bucket(limit: Limit, standing: Standing, row: Measure) -> bool:
    """Whether the row would be beyond the limit, or no longer better, without the most favourable bucket."""
    if limit.absolute or limit.per_category or CATALOGUE[limit.metric].quantile is not None:
        return False
    for hypothesis in hypotheses(limit):
        left = standing.without("less" if hypothesis.side == "greater" else "greater")
        if left is None or left.canary is None or left.control is None:
            continue
        if is_beyond(limit, hypothesis.side, left.canary, left.control):
            return True
        if row.word == "Better" and hypothesis.sign * (left.canary - left.control) >= 0:
            return True
    return False


def _measure(
    question: Question,
    position: int,
    seen: Seen,
    log_e: float,
    needed: float,
    *,
    segment: str,
    weaker: bool,
    silent: bool,
) -> Measure:
    limit, implied = question.criteria[position], question.is_implied(position)
    entry = CATALOGUE[limit.metric]
    difference = confidence_range.difference(limit, entry, seen)
    low, high = confidence_range.shown(limit, entry, seen)
    expected = next((one for one in question.expectations if one.metric == limit.metric), None)
    foreseen = expectations.outcome(expected, entry, seen, difference, low, high) if expected and not segment else ""
    proven = log_e >= log(1 / question.alpha)
    word: Word = "No data" if silent else labels.of(limit, entry, seen, low, high, proven=proven, implied=implied)
    return Measure(
        metric=limit.metric,
        title=entry.title,
        limit_text=wording(limit),
        canary=seen.canary,
        control=seen.control,
        difference=difference,
        low=low,
        high=high,
        log_e=log_e,
        word="Fine" if foreseen == "as expected" and word == "Changed unexpectedly" else word,
        n_canary=round(seen.n_canary),
        n_control=round(seen.n_control),
        unit=entry.unit,
        relative=confidence_range.is_relative(limit, entry),
        weaker=weaker,
        note=seen.note,
        segment=segment,
        role=str(limit.role),
        implied=implied,
        harm=_harm(limit),
        amount=limit.amount,
        absolute=limit.absolute,
        error=seen.error,
        design_effect=seen.design_effect,
        needed=needed,
        expected=foreseen,
    )


def _needed(question: Question, limit: Limit, position: int, share: float) -> float:
    """The log e-value that this criterion would need alone: the role's threshold divided by its share of the weight."""
    if question.is_implied(position):
        return log(len(question.implied) / FALSE_DISCOVERIES)
    return log(1 / question.alpha) + log(max(len(question.acting(limit.role)), 1)) - log(share)


def _harm(limit: Limit) -> Harm:
    match limit.kind:
        case Kind.DROPS_BY:
            return "less"
        case Kind.CHANGES_BY:
            return "either"
        case _:
            return "more"


def _category_row(question: Question, state: State, limit: Limit, score: Score) -> Measure:
    entry = CATALOGUE[CATEGORIES]
    requests = state.total(question.current, REQUESTS)
    old = in_control(state)
    new = [
        t for t in state.categories if CATEGORY + t.name not in old and t.trials and question.limits[t.limit] == limit
    ]
    worst = max((t.events / t.trials for t in new), default=0.0)
    word: Word = "Fine"
    if requests.canary_trials == 0 or requests.control_trials == 0:
        word = "No data"
    elif score.beyond and score.counted >= log(1 / question.alpha):
        word = "Worse"
    elif score.beyond or requests.canary_trials < GATE_REQUESTS:
        word = "Not enough data"
    hidden = CATEGORY + OTHER in old and _has_shown(state, OTHER)
    if hidden and word == "Fine":
        word = "Not enough data"
    names = score.strongest.note if score.strongest else ", ".join(sorted(t.name for t in new))
    return Measure(
        metric=limit.metric,
        title=entry.title,
        limit_text=wording(limit),
        canary=worst,
        control=0.0,
        difference=worst,
        low=None,
        high=None,
        log_e=score.log_e,
        word=word,
        n_canary=round(requests.canary_trials),
        n_control=round(requests.control_trials),
        unit=CATEGORY_UNIT,
        relative=False,
        weaker=False,
        note="; ".join(text for text in (names, _NAMES_RAN_OUT if hidden else "") if text),
        role=str(limit.role),
        amount=limit.amount,
        absolute=True,
        needed=_needed(question, limit, question.limits.index(limit), of_everybody(question)),
    )


def _has_shown(state: State, category: str) -> bool:
    """Whether the canary has shown an error category."""
    suffix = f"|{CATEGORY}{category}"
    return any(total.canary_events > 0 for key, total in state.totals.items() if key.endswith(suffix))
