"""Count what is new since the last look: trials and events of every cell that feeds an exact kernel."""

from collections.abc import Iterator, Sequence

import numpy as np

from core.judging.look import cells
from core.judging.model.evidence import BUCKETS, CANARY, CATEGORY, CONTROL, REQUESTS, Sums, counter
from core.judging.model.increment import Step
from core.judging.model.limits import Limit
from core.judging.model.question import Question
from core.judging.model.state import State
from core.metrics.catalogue import CATALOGUE, Kind

SET_ASIDE = BUCKETS // 2
"""Control buckets that only estimate the base rate in a stage's first look, so that a single batch can be judged."""


def counted(limit: Limit) -> bool:
    """Whether a limit's metric has a reading per request, instead of counting events that may arrive at any time."""
    return not limit.per_category and CATALOGUE[limit.metric].kind is not Kind.COUNT


def channel(question: Question, limit: Limit) -> str | None:
    """Name of the cell whose counts feed a criterion's exact kernel.

    None if quantile crossings or error categories feed it, or if a mean has no cap yet.
    """
    entry = CATALOGUE[limit.metric]
    if limit.per_category:
        return None
    if entry.kind is Kind.QUANTILE:
        return counter(limit.metric, limit.amount) if limit.absolute else None
    if entry.kind is Kind.MEAN:
        cap = question.caps.get(limit.metric)
        return None if cap is None else counter(limit.metric, cap)
    return limit.metric


def steps(question: Question, sums: Sums, before: State, segments: Sequence[str]) -> Iterator[Step]:
    """Yield the counts since the last look: overall in every stage, by segment only in the last two stages.

    The previous stage is included because its last moments came after the last look at it.
    """
    metrics = [REQUESTS, *(name for limit in question.criteria if (name := channel(question, limit)) is not None)]
    named = cells.categories(sums) if any(limit.per_category for limit in question.limits) else ()
    here = cells.present(sums)
    for metric in dict.fromkeys((*metrics, *named)):
        if metric not in here:
            continue
        for stage in question.exposed:
            divided = stage in question.latest and not metric.startswith(CATEGORY)
            cut = segments if divided else segments[:1]
            canary, control = (cells.stages(sums, (stage,), arm, metric, cut)[:, 0] for arm in (CANARY, CONTROL))
            totals = np.concatenate([canary.sum(axis=1), control.sum(axis=1)], axis=1)
            for i, segment in enumerate(cut):
                step = _step(before, stage, metric, segment, totals[i].tolist(), canary[i], control[i])
                if step.moved:
                    yield step


def _step(
    before: State,
    stage: int,
    metric: str,
    segment: str,
    totals: list[float],
    canary: cells.Array,
    control: cells.Array,
) -> Step:
    canary_trials, canary_events, control_trials, control_events = totals
    done = before.total(stage, metric, segment)
    weighed = before.total(stage, REQUESTS, segment) if metric.startswith(CATEGORY) else done
    new = Step(
        stage=stage,
        metric=metric,
        segment=segment,
        canary_trials=max(canary_trials - weighed.canary_trials, 0.0),
        canary_events=max(canary_events - done.canary_events, 0.0),
        control_trials=max(control_trials - weighed.control_trials, 0.0),
        control_events=max(control_events - done.control_events, 0.0),
    )
    if metric.startswith(CATEGORY) and weighed.canary_trials == 0:
        trials, events = canary[: BUCKETS // 2].sum(axis=0).tolist()
        return new.setting_aside(CANARY, trials, events)
    if metric != REQUESTS and not cells.over_requests(metric) and done.control_trials == 0:
        trials, events = control[:SET_ASIDE].sum(axis=0).tolist()
        return new.setting_aside(CONTROL, trials, events)
    return new
