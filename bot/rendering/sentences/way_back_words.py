"""Until when one can go back to the old version, why, and what the way back is then."""

from bot.rendering import wording
from core.rollout.models.way_back import WayBackEnd
from core.rollout.plans.plan import Plan

TITLE = "Going back"


def describe_end(plan: Plan, end: WayBackEnd | None) -> str:
    """The last day of the old version and what follows; empty if nobody says that it ends."""
    if end is None:
        return ""
    old, told = wording.escape(plan.from_version, 40), end.last.retirement
    off = f" Its provider switches {wording.escape(told.model, 100)} off on {told.on.isoformat()}." if told else ""
    later = wording.escape(f"{end.later[:1].lower()}{end.later[1:]}", 300)
    return (
        f"{old} can be called until {end.last.day.isoformat()}.{off} From the next day on nobody is moved back to it: "
        f"{later}"
    )
