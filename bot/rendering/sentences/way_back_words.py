"""Until when one can go back to the old version, why, and what the way back is then."""

from bot.rendering import wording
from core.files.foresight.outlook import PlanOutlook
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


def describe_late_end(outlook: PlanOutlook, zone: str) -> str:
    """That some would still have the old version when it can be called no more; empty if everyone is over in time."""
    end, stages = outlook.way_back, outlook.plan.stages
    rows = zip(stages, outlook.rows[-len(stages) - 1 : -1], strict=True)
    steps = (row for stage, row in rows if stage.percent >= 100 and not stage.audience)
    reached = outlook.rows[-1] if outlook.reach is not None else next(steps, outlook.rows[-1])
    if end is None or reached.when_earliest.date() <= end.last.day:
        return ""
    return (
        f"everyone has {wording.escape(outlook.plan.to_version, 40)} "
        f"{wording.format_local_time(reached.when_earliest, zone)} at the earliest; those who have "
        f"{wording.escape(outlook.plan.from_version, 40)} until then get no answers after {end.last.day.isoformat()}"
    )
