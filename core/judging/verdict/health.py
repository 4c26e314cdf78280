"""Health of the evidence: sample-ratio mismatch, silent arms and metrics that stopped arriving."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from math import inf, log

import numpy as np

from core.judging.look.look import Look
from core.judging.model.alpha_shares import infinite_series_share
from core.judging.model.evidence import CANARY, CONTROL, REQUESTS, Arm
from core.judging.model.question import Question
from core.judging.model.state import JudgingState, SplitCheck
from core.judging.model.verdict import BrokenSource, NoData, Skewed, TooEarly
from core.stats.sequential import split

SKEW_LOG_THRESHOLD = log(1000)
MIN_SPLIT_UNITS = 300
"""Distinct units of a stage below which its split is not tested."""
MIN_SHARE = 1e-4
"""Smallest share of an arm, so that its odds are defined."""
METRIC_PATIENCE = 4
"""How many times longer than requests a single metric may be silent: some are judged in batches."""
MISSED_REQUESTS = 12
"""Requests missing from an arm, given the other arm's, that make it silent. By chance that happens once in e^12."""
MISSED_BY_BOTH = 30
"""The same if both arms are silent; more, as nights are quieter than days."""
_MOVED = "moved"
SHORTEST_PACE = timedelta(minutes=1)
MAX_COHORT_SILENCE = timedelta(days=1)
"""How long a cohort may be silent at its start: it may start at night."""
EXPECTED_READINGS = 20
"""Missing readings, by the pace so far, that mean that a metric has stopped arriving."""


def check_split(question: Question, look: Look, before: SplitCheck) -> SplitCheck:
    """State of the sample-ratio mismatch test after a look.

    A finding stands until the split is as designed again or a person sets it aside; then the test restarts with the
    units that come from then on. First exposures within a stage are independent, but two stages often share the same
    people, so the evidence of stages is averaged (with the weights of `infinite_series_share`), not multiplied.
    """
    counts = {
        f"{one.stage}|{of}": n
        for one in look.exposures
        for of, n in ((CANARY, one.canary), (CONTROL, one.control), (_MOVED, one.moved))
    }
    new = _count_new_units(before, look)
    if before.found is not None:
        over = (
            before.findings <= question.splits_set_aside
            or _log_likelihood_ratio_of_plan(question, new, before.found) >= SKEW_LOG_THRESHOLD
            or _is_whole_split_as_planned(question, look, before.found)
        )
        return replace(before, since=counts, found=None) if over else before
    # Clients that never ask again count in the arm of their bucket at first, and are found by the arm they go on with.
    found_by = [_evidence_against_design(question, units) for units in (new, _count_by_last_arm(before, look, new))]
    total = float(np.logaddexp(found_by[0][0], found_by[1][0])) - log(2)
    worst = max(found_by, key=lambda found: found[0])[1]
    if worst is None or total < SKEW_LOG_THRESHOLD:
        return before
    found = Skewed(log_bayes_factor=total, expected_share=worst[0], observed_share=worst[1], number=before.findings + 1)
    if before.since and _is_whole_split_as_planned(question, look, found):
        return before  # an arm that reported late has caught up; alone, its newcomers would look like too many
    return SplitCheck(since=counts, found=found, findings=before.findings + 1)


def _evidence_against_design(
    question: Question, units: Mapping[int, tuple[int, int]]
) -> tuple[float, tuple[float, float] | None]:
    """(log Bayes factor, worst shares) that units, (canary, control) by stage, were not split as designed.

    The worst shares are (expected, observed) of the stage with the most evidence; None if no stage has enough units.
    """
    total, most, worst = -inf, -inf, None
    for order, stage in enumerate((s for s in question.stages if s.index in question.compared_stages), start=1):
        canary, control = units.get(stage.index, (0, 0))
        share, seen = stage.canary_share, canary + control
        if share is None or not 0 < share < 1 or seen < MIN_SPLIT_UNITS:
            continue
        factor = float(split.log_bayes_factor([[canary, control]], [share, 1 - share])[-1]) + log(
            infinite_series_share(order)
        )
        total = float(np.logaddexp(total, factor))
        if worst is None or factor > most:
            most, worst = factor, (share, canary / seen)
    return total, worst


def _is_whole_split_as_planned(question: Question, look: Look, found: Skewed) -> bool:
    """Whether all units so far, by the arm they were last seen in, are split as designed.

    New units alone may never show that when the same people keep coming back. One arm may report later than the other,
    and a client that cached its arm across a step is first seen in the wrong one.
    """
    now = {one.stage: (one.canary + one.moved, one.control - one.moved) for one in look.exposures}
    total, _ = _evidence_against_design(question, now)
    return total < SKEW_LOG_THRESHOLD and _log_likelihood_ratio_of_plan(question, now, found) >= SKEW_LOG_THRESHOLD


def _log_likelihood_ratio_of_plan(question: Question, units: Mapping[int, tuple[int, int]], found: Skewed) -> float:
    """Log likelihood ratio of the designed split to the split that was found, comparable with `SKEW_LOG_THRESHOLD`.

    In other stages the wrong odds are assumed to be off by the same factor.
    """
    off = _to_odds(found.observed_share) / _to_odds(found.expected_share)
    ratio = 0.0
    for stage in question.stages:
        share = stage.canary_share
        if stage.index not in question.compared_stages or share is None or not 0 < share < 1:
            continue
        canary, control = units.get(stage.index, (0, 0))
        wrong = off * _to_odds(share) / (1 + off * _to_odds(share))
        ratio += canary * log(share / wrong) + control * log((1 - share) / (1 - wrong))
    return ratio


def _to_odds(share: float) -> float:
    inside = min(max(share, MIN_SHARE), 1 - MIN_SHARE)
    return inside / (1 - inside)


def _count_new_units(before: SplitCheck, look: Look) -> Mapping[int, tuple[int, int]]:
    """(canary, control) units by stage since the test last restarted."""
    return {
        one.stage: (
            one.canary - before.since.get(f"{one.stage}|{CANARY}", 0),
            one.control - before.since.get(f"{one.stage}|{CONTROL}", 0),
        )
        for one in look.exposures
    }


def _count_by_last_arm(
    before: SplitCheck, look: Look, new: Mapping[int, tuple[int, int]]
) -> Mapping[int, tuple[int, int]]:
    """The new units by the arm in which they counted last."""
    found = dict(new)
    for one in look.exposures:
        moved = one.moved - before.since.get(f"{one.stage}|{_MOVED}", 0)
        canary, control = new[one.stage][0] + moved, new[one.stage][1] - moved
        if canary >= 0 and control >= 0:  # who moved may have come before the test restarted
            found[one.stage] = (canary, control)
    return found


def find_silent_arm(question: Question, look: Look, state: JudgingState) -> NoData | None:
    """The arm, control first, that should have requests and has had none for too long. `state` is after the look.

    Too long means `no_data_after`, and enough time for `MISSED_REQUESTS` at the other arm's pace, or `MISSED_BY_BOTH`
    if both arms are silent: at ten requests a day, a quarter of an hour without one means nothing.
    """
    if not question.current_stage.exposes or state.stage_seen is None:
        return None
    arms = [CONTROL, CANARY] if question.current_stage.control_left and question.current_stage.compared else [CANARY]
    for arm in arms:
        last = state.last_request.get(arm)
        if look.at - (last or state.stage_seen) >= question.no_data_after and _are_requests_missing(
            question, look, state, arm
        ):
            return NoData(since=last, arm=arm)
    return None


def _are_requests_missing(question: Question, look: Look, state: JudgingState, arm: Arm) -> bool:
    here, share = state.get_total(question.current, REQUESTS), question.current_stage.canary_share
    other = here.control_trials if arm == CANARY else here.canary_trials
    if share is not None and 0 < share < 1:
        odds = _to_odds(share) if arm == CANARY else _to_odds(1 - share)
        if (other - state.elsewhere.get(arm, 0.0)) * odds >= MISSED_REQUESTS:
            return True
    together = here.canary_trials + here.control_trials
    began, last = state.stage_seen, max(state.last_request.values(), default=None)
    assert began is not None
    if last is None or together == 0:
        # No request has ever come. Report that, unless only a cohort could have sent one.
        return not question.current_stage.chosen or look.at - began >= MAX_COHORT_SILENCE
    return together * ((look.at - last) / max(last - began, SHORTEST_PACE)) >= MISSED_BY_BOTH


def find_unread_source(question: Question, look: Look) -> BrokenSource | None:
    """A source that cannot be read, and that feeds a limit that can act or counts the requests."""
    if not question.current_stage.exposes:
        return None
    acting = [limit.metric for limit in question.limits if limit.can_act]
    for one in look.unread:
        for metric in (*dict.fromkeys(acting), REQUESTS):
            if metric in one.metrics:
                title = "Requests" if metric == REQUESTS else question.entry_of(metric).title
                return BrokenSource(
                    metric=metric, title=title, arm=CANARY, since=one.since, source=one.source, why=one.why
                )
    return None


def find_broken_source(question: Question, look: Look, state: JudgingState) -> BrokenSource | None:
    """A limit's metric whose readings have stopped in an arm while requests continue."""
    if question.current_stage.compared and question.current_stage.control_left:
        arms: tuple[Arm, ...] = (CONTROL, CANARY)
    else:
        arms = (CANARY,)
    for one in look.readings:
        if one.metric == REQUESTS:
            continue
        shares = [
            arrival.readings / arrival.requests
            for arm in (CONTROL, CANARY)
            if (arrival := state.arrivals.get(f"{one.metric}|{arm}")) is not None and arrival.requests > 0
        ]
        for arm in arms:
            last = state.arrivals.get(f"{one.metric}|{arm}")
            requests = state.get_total(question.current, REQUESTS)
            served = requests.canary_trials if arm == CANARY else requests.control_trials
            if last is None or look.at - last.at < METRIC_PATIENCE * question.no_data_after:
                continue
            if (served - last.requests) * max(shares, default=0.0) >= EXPECTED_READINGS:
                return BrokenSource(
                    metric=one.metric, title=question.entry_of(one.metric).title, arm=arm, since=last.at
                )
    return None


def check_too_early(question: Question, state: JudgingState) -> TooEarly | None:
    """TooEarly if an arm of the current stage has had no request yet."""
    stage = question.current_stage
    if not stage.exposes:
        return None
    seen = state.get_total(stage.index, REQUESTS)
    if seen.canary_trials > 0 and (seen.control_trials > 0 or not (stage.compared and stage.control_left)):
        return None
    return TooEarly(canary_requests=int(seen.canary_trials), control_requests=int(seen.control_trials))
