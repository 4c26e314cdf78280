"""The state after a look: advanced e-processes, and everything else that the next look needs."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from core.judging.engine import e_processes, recent_counts
from core.judging.engine.increments import compute_increments
from core.judging.engine.past_levels import widen_past_levels
from core.judging.limits.limits import Limit, LimitScale
from core.judging.look.count_new import level_cell
from core.judging.look.look import Look
from core.judging.model.evidence import CANARY, CATEGORY_PREFIX, CONTROL, EVERYONE, REQUESTS
from core.judging.model.new_counts import NewCounts
from core.judging.model.question import Question
from core.judging.model.state import (
    CategoryEProcess,
    CountTotals,
    JudgingState,
    LastArrival,
    build_total_key,
    is_overall_key,
)
from core.stats.sequential import proportion

GATE_REQUESTS = 100
GATE_UNITS = 100
NEGLIGIBLE_HARM = 0.1
"""Fraction of a mean's standard error at the opening of its gate, below which a typical harm is lost in the noise."""


def advance_state(question: Question, look: Look, before: JudgingState) -> JudgingState:
    """The state after this look, without what scores and verdict add to it."""
    levels = widen_past_levels(question, look, {**look.baselines, **before.baselines})
    current = replace(before, totals=_update_totals(question, look, before), baselines=levels, looks=before.looks + 1)
    found = compute_increments(question, look, before, current)
    advanced, starts = e_processes.advance_e_processes(question, found, before, look.at)
    same_stage = before.stage == question.current
    return replace(
        current,
        tracks=advanced,
        starts=starts,
        categories=_advance_categories(question, look, before, current),
        thresholds=look.thresholds,
        taus=_freeze_taus(question, look, before),
        recent=recent_counts.update_recent(question, look, before.seen, before.recent, recent_counts.RECENT_HALF_LIFE),
        lately=recent_counts.update_recent(question, look, before.seen, before.lately, recent_counts.LATE_HALF_LIFE),
        outliers=recent_counts.measure_outliers(question, look, before, current),
        variances=_update_variances(question, look, current),
        effects=_find_design_effects(look),
        kept=before.kept if same_stage else (),
        stage=question.current,
        stage_seen=before.stage_seen if same_stage else look.at,
        exposed_since=before.exposed_since or look.at,
        seen=look.at,
        last_request=_update_last_request(question, look, before),
        elsewhere=_update_other_arm_requests(question, look, before, current),
        arrivals=_update_arrivals(look, before.arrivals if same_stage else {}),
        slots=look.slots if look.slots is not None else before.slots,
        left_out=look.left_out,
        segments_seen=look.at if look.slots is not None else before.segments_seen,
    )


def count_canary_units(look: Look, since: int) -> int:
    """Lower bound of the distinct canary units since a stage: those of the largest stage, as units come back."""
    return max((exposure.canary for exposure in look.exposures if exposure.stage >= since), default=0)


def is_gate_open(look: Look, cell: str, since: int, segment: str = EVERYONE) -> bool:
    """Whether a normal approximation is allowed: at least 100 canary requests from at least 100 canary units.

    Units are not counted per segment, so a segment needs 200 requests in each arm instead. Where units are unknown, the
    assumed ones count.
    """
    standing = look.find_comparison(cell, since, segment)
    if standing is None:
        return False
    if segment != EVERYONE:
        return standing.level_weight >= 2 * GATE_REQUESTS and standing.control_weight >= 2 * GATE_REQUESTS
    units = standing.assumed_units if standing.assumed_units is not None else count_canary_units(look, since)
    return standing.level_weight >= GATE_REQUESTS and units >= GATE_UNITS


def categories_in_control(state: JudgingState) -> frozenset[str]:
    """Cell names of the error categories that control has shown too and that are therefore not new."""
    return frozenset(
        name
        for key, total in state.totals.items()
        if total.control_events > 0 and (name := key.partition("|")[2]).startswith(CATEGORY_PREFIX)
    )


def _find_design_effects(look: Look) -> Mapping[str, float]:
    """The largest design effect of each cell, of those since any stage.

    A stage that has just begun says little of how alike the requests of a unit are; the stages before it have said it.
    """
    found: dict[str, float] = {}
    for one in look.standings:
        if one.segment == EVERYONE:
            found[one.metric] = max(found.get(one.metric, 1.0), one.design_effect)
    return found


def _update_totals(question: Question, look: Look, before: JudgingState) -> Mapping[str, CountTotals]:
    here = tuple(f"{stage}|" for stage in question.latest_stages)
    totals = {key: total for key, total in before.totals.items() if is_overall_key(key) or key.startswith(here)}
    for step in look.steps:
        if step.metric.startswith(("crossing:", "kept:")):
            continue
        was = before.get_total(step.stage, step.metric, step.segment)
        for_canary = step.metric.startswith(CATEGORY_PREFIX)
        canary_aside = (step.aside_trials, step.aside_events) if for_canary else (0.0, 0.0)
        control_aside = (0.0, 0.0) if for_canary else (step.aside_trials, step.aside_events)
        totals[build_total_key(step.stage, step.metric, step.segment)] = CountTotals(
            canary_trials=was.canary_trials + step.canary_trials + canary_aside[0],
            canary_events=was.canary_events + step.canary_events + canary_aside[1],
            control_trials=was.control_trials + step.control_trials + control_aside[0],
            control_events=was.control_events + step.control_events + control_aside[1],
        )
    return {key: totals[key] for key in sorted(totals)}


def _update_variances(question: Question, look: Look, current: JudgingState) -> Mapping[str, float]:
    """Variance of one unit of weight of each mean and ratio, by cell, from the buckets of the latest stage so far.

    Under no harm both arms vary alike: SE^2 = variance (1 / X_T + 1 / X_C). A cell keeps what is known of it until the
    latest stage says more.
    """
    found, stage = dict(current.variances), max(question.compared_stages, default=-1)
    for limit in question.limits:
        if (cell := level_cell(question, limit)) is None or not is_gate_open(look, cell, stage):
            continue
        standing, total = look.find_comparison(cell, stage), current.get_total(stage, cell)
        weights = total.canary_trials + total.control_trials
        if standing is not None and standing.error and total.canary_trials > 0 and total.control_trials > 0:
            found[cell] = standing.error**2 * total.canary_trials * total.control_trials / weights
    return {cell: found[cell] for cell in sorted(found)}


def _advance_categories(
    question: Question, look: Look, before: JudgingState, current: JudgingState
) -> tuple[CategoryEProcess, ...]:
    found, old = list(before.categories), categories_in_control(current)
    for position, limit in enumerate(question.limits):
        if not limit.is_per_category:
            continue
        known = {track.name: at for at, track in enumerate(found) if track.limit == position}
        for step in look.steps:
            if not step.metric.startswith(CATEGORY_PREFIX):
                continue
            name = step.metric.removeprefix(CATEGORY_PREFIX)
            if name in known:
                found[known[name]] = _add_counts(found[known[name]], limit, step, is_evidence=True)
            elif step.canary_events + step.aside_events > 0 and step.metric not in old:
                known[name] = len(found)
                begun = CategoryEProcess(
                    limit=position, name=name, order=len(known), since=step.stage, components=(0.0,)
                )
                found.append(_add_counts(begun, limit, step, is_evidence=step.aside_events > 0))
    return tuple(found)


def _add_counts(e_process: CategoryEProcess, limit: Limit, counts: NewCounts, *, is_evidence: bool) -> CategoryEProcess:
    """Add counts to a category's e-process. The events that made it appear are not evidence; later ones are."""
    seen = replace(
        e_process,
        events=e_process.events + counts.canary_events + counts.aside_events,
        trials=e_process.trials + counts.canary_trials + counts.aside_trials,
    )
    trials = max(counts.canary_trials, counts.canary_events)
    if not is_evidence or trials == 0:
        return seen
    gains = proportion.one_sample_increments(counts.canary_events, trials, side="greater", bound=limit.amount)
    return replace(seen, components=tuple((np.array(e_process.components) + gains).tolist()))


def _freeze_taus(question: Question, look: Look, before: JudgingState) -> Mapping[str, float]:
    """Scale tau of each mean's mixture, by position: twice the limit, frozen when the mean's gate first opens.

    If control's level is almost zero compared with its spread, a relative limit gives no typical harm. Then tau is the
    standard error at that moment, so that the prior weighs as much as the data so far (Kass and Wasserman 1995). The
    standard error does not depend on the sign of the difference, so the choice favours neither arm.
    """
    taus = dict(before.taus)
    for position, limit in enumerate(question.criteria):
        if str(position) in taus or not limit.entry.is_average:
            continue
        cell = question.comparison_cell(limit.metric)
        for since in question.exposed_stages:
            standing = look.find_comparison(cell, since)
            if standing is None or not is_gate_open(look, cell, since):
                continue
            if limit.is_absolute:
                taus[str(position)] = 0.2 * limit.amount
            elif limit.scale is not LimitScale.RELATIVE:
                taus[str(position)] = 2 * limit.amount
            else:
                typical = 2 * limit.amount * abs(standing.control or 0.0)
                error = standing.error or 0.0
                taus[str(position)] = typical if typical >= NEGLIGIBLE_HARM * error else error
            break
    return {key: taus[key] for key in sorted(taus, key=int) if taus[key] > 0}


def _update_last_request(question: Question, look: Look, before: JudgingState) -> Mapping[str, datetime]:
    last = dict(before.last_request) if before.stage == question.current else {}
    for step in look.steps:
        if step.stage == question.current and step.metric == REQUESTS and step.segment == EVERYONE:
            if step.canary_trials > 0:
                last[CANARY] = look.at
            if step.control_trials > 0:
                last[CONTROL] = look.at
    return {arm: last[arm] for arm in sorted(last)}


def _update_other_arm_requests(
    question: Question, look: Look, before: JudgingState, current: JudgingState
) -> Mapping[str, float]:
    """Per arm, the other arm's request count at its own last request. Growth since then shows that it is silent."""
    found = dict(before.elsewhere) if before.stage == question.current else {}
    here = current.get_total(question.current, REQUESTS)
    for step in look.steps:
        if step.stage == question.current and step.metric == REQUESTS and step.segment == EVERYONE:
            if step.canary_trials > 0:
                found[CANARY] = here.control_trials
            if step.control_trials > 0:
                found[CONTROL] = here.canary_trials
    return {arm: found[arm] for arm in sorted(found)}


def _update_arrivals(look: Look, before: Mapping[str, LastArrival]) -> Mapping[str, LastArrival]:
    found: dict[str, LastArrival] = {}
    requests = next((one for one in look.readings if one.metric == REQUESTS), None)
    for one in look.readings:
        if requests is None or one.metric == REQUESTS:
            continue
        for arm, readings, of in ((CANARY, one.canary, requests.canary), (CONTROL, one.control, requests.control)):
            key = f"{one.metric}|{arm}"
            was = before.get(key)
            fresh = was is None or readings > was.readings
            found[key] = LastArrival(readings=readings, requests=of, at=look.at) if fresh else was  # type: ignore[assignment]
    return {key: found[key] for key in sorted(found)}
