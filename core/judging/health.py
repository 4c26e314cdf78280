"""Whether the evidence can be trusted at all: the split of units, and data that stopped."""

from math import log

from core.judging.evidence import CANARY, CONTROL, REQUESTS, Arm
from core.judging.look import Look
from core.judging.question import Question
from core.judging.state import State
from core.judging.verdict import BrokenSource, NoData, Skewed, TooEarly
from core.metrics.catalogue import CATALOGUE
from core.stats import split

SKEW_BAR = log(1000)
PATIENCE = 4
"""How much longer than requests a single metric may be silent: some are judged in batches."""
EXPECTED = 20
"""Readings that should have come by the pace so far: with none of them a metric has stopped arriving."""


def skew(question: Question, look: Look) -> Skewed | None:
    """A skewed split, by the sum of log Bayes factors over stages; the shares are those of the worst stage."""
    designs = {stage.index: stage.canary_share for stage in question.stages if stage.index in question.compared}
    worst: tuple[float, float, float] | None = None
    total = 0.0
    for exposure in look.exposures:
        share, units = designs.get(exposure.stage), exposure.canary + exposure.control
        if share is None or not 0 < share < 1 or units == 0:
            continue
        factor = float(split.log_bayes_factor([[exposure.canary, exposure.control]], [share, 1 - share])[-1])
        total += factor
        if worst is None or factor > worst[0]:
            worst = (factor, share, exposure.canary / units)
    if worst is None or total < SKEW_BAR:
        return None
    return Skewed(log_bayes_factor=total, expected_share=worst[1], observed_share=worst[2])


def silence(question: Question, look: Look, state: State) -> NoData | None:
    """An arm that should have requests and has had none for too long, control first. `state` is after the look."""
    if not question.stage.exposes or state.stage_seen is None:
        return None
    arms = [CONTROL, CANARY] if question.stage.control_left and question.stage.compared else [CANARY]
    for arm in arms:
        last = state.last_request.get(arm)
        if look.at - (last or state.stage_seen) >= question.no_data_after:
            return NoData(since=last, arm=arm)
    return None


def broken_source(question: Question, look: Look, state: State) -> BrokenSource | None:
    """A metric with a limit that was arriving, or arrives for control, and no longer does while requests go on."""
    if question.stage.compared and question.stage.control_left:
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
            requests = state.total(question.current, REQUESTS)
            served = requests.canary_trials if arm == CANARY else requests.control_trials
            if last is None or look.at - last.at < PATIENCE * question.no_data_after:
                continue
            if (served - last.requests) * max(shares, default=0.0) >= EXPECTED:
                return BrokenSource(metric=one.metric, title=CATALOGUE[one.metric].title, arm=arm, since=last.at)
    return None


def too_early(question: Question, state: State) -> TooEarly | None:
    """Nothing to judge by yet: an arm of the stage under way has had no request."""
    stage = question.stage
    if not stage.exposes:
        return None
    seen = state.total(stage.index, REQUESTS)
    if seen.canary_trials > 0 and (seen.control_trials > 0 or not (stage.compared and stage.control_left)):
        return None
    return TooEarly(canary_requests=int(seen.canary_trials), control_requests=int(seen.control_trials))
