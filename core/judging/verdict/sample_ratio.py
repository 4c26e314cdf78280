"""Sample-ratio mismatch: whether the units of both arms are split as designed."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf, log

import numpy as np

from core.judging.look.look import Look
from core.judging.model.alpha_shares import infinite_series_share
from core.judging.model.evidence import CANARY, CONTROL
from core.judging.model.question import Question
from core.judging.model.state import SplitCheck
from core.judging.model.verdict import Skewed
from core.stats.sequential import split

SKEW_LOG_THRESHOLD = log(1000)
MIN_SPLIT_UNITS = 300
"""Distinct units of a stage below which its split is not tested."""
MIN_SHARE = 1e-4
"""Smallest share of an arm, so that its odds are defined."""
_MOVED = "moved"


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
    off = compute_odds(found.observed_share) / compute_odds(found.expected_share)
    ratio = 0.0
    for stage in question.stages:
        share = stage.canary_share
        if stage.index not in question.compared_stages or share is None or not 0 < share < 1:
            continue
        canary, control = units.get(stage.index, (0, 0))
        wrong = off * compute_odds(share) / (1 + off * compute_odds(share))
        ratio += canary * log(share / wrong) + control * log((1 - share) / (1 - wrong))
    return ratio


def compute_odds(share: float) -> float:
    """The odds of a share, kept `MIN_SHARE` away from 0 and 1."""
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
