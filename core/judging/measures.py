"""Rows of a summary: where each metric stands in the stage under way, in numbers and in a word."""

from math import log

import numpy as np

from core.judging import ranges
from core.judging.accumulate import GATE_REQUESTS, in_control
from core.judging.hypothesis import hypotheses, is_beyond
from core.judging.limits import CATEGORIES, Kind, Limit, Role, wording
from core.judging.look import Look
from core.judging.question import Question
from core.judging.score import Score
from core.judging.state import State
from core.judging.verdict import Measure, Word
from core.metrics.catalogue import CATALOGUE, Good, Metric


def measures(question: Question, look: Look, state: State, scored: tuple[Score, ...]) -> tuple[Measure, ...]:
    """One row per limit, in order, then one per watched metric that has none. `state` is the state after the look."""
    rows = [
        _category_row(question, state, limit, score)
        if limit.per_category
        else _row(question, look, state, limit.metric, limit, score)
        for limit, score in zip(question.limits, scored, strict=True)
    ]
    limited = {limit.metric for limit in question.limits}
    rows += [
        _row(question, look, state, key, None, None)
        for key in question.watched
        if key not in limited and key != CATEGORIES
    ]
    return tuple(rows)


def _row(question: Question, look: Look, state: State, key: str, limit: Limit | None, score: Score | None) -> Measure:
    entry = CATALOGUE[key]
    standing = look.standing(key, question.current)
    weaker = question.current in question.alone
    canary = control = error = None
    n_canary = n_control = 0.0
    if standing is not None:
        canary, control, error = standing.canary, standing.control, standing.error
        n_canary, n_control = standing.canary_weight, standing.control_weight
        if weaker:
            canary, n_canary = standing.level, standing.level_weight
    if weaker and (baseline := state.baselines.get(key)) is not None:
        control = baseline.value
        if standing is not None and standing.level_error is not None and baseline.error is not None:
            error = float(np.hypot(standing.level_error, baseline.error))
    difference = None
    if canary is not None and control is not None:
        relative = ranges.is_relative(limit, entry)
        difference = canary - control if not relative else canary / control - 1 if control > 0 else None
    low, high = ranges.shown(
        limit,
        entry,
        ranges.Seen(
            canary=canary,
            control=control,
            error=error,
            n_canary=n_canary,
            n_control=0.0 if weaker else n_control,
            design_effect=standing.design_effect if standing is not None else 1.0,
        ),
    )
    silent = n_canary == 0 or (n_control == 0 and not weaker)
    return Measure(
        metric=key,
        title=entry.title,
        limit_text=wording(limit) if limit else None,
        canary=canary,
        control=control,
        difference=difference,
        low=low,
        high=high,
        log_e=score.log_e if score else 0.0,
        word=_word(question, limit, entry, score, canary, control, low, high, n_canary, silent=silent),
        n_canary=round(n_canary),
        n_control=round(n_control),
        unit=entry.unit,
        relative=ranges.is_relative(limit, entry),
        weaker=weaker,
    )


def _word(
    question: Question,
    limit: Limit | None,
    entry: Metric,
    score: Score | None,
    canary: float | None,
    control: float | None,
    low: float | None,
    high: float | None,
    n_canary: float,
    *,
    silent: bool,
) -> Word:
    if silent:
        return "No data"
    proven = score is not None and score.log_e >= log(1 / question.alpha)
    beyond = _beyond_limit(limit, entry, canary, control)
    two_sided = (limit is not None and limit.kind is Kind.CHANGES_BY) or (
        limit is None and entry.good is Good.UNCHANGED
    )
    risen = low is not None and low > 0
    fallen = high is not None and high < 0
    worse = risen if _harm_is_more(limit, entry) else fallen
    better = fallen if _harm_is_more(limit, entry) else risen
    if two_sided and beyond and (proven or risen or fallen):
        return "Changed unexpectedly"
    if beyond and (proven or worse):
        return "Worse"
    if n_canary < GATE_REQUESTS or (beyond and limit is not None and limit.role is not Role.WATCH):
        return "Not enough data"
    if two_sided or (limit is None and entry.good is Good.UNKNOWN):
        return "Fine"
    if worse or (proven and limit is not None and not limit.absolute):
        return "Slightly worse, within limit"
    return "Better" if better else "Fine"


def _beyond_limit(limit: Limit | None, entry: Metric, canary: float | None, control: float | None) -> bool:
    if canary is None:
        return False
    if limit is not None and limit.absolute:
        return canary > limit.amount
    if limit is not None:
        return any(is_beyond(limit, hypothesis.side, canary, control) for hypothesis in hypotheses(limit))
    if control is None or entry.default_margin is None:
        return False
    change = canary - control if not ranges.is_relative(None, entry) else canary / control - 1 if control > 0 else 0.0
    if entry.good is Good.UNCHANGED:
        return abs(change) > entry.default_margin
    return (change if entry.good is Good.DOWN else -change) > entry.default_margin


def _harm_is_more(limit: Limit | None, entry: Metric) -> bool:
    if limit is not None:
        return limit.kind is not Kind.DROPS_BY
    return entry.good is not Good.UP


def _category_row(question: Question, state: State, limit: Limit, score: Score) -> Measure:
    entry = CATALOGUE[limit.metric]
    requests = state.total(question.current, "requests")
    new = [
        t for t in state.categories if not in_control(state, t.name) and t.trials and question.limits[t.limit] == limit
    ]
    worst = max((t.events / t.trials for t in new), default=0.0)
    word: Word = "Fine"
    if requests.canary_trials == 0 or requests.control_trials == 0:
        word = "No data"
    elif score.beyond and score.counted >= log(1 / question.alpha):
        word = "Worse"
    elif score.beyond or requests.canary_trials < GATE_REQUESTS:
        word = "Not enough data"
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
        unit=entry.unit,
        relative=False,
        weaker=False,
        note=score.strongest.note if score.strongest else ", ".join(sorted(t.name for t in new)),
    )
