"""What both arms did in the last minutes and the last hour, and what of it the canary's loudest few buckets added."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from core.judging.limits.limits import Limit
from core.judging.look import quantile_crossing
from core.judging.look.count_new import exact_kernel_cell, level_cell
from core.judging.look.look import Look
from core.judging.model.evidence import CATEGORY_PREFIX, EVERYONE
from core.judging.model.question import Question
from core.judging.model.state import CountTotals, JudgingState, OutlierExcess

RECENT_HALF_LIFE = timedelta(minutes=5)
"""Half-life of the recent counts."""
LATE_HALF_LIFE = timedelta(minutes=30)
"""Half-life of the counts that `lately` holds: for traffic of which a few minutes are too little."""


def recent_key(limit: Limit, cell: str) -> str:
    """Key of a limit's recent counts. Those for a fixed number include the stages without a control."""
    return f"{cell}|alone" if limit.is_absolute else cell


def _list_cells_judged_alone(question: Question) -> Mapping[str, tuple[str, ...]]:
    """The `recent_key` of each cell that is held against a fixed number, by cell."""
    fixed = {exact_kernel_cell(question, limit): limit for limit in question.criteria if limit.is_absolute}
    return {cell: (recent_key(limit, cell),) for cell, limit in fixed.items() if cell is not None}


def update_recent(
    question: Question,
    look: Look,
    seen: datetime | None,
    before: Mapping[str, CountTotals],
    half_life: timedelta,
) -> Mapping[str, CountTotals]:
    """Recent counts by `recent_key`, decayed since the last look, which was at `seen`, plus those of this look.

    What a stage without a control adds says nothing of the difference of both arms.
    """
    fade = _compute_fade(look, seen, half_life)
    recent = {
        name: CountTotals(
            canary_trials=was.canary_trials * fade,
            canary_events=was.canary_events * fade,
            control_trials=was.control_trials * fade,
            control_events=was.control_events * fade,
        )
        for name, was in before.items()
    }
    alone = _list_cells_judged_alone(question)
    for step in look.steps:
        if step.segment != EVERYONE or step.metric.startswith(CATEGORY_PREFIX):
            continue
        paired = (step.metric,) if step.stage in question.compared_stages else ()
        for key in (*paired, *alone.get(step.metric, ())):
            was = recent.get(key, CountTotals())
            recent[key] = CountTotals(
                canary_trials=was.canary_trials + step.canary_trials,
                canary_events=was.canary_events + step.canary_events,
                control_trials=was.control_trials + step.control_trials,
                control_events=was.control_events + step.control_events,
            )
    return {name: recent[name] for name in sorted(recent)}


def measure_outliers(
    question: Question, look: Look, before: JudgingState, current: JudgingState
) -> Mapping[str, OutlierExcess]:
    """The excess of the canary's loudest few buckets of the current stage, by `recent_key`, and its recent part.

    A winsorised sum only grows by what the buckets beside the loudest few add. So its growth since the last look tells
    what these alone brought, without a memory of every bucket.
    """
    fades = [_compute_fade(look, before.seen, half_life) for half_life in (RECENT_HALF_LIFE, LATE_HALF_LIFE)]
    known = dict(before.outliers)
    if before.stage != question.current:
        known = {cell: replace(one, total=0.0) for cell, one in known.items()}
    excess = dict(_measure_excesses(question, look, current))
    found = {}
    for cell in sorted({*known, *excess}):
        was = known.get(cell, OutlierExcess())
        total = excess.get(cell, was.total)
        found[cell] = OutlierExcess(
            total=total,
            recent=was.recent * fades[0] + total - was.total,
            lately=was.lately * fades[1] + total - was.total,
        )
    return found


def _measure_excesses(question: Question, look: Look, current: JudgingState) -> Iterator[tuple[str, float]]:
    """(`recent_key`, events by which the canary's loudest few buckets of the current stage exceed the next ones)."""
    alone = _list_cells_judged_alone(question)
    levels = {level_cell(question, limit) for limit in question.limits}
    quantiles = {limit.metric for limit in question.criteria if quantile_crossing.compares_quantiles(limit)}
    for one in look.standings:
        left = one.more
        if one.since != question.current or one.segment != EVERYONE or left is None:
            continue
        values = current.get_total(question.current, one.metric)
        if one.metric in quantiles:
            # A comparison of quantiles has no mean of its own; the sums of the stage have.
            if left.drawn_in is not None:
                yield one.metric, values.canary_events - left.drawn_in * values.canary_trials
        elif left.drawn_in is not None and one.canary is not None:
            # Of a ratio the weight of a comparison is its readings, not the sum of its denominators.
            weight = values.canary_trials if one.metric in levels else one.canary_weight
            yield one.metric, (one.canary - left.drawn_in) * weight
        if left.level_drawn_in is not None and one.level is not None:
            for key in alone.get(one.metric, ()):
                yield key, (one.level - left.level_drawn_in) * one.level_weight


def _compute_fade(look: Look, seen: datetime | None, half_life: timedelta) -> float:
    return 1.0 if seen is None else float(0.5 ** max((look.at - seen) / half_life, 0.0))
