"""Blind spots in words: how large a harm of which metric could still be missed, for how long, and what helps."""

from collections.abc import Sequence
from datetime import timedelta

from bot.rendering import wording
from bot.rendering.numbers import figures
from core.judging.model.verdict import BlindSpot
from core.rollout.model import Rollout

SHOWN = 4
"""This many blind spots are named; the rest is only counted."""


def missed(spot: BlindSpot) -> str:
    """The harm that could be missed, escaped: `a drop of 4 pp in answers that pass`."""
    name = wording.in_a_sentence(figures.named(spot.metric, spot.title))
    if spot.unread:
        of = " on the current version" if spot.arm == "control" else ""
        return f"{name} (no reading has ever arrived{of}: is it reported?)"
    size = wording.amount(spot.missed, spot.unit, relative=spot.relative)
    if spot.absolute:
        return f"{name} at {size}"
    word = {"more": "a rise", "less": "a drop", "either": "a change"}[spot.harm]
    return f"{word} of {size} in {name}"


def listed(spots: Sequence[BlindSpot]) -> str:
    """Several blind spots in one phrase."""
    return wording.listing([missed(spot) for spot in spots], SHOWN)


def so_far(rollout: Rollout) -> str:
    """The blind spots of the current stage's latest evidence that nobody accepted; empty without any."""
    evidence, since, at = rollout.evidence, rollout.stage_since, rollout.evidence_at
    if not rollout.under_way or evidence is None or since is None or at is None or at < since:
        return ""
    return sentence([x for x in evidence.blind or () if x.key not in rollout.accepted_keys])


def sentence(spots: Sequence[BlindSpot]) -> str:
    """`Could still have been missed: a drop of 4 pp in answers that pass. About 9 h more at this pace.`"""
    if not spots:
        return ""
    return f"Could still have been missed: {listed(spots)}.{_wait(spots)}"


def ways_out(rollout: Rollout) -> str:
    """The unaccepted blind spots that hold a rollout, and what can be done about them; empty without any."""
    evidence = rollout.evidence
    spots = [x for x in (evidence.blind if evidence else None) or () if x.key not in rollout.accepted_keys]
    if not spots:
        return ""
    unread = [spot for spot in spots if spot.unread]
    report = "Report them" if unread and len(unread) == len(spots) else "Judge or report more of it"
    more = _longest(spots)
    wait = f"wait (about {wording.about(more)} more at this pace)" if more is not None else "wait"
    return (
        f"{sentence(spots)} What helps: {report[0].lower()}{report[1:]}; {wait}; plan anew with a wider canary; "
        f'or accept it: `/rollout resume {rollout.id} "why"`, and every message says so from then on.'
    )


def accepted(rollout: Rollout) -> list[str]:
    """One line per accepted set of blind spots: at which stage, what, by whom and why."""
    return [
        f"Accepted unseen at {wording.escape(one.stage, 40)}: {listed(one.spots)}; by {wording.person(one.by)}"
        f"{f', “{wording.escape(one.reason, 200)}”' if one.reason else ''}."
        for one in rollout.accepted
    ]


def _wait(spots: Sequence[BlindSpot]) -> str:
    more = _longest(spots)
    return f" About {wording.about(more)} more at this pace." if more is not None else ""


def _longest(spots: Sequence[BlindSpot]) -> timedelta | None:
    """The time until all of them are covered; None if one never is at this pace."""
    times = [spot.more for spot in spots]
    return None if any(x is None for x in times) or not times else max(x for x in times if x is not None)
