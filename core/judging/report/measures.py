"""Rows of a summary: each metric's estimate in the current stage, with its range and a label."""

from dataclasses import replace
from math import log

import numpy as np

from core.flags.flows import FLOW
from core.judging.engine.accumulate import GATE_REQUESTS, categories_in_control
from core.judging.engine.score import CriterionScore
from core.judging.limits.default_limits import FALSE_DISCOVERY_RATE
from core.judging.limits.hypothesis import build_harm_hypotheses, is_beyond_limit
from core.judging.limits.limits import CATEGORY_UNIT, NEW_CATEGORY_METRIC, Limit, format_limit
from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.log_spread import WIDEST, estimate_log_spread
from core.judging.look.look import Look
from core.judging.model import confidence_range
from core.judging.model.alpha_shares import one_segment_share, overall_share
from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import CATEGORY_PREFIX, EVERYONE, OTHER_NAME, REQUESTS
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Measure, MeasureLabel
from core.judging.report import expectations, labels
from core.judging.verdict.noninferiority import NoninferiorityByLimit
from core.metrics.catalogue import CATALOGUE

_NAMES_RAN_OUT = (
    f"both versions show more kinds of errors than there are names, so those called {OTHER_NAME} may hide a new one"
)
ONE_BUCKET_NOTE = "looks well only by the requests of one group of people"
"""Note of a row that looks well, but not without the bucket that speaks most for the canary."""
UNITS_UNKNOWN = "units unknown"
"""Begins the note of a row whose requests nobody knows the units of."""


def build_overall_measures(
    question: Question, look: Look, state: JudgingState, scored: tuple[CriterionScore, ...], kept: NoninferiorityByLimit
) -> tuple[Measure, ...]:
    """One row per limit of the file, in order, then one per other metric that has data.

    `state` is the state after the look.
    """
    rows = []
    for position, limit in enumerate(question.limits):
        score = scored[position]
        if limit.is_per_category:
            rows.append(_build_category_row(question, state, limit, score))
            continue
        row = _build_row(question, look, state, position, score)
        if (clear := kept.get(position)) is not None:
            row = replace(row, log_clear=clear.log_e, cleared=clear.kept)
        rows.append(row)
    limited = {limit.metric for limit in question.limits}
    shown: set[str] = set()
    for position, limit in enumerate(question.implied, start=len(question.limits)):
        other = limit.metric
        if (
            other in limited
            or other in shown
            or look.find_comparison(question.comparison_cell(other), question.current) is None
        ):
            continue
        shown.add(other)
        sides = [i for i, one in enumerate(question.criteria) if one.metric == other]
        worst = _choose_side(scored, sides, position)
        rows.append(_build_row(question, look, state, worst, scored[worst]))
    return tuple(rows)


def build_segment_measures(question: Question, state: JudgingState, max_rows: int | None = None) -> tuple[Measure, ...]:
    """One row per criterion and segment as of the last look at segments, the file's limits first.

    With `max_rows` only those beyond their limit with the most evidence, strongest first, after one row of each
    critical flow.
    """
    share = one_segment_share(question)
    found = [(one, _needed_log_e(question, question.criteria[one.limit], one.limit, share)) for one in state.segments]
    if max_rows is not None:
        by_evidence = sorted(found, key=lambda pair: pair[1] - pair[0].log_e)
        telling = [pair for pair in by_evidence if pair[0].counted is not None and pair[0].log_e > 0]
        flows = {one.segment: (one, needed) for one, needed in reversed(by_evidence) if _is_flow(one.segment)}
        found = [*flows.values(), *(pair for pair in telling if not _is_flow(pair[0].segment))][:max_rows]
    return tuple(
        _build_measure(
            question, one.limit, one.sight, one.log_e, needed, segment=one.segment, weaker=False, silent=False
        )
        for one, needed in found
    )


def _is_flow(segment: str) -> bool:
    return segment.startswith(f"{FLOW}=")


def _choose_side(scored: tuple[CriterionScore, ...], sides: list[int], otherwise: int) -> int:
    """Position of the default limit (rise or drop) that a metric's row describes."""
    return max(sides, key=lambda i: scored[i].counted) if any(scored[i].is_beyond_limit for i in sides) else otherwise


def _build_row(question: Question, look: Look, state: JudgingState, position: int, score: CriterionScore) -> Measure:
    limit = question.criteria[position]
    standing = look.find_comparison(question.comparison_cell(limit.metric), question.current)
    weaker = question.current_stage.lacks_control
    seen = Estimate(canary=None, control=None, error=None, n_canary=0.0, n_control=0.0)
    if standing is not None:
        seen = standing.paired_estimate
        if weaker:
            seen = replace(seen, canary=standing.level, n_canary=standing.level_weight, n_control=0.0)
    if weaker and (past := state.baselines.get(limit.metric)) is not None:
        seen = replace(seen, control=past.value)
        if standing is not None and standing.level_error is not None and past.error is not None:
            seen = replace(seen, error=float(np.hypot(standing.level_error, past.error)))
    silent = seen.n_canary == 0 or (seen.n_control == 0 and not weaker)
    row = _build_measure(
        question,
        position,
        seen,
        score.log_e,
        _needed_log_e(question, limit, position, overall_share(question)),
        segment=EVERYONE,
        weaker=weaker,
        silent=silent,
    )
    if limit.entry.quantile is not None and not weaker:
        row = replace(row, spread=WIDEST if limit.is_absolute else estimate_log_spread(state, position, limit))
    if standing is not None and not weaker and row.is_good and _rests_on_one_bucket(limit, standing, row):
        notes = (row.note, ONE_BUCKET_NOTE)
        return replace(row, word="Not enough data", note="; ".join(text for text in notes if text))
    return row


def _rests_on_one_bucket(limit: Limit, standing: ArmComparison, row: Measure) -> bool:
    """Whether the row would be beyond the limit, or no longer better, without the most favourable bucket."""
    if limit.is_absolute or limit.is_per_category or limit.entry.quantile is not None:
        return False
    for hypothesis in build_harm_hypotheses(limit):
        left = standing.without_loudest_bucket("less" if hypothesis.side == "greater" else "greater")
        if left is None or left.canary is None or left.control is None:
            continue
        if is_beyond_limit(limit, hypothesis.side, left.canary, left.control):
            return True
        if row.word == "Better" and hypothesis.sign * (left.canary - left.control) >= 0:
            return True
    return False


def _build_measure(
    question: Question,
    position: int,
    estimate: Estimate,
    log_e: float,
    needed: float,
    *,
    segment: str,
    weaker: bool,
    silent: bool,
) -> Measure:
    limit, implied = question.criteria[position], question.is_default_limit(position)
    entry = limit.entry
    difference = confidence_range.compute_difference(limit, entry, estimate)
    low, high = confidence_range.compute_range(limit, entry, estimate)
    expected = next((one for one in question.expectations if one.metric == limit.metric), None)
    foreseen = (
        expectations.compare_with_expectation(expected, entry, estimate, difference, low, high)
        if expected and not segment
        else ""
    )
    proven = log_e >= log(1 / question.alpha)
    word: MeasureLabel = (
        "No data" if silent else labels.choose_label(limit, entry, estimate, low, high, proven=proven, implied=implied)
    )
    return Measure(
        metric=limit.metric,
        title=entry.title,
        limit_text=format_limit(limit),
        canary=estimate.canary,
        control=estimate.control,
        difference=difference,
        low=low,
        high=high,
        log_e=log_e,
        word="Fine" if foreseen == "as expected" and word == "Changed unexpectedly" else word,
        n_canary=round(estimate.n_canary),
        n_control=round(estimate.n_control),
        unit=entry.unit,
        relative=confidence_range.is_relative(limit, entry),
        weaker=weaker,
        note="; ".join(text for text in (estimate.note, _explain_unknown_units(question, limit.metric)) if text),
        segment=segment,
        role=str(limit.role),
        implied=implied,
        harm=limit.harm_direction,
        amount=limit.amount,
        absolute=limit.is_absolute,
        error=estimate.error,
        design_effect=estimate.design_effect,
        needed=needed,
        expected=foreseen,
    )


def _explain_unknown_units(question: Question, metric: str) -> str:
    if not question.has_unknown_units(metric):
        return ""
    return f"{UNITS_UNKNOWN}: {question.requests_per_unit(metric):g} requests count as one"


def _needed_log_e(question: Question, limit: Limit, position: int, share: float) -> float:
    """The log e-value that this criterion would need alone: the role's threshold divided by its share of the weight."""
    if question.is_default_limit(position):
        return log(len(question.implied) / FALSE_DISCOVERY_RATE)
    return log(1 / question.alpha) + log(max(len(question.acting_positions(limit.role)), 1)) - log(share)


def _build_category_row(question: Question, state: JudgingState, limit: Limit, score: CriterionScore) -> Measure:
    entry = CATALOGUE[NEW_CATEGORY_METRIC]
    requests = state.get_total(question.current, REQUESTS)
    old = categories_in_control(state)
    new = [
        t
        for t in state.categories
        if CATEGORY_PREFIX + t.name not in old and t.trials and question.limits[t.limit] == limit
    ]
    worst = max((t.events / t.trials for t in new), default=0.0)
    word: MeasureLabel = "Fine"
    if requests.canary_trials == 0 or requests.control_trials == 0:
        word = "No data"
    elif score.is_beyond_limit and score.counted >= log(1 / question.alpha):
        word = "Worse"
    elif score.is_beyond_limit or requests.canary_trials < GATE_REQUESTS:
        word = "Not enough data"
    hidden = CATEGORY_PREFIX + OTHER_NAME in old and _has_canary_shown(state, OTHER_NAME)
    if hidden and word == "Fine":
        word = "Not enough data"
    names = score.strongest.note if score.strongest else ", ".join(sorted(t.name for t in new))
    return Measure(
        metric=limit.metric,
        title=entry.title,
        limit_text=format_limit(limit),
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
        needed=_needed_log_e(question, limit, question.limits.index(limit), overall_share(question)),
    )


def _has_canary_shown(state: JudgingState, category: str) -> bool:
    """Whether the canary has shown an error category."""
    suffix = f"|{CATEGORY_PREFIX}{category}"
    return any(total.canary_events > 0 for key, total in state.totals.items() if key.endswith(suffix))
