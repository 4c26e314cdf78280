"""Flag evaluation: what one unit gets on one surface, and why."""

from collections.abc import Mapping
from typing import Any

from core.flags.conversations import CONVERSATION, continue_conversation
from core.flags.snapshot import Exposure, FlagAnswer, SurfaceFlags

MAX_UNIT_LENGTH = 512
"""Longest unit in characters; observations of longer ones are refused."""
STRATUM = "stratum"
"""The attribute of the context in which applications send back `metadata.stratum`: in which audience a unit was when it
was served first, so that a change of plan moves nobody during a rollout."""


def choose_answer(flags: SurfaceFlags, unit: str | None, context: Mapping[str, Any]) -> FlagAnswer:
    """What `unit` gets: one of the answers that are prepared in the snapshot. In any doubt it is the live version."""
    # `_can_be_observed` is inlined, and without a rollout nothing is looked up: a call would cost a tenth of the time.
    if not unit or len(unit) > MAX_UNIT_LENGTH or "\x00" in unit:
        return flags.live
    answer, exposure = flags.live, flags.exposure
    if exposure is not None:
        try:
            bucket = exposure.bucket(unit)
        except UnicodeEncodeError:
            return flags.live
        if bucket in exposure.moved_buckets and exposure.is_moved_back(unit, bucket):
            return exposure.moved
        answer = _answer_for_bucket(exposure, unit, bucket, context)
    if flags.finishing and CONVERSATION in context:
        return continue_conversation(flags, unit, context, answer)
    return answer


def evaluate_bucket(flags: SurfaceFlags, unit: str | None) -> int | None:
    """The unit's bucket in the current rollout, in ppm; None if no answer depends on it."""
    if flags.exposure is None or not unit or not _can_be_observed(unit):
        return None
    try:
        return flags.exposure.bucket(unit)
    except UnicodeEncodeError:
        return None


def _can_be_observed(unit: str) -> bool:
    """Whether observations of this unit would be accepted. Nobody gets a new version that cannot be observed."""
    return len(unit) <= MAX_UNIT_LENGTH and "\x00" not in unit


def _answer_for_bucket(exposure: Exposure, unit: str, bucket: int, context: Mapping[str, Any]) -> FlagAnswer:
    if exposure.layer is not None and not exposure.layer.includes(unit):
        return exposure.outside
    if exposure.strata:  # only if there are cohorts
        stratum = _find_stratum(exposure, context[STRATUM]) if STRATUM in context else None
        if stratum is None:
            for earlier in exposure.earlier_cohorts:
                if earlier.cohort.where.matches(context):
                    return earlier.new if bucket < earlier.below else earlier.live
            if exposure.cohort is not None and not exposure.cohort.where.matches(context):
                return exposure.outside
        elif (joined := exposure.strata[stratum]) is not None:
            return joined.new if bucket < joined.below else joined.live
    if bucket < exposure.canary_below:
        return exposure.canary
    return exposure.control if bucket >= exposure.control_from else exposure.stable


def _find_stratum(exposure: Exposure, sent: object) -> str | None:
    """Which of the rollout's strata was sent back; None for anything else.

    A name of another rollout, or of a cohort that was not let in, changes nothing, as with any other attribute.
    """
    for one in sent if isinstance(sent, list | tuple) else (sent,):
        if isinstance(one, str) and one in exposure.strata:
            return one
    return None
