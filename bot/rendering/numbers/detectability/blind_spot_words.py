"""Blind spots in words: how large a harm of which metric could still be missed, for how long, and what helps."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from bot.rendering.sentences import headline
from core.judging.model.verdict import BlindSpot
from core.rollout.state.events import EvidenceRecorded
from core.rollout.state.model import Rollout, SkippedWait

MAX_NAMED = 4
"""This many blind spots are named; the rest is only counted."""


def describe_blind_spot(spot: BlindSpot, *, is_due: bool = True) -> str:
    """The harm that could be missed, escaped: `a drop of 4 pp in answers that pass`.

    `is_due`: readings should have arrived by now, so that it is asked whether there are any.
    """
    name = measure_rows.title_in_sentence(spot.metric, spot.title)
    if spot.unread:
        of = " on the old version" if spot.arm == "control" else ""
        return (
            f"{name} (no reading has ever arrived{of}: is it reported?)" if is_due else f"{name} (no readings yet{of})"
        )
    size = wording.format_magnitude(spot.missed, spot.unit, relative=spot.relative)
    if spot.absolute:
        return f"{name} at {wording.format_value(spot.missed, spot.unit)}"
    word = {"more": "a rise", "less": "a drop", "either": "a change"}[spot.harm]
    return f"{word} of {size} in {name}"


def join_blind_spots(spots: Sequence[BlindSpot], *, is_due: bool = True) -> str:
    """Several blind spots in one phrase."""
    return wording.join_limited([describe_blind_spot(spot, is_due=is_due) for spot in spots], MAX_NAMED)


def format_current_blind_spots(rollout: Rollout, now: datetime | None = None) -> str:
    """The blind spots of the current stage's latest evidence that nobody accepted; empty without any.

    `now` is when it is read, where that is later than the evidence: less time is left then.
    """
    evidence, since, at = rollout.evidence, rollout.stage_since, rollout.evidence_at
    if not rollout.is_under_way or evidence is None or since is None or at is None or at < since:
        return ""
    passed = now - at if now is not None else timedelta(0)
    spots = [
        spot if spot.more is None else replace(spot, more=max(spot.more - passed, timedelta(0)))
        for spot in select_open(rollout, evidence)
    ]
    return format_blind_spots(spots, is_due=headline.is_hold_over(rollout, at))


def select_open(rollout: Rollout, evidence: EvidenceRecorded) -> list[BlindSpot]:
    """The blind spots of the evidence that nobody has accepted."""
    return [spot for spot in evidence.blind or () if spot.key not in rollout.accepted_limit_keys]


def format_blind_spots(spots: Sequence[BlindSpot], *, is_due: bool = True) -> str:
    """`Could still have been missed: a drop of 4 pp in answers that pass. About 9 h more at this pace.`"""
    if not spots:
        return ""
    return f"Could still have been missed: {join_blind_spots(spots, is_due=is_due)}.{_format_wait(spots)}"


def format_remedies(rollout: Rollout) -> str:
    """The unaccepted blind spots that hold a rollout, and what can be done about them; empty without any."""
    spots = select_open(rollout, rollout.evidence) if rollout.evidence is not None else []
    if not spots:
        return ""
    unread = [spot for spot in spots if spot.unread]
    report = "Report them" if unread and len(unread) == len(spots) else "Judge or report more of it"
    more = _longest_wait(spots)
    wait = f"wait (about {wording.format_duration(more)} more at this pace)" if more is not None else "wait"
    return (
        f"{format_blind_spots(spots)} What helps: {report[0].lower()}{report[1:]}; {wait}; plan a new "
        "rollout with a wider canary; "
        f'or accept it: `/rollout resume {rollout.id} "why"`, and every message will say so.'
    )


def list_accepted_risks(rollout: Rollout) -> list[str]:
    """What people accepted, one line each: waits and stages that they skipped, and harm that could have been missed."""
    return [
        *(_describe_skipped_wait(rollout, one) for one in rollout.skipped_waits),
        *list_accepted_blind_spots(rollout),
    ]


def _describe_skipped_wait(rollout: Rollout, skipped: SkippedWait) -> str:
    names = [headline.name_stage_of(rollout.plan, name) for name in skipped.left_out]
    left_out = f" and {wording.join_limited(names, 3)} were" if names else " was"
    by = f" by {wording.format_actor(skipped.by)}" if skipped.by else ""
    stage = headline.name_stage_of(rollout.plan, skipped.stage)
    return f"Risk accepted{by}: the wait in {stage}{left_out} skipped, “{wording.escape(skipped.reason, 200)}”."


def list_accepted_blind_spots(rollout: Rollout) -> list[str]:
    """One line per accepted set of blind spots: at which stage, what, by whom and why."""
    return [
        f"Accepted in {headline.name_stage_of(rollout.plan, one.stage)} that this could have been missed: "
        f"{join_blind_spots(one.spots)}; "
        f"by {wording.format_actor(one.by)}"
        f"{f', “{wording.escape(one.reason, 200)}”' if one.reason else ''}."
        for one in rollout.accepted
    ]


def _format_wait(spots: Sequence[BlindSpot]) -> str:
    more = _longest_wait(spots)
    return f" About {wording.format_duration(more)} more at this pace." if more else ""


def _longest_wait(spots: Sequence[BlindSpot]) -> timedelta | None:
    """The time until all of them are covered; None if one never is at this pace."""
    times = [spot.more for spot in spots]
    return None if any(x is None for x in times) or not times else max(x for x in times if x is not None)
