"""Missing data: silent arms, sources that cannot be read, metrics that stopped arriving, and arms without a request."""

from datetime import timedelta

from core.judging.look.look import Look
from core.judging.model.evidence import CANARY, CONTROL, REQUESTS, Arm
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import BrokenSource, NoData, TooEarly
from core.judging.verdict.sample_ratio import compute_odds

METRIC_PATIENCE = 4
"""How many times longer than requests a single metric may be silent: some are judged in batches."""
MISSED_REQUESTS = 12
"""Requests missing from an arm, given the other arm's, that make it silent. By chance that happens once in e^12."""
MISSED_BY_BOTH = 30
"""The same if both arms are silent; more, as nights are quieter than days."""
SHORTEST_PACE = timedelta(minutes=1)
MAX_COHORT_SILENCE = timedelta(days=1)
"""How long a cohort may be silent at its start: it may start at night."""
EXPECTED_READINGS = 20
"""Missing readings, by the pace so far, that mean that a metric has stopped arriving."""


def find_silent_arm(question: Question, look: Look, state: JudgingState) -> NoData | None:
    """The arm, control first, that should have requests and has had none for too long. `state` is after the look.

    Too long means `no_data_after`, and enough time for `MISSED_REQUESTS` at the other arm's pace, or `MISSED_BY_BOTH`
    if both arms are silent: at ten requests a day, a quarter of an hour without one means nothing.
    """
    if not question.current_stage.exposes or state.stage_seen is None:
        return None
    for arm in _list_reporting_arms(question.current_stage):
        last = state.last_request.get(arm)
        if look.at - (last or state.stage_seen) >= question.no_data_after and _are_requests_missing(
            question, look, state, arm
        ):
            return NoData(since=last, arm=arm)
    return None


def _list_reporting_arms(stage: StageDesign) -> tuple[Arm, ...]:
    return (CONTROL, CANARY) if stage.has_both_arms else (CANARY,)


def _are_requests_missing(question: Question, look: Look, state: JudgingState, arm: Arm) -> bool:
    here, share = state.get_total(question.current, REQUESTS), question.current_stage.canary_share
    other = here.control_trials if arm == CANARY else here.canary_trials
    if share is not None and 0 < share < 1:
        odds = compute_odds(share) if arm == CANARY else compute_odds(1 - share)
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
    arms = _list_reporting_arms(question.current_stage)
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
    if seen.canary_trials > 0 and (seen.control_trials > 0 or not stage.has_both_arms):
        return None
    return TooEarly(canary_requests=int(seen.canary_trials), control_requests=int(seen.control_trials))
