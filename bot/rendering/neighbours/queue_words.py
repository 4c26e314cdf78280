"""The queue of an AI feature in words: a place in it, and what a plan that waited became."""

from bot.rendering import wording
from core.rollout.concurrency.start_queue import QueuePlace
from core.rollout.plans.plan import Plan
from core.rollout.plans.renewal import PlanRenewal

MAX_NAMED = 3


def describe_place(place: QueuePlace) -> str:
    """The place as a phrase: `2nd in the queue, behind R-1 and R-2`."""
    return f"{_format_ordinal(place.position)} in the queue, behind {_join_ids(place.behind)}"


def describe_renewal(rollout: str, plan: Plan, renewal: PlanRenewal) -> str:
    """That a plan was made again, on which version, and what of that it replaces; in sentences."""
    live, new = wording.escape(plan.from_version, 40), wording.escape(plan.to_version, 40)
    old, named = wording.escape(renewal.from_version, 40), wording.escape(renewal.to_version, 40)
    by = f" ({wording.escape(renewal.live_by, 40)})" if renewal.live_by else ""
    said = f"Plan made again: {rollout} was {old} -> {named}, but {live}{by} went live while it waited, so it is now "
    return f"{said}{live} -> {new}.{_warn_of_replaced(live, renewal)} Earlier approvals no longer count."


def _warn_of_replaced(live: str, renewal: PlanRenewal) -> str:
    if not renewal.replaces:
        return ""
    parts = " and ".join(wording.escape(part, 40) for part in renewal.replaces)
    return f" Both change the {parts}: this overwrites what {live} changed in the {parts}."


def _format_ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _join_ids(ids: tuple[str, ...]) -> str:
    named = [wording.escape(one, 40) for one in ids]
    if len(named) > MAX_NAMED:
        return wording.join_limited(named, MAX_NAMED)
    *some, last = named
    return f"{', '.join(some)} and {last}" if some else last
