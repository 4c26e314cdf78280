"""Where a change stands, in plain words for people outside engineering: one first line, who has it, when what comes."""

from datetime import datetime
from typing import assert_never

from bot.rendering import wording
from bot.rendering.sentences import schedule
from bot.rendering.sentences.schedule import RolloutDates
from core.rollout.plans.plan import NoticePlan, StageKind
from core.rollout.serving import holdout
from core.rollout.state.model import Rollout, RolloutState

NOT_FINAL = "We are still watching it and may still switch it back. “Reached everyone” follows when it is final."


def describe(rollout: Rollout, notice: NoticePlan, name: str, dates: RolloutDates, now: datetime, zone: str) -> str:
    """The first line of a notice. `name` is the AI feature as it stands in a sentence; the rollout has not failed."""
    if rollout.state is RolloutState.PLANNED:
        return _describe_plan(rollout, name, dates, now, zone)
    percent = schedule.customer_percent(rollout)
    reached = describe_reach(rollout)
    match rollout.state:
        case RolloutState.DONE:
            due = holdout.find_due(rollout)
            if due is not None and rollout.plan.holdout is not None:
                few, until = (
                    wording.format_per_hundred(rollout.plan.holdout.percent),
                    wording.format_local_day(due, zone),
                )
                return (
                    f"Reached everyone else: {few} customers keep the version of the {name} from before until {until}, "
                    "so that we can compare; all others get the new one."
                )
            return f"Reached everyone: all customers get the new version of the {name}."
        case RolloutState.ON_HOLD | RolloutState.PAUSED:
            return f"On hold: nobody else gets the new version of the {name} for now. {_capitalize(reached)} keeps it."
        case RolloutState.RUNNING | RolloutState.WAITING:
            if percent >= 100:
                return f"Everyone has it: all customers get the new version of the {name}. {NOT_FINAL}"
            if percent:
                return f"Started: {reached} gets the new version of the {name}."
            return f"Starting: the new version of the {name} is being checked; {reached} has it yet."
        case RolloutState.ROLLED_BACK | RolloutState.ABANDONED:
            raise ValueError(f"the notice of a change that is {rollout.state} says so instead")
        case _:
            assert_never(rollout.state)


def _describe_plan(rollout: Rollout, name: str, dates: RolloutDates, now: datetime, zone: str) -> str:
    if rollout.live_instead:
        return f"Delayed: another change to the {name} came first, so this one needs a new plan before it can start."
    if is_overdue(rollout, now):
        return f"Delayed: the change to the {name} has not started at the time announced. Nothing has changed yet."
    start = schedule.format_start(dates, zone)
    first = dates.first_percent
    whom = "for everyone at once" if first >= 100 else f"first for {wording.format_per_hundred(first)} customers"
    return f"The {name} starts to change {start}, {whom}."


def is_overdue(rollout: Rollout, now: datetime) -> bool:
    """Whether the start was announced for a time that has passed."""
    return rollout.state is RolloutState.PLANNED and rollout.start is not None and rollout.start < now


def describe_reach(rollout: Rollout) -> str:
    """Who gets the new version now, as a subject in the singular: `everyone`, `about 5 in 100 customers`, …"""
    percent = schedule.customer_percent(rollout)
    if percent >= 100:
        return "everyone"
    if percent:
        return f"a group of about {wording.format_per_hundred(percent)} customers"
    if _is_with_selected_people(rollout):
        return "nobody but a few selected people"
    return "nobody"


def _is_with_selected_people(rollout: Rollout) -> bool:
    stage = rollout.stage
    return rollout.is_under_way and stage is not None and stage.kind is StageKind.COHORT


def describe_affected(rollout: Rollout, dates: RolloutDates) -> str:
    """Who is affected now, to follow a label."""
    percent = schedule.customer_percent(rollout)
    if rollout.state is RolloutState.DONE or percent >= 100:
        return "everyone"
    if percent:
        return f"about {wording.format_per_hundred(percent)} customers"
    if rollout.state in {RolloutState.ROLLED_BACK, RolloutState.ABANDONED}:
        return "nobody"
    whom = "a few selected people" if _is_with_selected_people(rollout) else "nobody yet"
    begins = "it starts with" if whom == "nobody yet" else "customers come later, at first"
    return f"{whom}; {begins} {wording.format_per_hundred(dates.first_percent)} customers"


def describe_dates(rollout: Rollout, dates: RolloutDates, zone: str) -> list[str]:
    """The label `When` and a line per step."""
    if rollout.state is RolloutState.DONE or schedule.customer_percent(rollout) >= 100:
        return ["*When:* everyone has it."]
    if rollout.state in {RolloutState.ON_HOLD, RolloutState.PAUSED}:
        return ["*When:* nobody else gets it until somebody lets it go on. You will be told here."]
    if dates.phases and all(phase.at is None for phase in dates.phases):
        done = schedule.format_completion(dates, zone)
        return [f"*When:* the date is not set yet. Once it starts: {done} if all goes well."]
    if len(dates.phases) < 2:
        return [f"*When:* {schedule.format_completion(dates, zone)} if all goes well."]
    return ["*When* (each step comes only if all goes well)", *schedule.list_phases(dates, zone)]


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
