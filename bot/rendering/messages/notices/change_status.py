"""Where a change stands, in plain words for people outside engineering: one first line, who has it, when what comes."""

from datetime import datetime
from typing import assert_never

from bot.rendering import wording
from bot.rendering.sentences import schedule
from bot.rendering.sentences.schedule import RolloutDates
from core.rollout.serving import holdout
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

WATCHING_OVER = "Watching is over"
"""How a channel is told that a change is final, and may be announced."""
STILL_WATCHED = "Everyone has it, still being watched"


def describe_not_final(*, is_closed: bool) -> str:
    """That it is still watched; and that it may be switched back, unless the way back is closed."""
    if is_closed:
        return f"The old version can no longer be used; we post “{WATCHING_OVER}” when watching is over."
    return f"We may still switch back; we post “{WATCHING_OVER}” when that is final."


def describe(rollout: Rollout, name: str, dates: RolloutDates, now: datetime, zone: str, *, is_closed: bool) -> str:
    """The first line of a notice. `name` is the AI feature as it stands in a sentence; the rollout has not failed.

    `is_closed`: the old version can no longer be called.
    """
    if rollout.state is RolloutState.PLANNED:
        return _describe_plan(rollout, name, dates, now, zone)
    percent = schedule.customer_percent(rollout)
    match rollout.state:
        case RolloutState.DONE:
            return describe_end(rollout, name, zone)
        case RolloutState.ON_HOLD | RolloutState.PAUSED:
            return f"{wording.state_word(rollout)}: {describe_stop(rollout, f'the new version of the {name}')}"
        case RolloutState.RUNNING | RolloutState.WAITING:
            if percent >= 100:
                reach = describe_watched_reach(rollout, "get")
                return f"{reach} the new version of the {name}. {describe_not_final(is_closed=is_closed)}"
            if percent:
                word = "More customers" if schedule.has_grown(rollout) else "Started"
                return f"{word}: {describe_reach(rollout, 'now get', 'now gets')} the new version of the {name}."
            has = describe_reach(rollout, "have", "has")
            return f"Starting: the new version of the {name} is being checked; {has} it yet."
        case RolloutState.ROLLED_BACK | RolloutState.ABANDONED:
            raise ValueError(f"the notice of a change that is {rollout.state} says so instead")
        case _:
            assert_never(rollout.state)


def describe_watched_reach(rollout: Rollout, verb: str) -> str:
    """That nobody else gets it for now, as it is still watched, and who gets it, with a verb in the plural."""
    left = schedule.name_left_out(rollout)
    if left:
        return f"All steps taken, still being watched: all but {left} {verb}"
    return f"{STILL_WATCHED}: all customers {verb}"


def describe_end(rollout: Rollout, name: str, zone: str) -> str:
    """That the change is final, and who does not have it for now; `rollout` is done."""
    due = holdout.find_due(rollout)
    if due is not None and rollout.plan.holdout is not None:
        few, until = wording.format_per_hundred(rollout.plan.holdout.percent), wording.format_local_time(due, zone)
        return (
            f"{WATCHING_OVER}: {few} customers stay on the version of the {name} from before until {until}, so that we "
            "can compare; all others keep the new one."
        )
    keep = "keep" if rollout.reach == 1 else "now get"  # in a layer everyone gets it only now
    return f"{WATCHING_OVER}: all customers {keep} the new version of the {name}."


def _describe_plan(rollout: Rollout, name: str, dates: RolloutDates, now: datetime, zone: str) -> str:
    if rollout.live_instead:
        came_first = f"Delayed: another change to the {name} came first"
        if rollout.start is not None:  # its plan is renewed by itself when its turn comes
            return f"{came_first}. This one follows it; the date is not set yet."
        return f"{came_first}, so this one needs a new plan before it can start."
    if is_overdue(rollout, now):
        return f"Delayed: the change to the {name} has not started at the time announced. Nothing has changed yet."
    first = dates.first_percent
    whom = f"for {wording.format_per_hundred(first)} customers first"
    if first >= 100:
        whom = f"for all but {dates.left_out} at once" if dates.left_out else "for everyone at once"
    earlier = schedule.describe_chosen(dates, zone)
    return f"A change to the {name} is planned. It starts {schedule.format_start(dates, zone)}, {whom}.{earlier}"


def is_overdue(rollout: Rollout, now: datetime) -> bool:
    """Whether the start was announced for a time that has passed."""
    return rollout.state is RolloutState.PLANNED and rollout.start is not None and rollout.start < now


def describe_reach(rollout: Rollout, many: str, one: str) -> str:
    """Who has the new version now, with a verb in the plural and the singular: `about 5 in 100 customers keep`,
    `everyone keeps`."""
    percent = schedule.customer_percent(rollout)
    if percent >= 100:
        left = schedule.name_left_out(rollout)
        return f"all but {left} {many}" if left else f"everyone {one}"
    if percent:
        return f"about {wording.format_per_hundred(percent)} customers {many}"
    if schedule.is_with_selected_people(rollout):
        return f"nobody but {_name_selected(rollout)} {one}"
    return f"nobody {one}"


def describe_stop(rollout: Rollout, version: str) -> str:
    """What it means that the rollout does not grow for now, to follow `On hold:`; `version` names the new version."""
    percent = schedule.customer_percent(rollout)
    if percent >= 100:
        return f"{describe_reach(rollout, 'have', 'has')} {version}; it is not final."
    if percent:
        return f"no more customers get {version} for now; {describe_reach(rollout, 'keep', 'keeps')} it."
    if schedule.is_with_selected_people(rollout):
        return f"only {_name_selected(rollout)} have {version}; {_name_customers(rollout)} do not get it for now."
    return f"nobody has {version} yet, and nobody gets it for now."


def describe_final_reach(rollout: Rollout) -> str:
    """Who got the new version of a rollout that is done: `everyone got it`, or all but those who are held back. It says
    nothing of now, when a later rollout may be giving some of them another one."""
    return f"{_describe_all_but_held(rollout) or 'everyone'} got it"


def _describe_all_but_held(rollout: Rollout) -> str:
    """`all but 5 in 100 customers` while these are held back; otherwise empty."""
    if not holdout.is_holding(rollout) or rollout.plan.holdout is None:
        return ""
    return f"all but {wording.format_per_hundred(rollout.plan.holdout.percent)} customers"


def describe_affected(rollout: Rollout, dates: RolloutDates) -> str:
    """Who is affected now, to follow a label."""
    percent = schedule.customer_percent(rollout)
    if rollout.state is RolloutState.DONE:
        return _describe_all_but_held(rollout) or "everyone"
    if percent >= 100:
        left = schedule.name_left_out(rollout)
        return f"all but {left}" if left else "everyone"
    if percent:
        return f"about {wording.format_per_hundred(percent)} customers"
    if rollout.state in {RolloutState.ROLLED_BACK, RolloutState.ABANDONED}:
        return "nobody"
    if not schedule.is_with_selected_people(rollout):
        return "nobody yet"
    first = wording.format_per_hundred(dates.first_percent)
    return f"{_name_selected(rollout)}; {_name_customers(rollout)} come later, at first {first} customers"


def _name_selected(rollout: Rollout) -> str:
    """Whom the stage of a cohort is for, in plain words."""
    stage = rollout.stage
    if stage is None or not schedule.is_of_chosen_customers(stage):
        return "a few selected people"
    return schedule.name_chosen(stage.audience)


def _name_customers(rollout: Rollout) -> str:
    return "other customers" if schedule.is_of_chosen_customers(rollout.stage) else "customers"


def describe_selected(rollout: Rollout, *, now: str = "have it now") -> str:
    """Who has it in the stage of a cohort, and that nobody else does, as one clause."""
    others = "no other customer has" if schedule.is_of_chosen_customers(rollout.stage) else "no customer has"
    return f"{_name_selected(rollout)} {now}; {others} it yet"


def describe_dates(rollout: Rollout, dates: RolloutDates, zone: str, at_end: str = "") -> list[str]:
    """The label `When` and a line per step; `at_end` is what holds once watching is over, empty to leave that out."""
    if rollout.state is RolloutState.DONE:
        due = holdout.find_due(rollout)
        later = f"; those get it {wording.format_local_time(due, zone)}, or earlier" if due is not None else ""
        return [f"*When:* {describe_final_reach(rollout)}{later}."]
    if rollout.state in {RolloutState.ON_HOLD, RolloutState.PAUSED}:
        return [f"*When:* {_describe_wait(rollout)}. You will be told here."]
    over = schedule.format_end(dates, zone)
    if schedule.customer_percent(rollout) >= 100:
        earliest = " at the earliest" if dates.ends_at is not None else ""
        has = describe_reach(rollout, "have", "has")
        return [f"*When:* {has} it{f'; {over}{earliest}: {at_end}' if at_end else ''}."]
    if dates.phases and all(phase.at is None for phase in dates.phases):
        done = schedule.format_completion(dates, zone)
        if rollout.is_under_way:
            return [f"*When:* the first customers get it once {_describe_gate(rollout)}. If all goes well, {done}."]
        return [f"*When:* the date is not set yet. Once it starts, {done}, if all goes well."]
    earliest = " at the earliest" if dates.has_begun and dates.ends_at is not None else ""
    last = [f" • {over}{earliest}: {at_end}"] if at_end else []
    if len(dates.phases) < 2 and not last:
        return [f"*When:* {schedule.format_completion(dates, zone)}, if all goes well."]
    label = "*When*" if dates.has_begun else "*When, at the earliest*"
    likely = schedule.describe_likely(dates, zone, names_end=bool(last))
    return [f"{label} (each step only if all goes well)", *schedule.list_phases(dates, zone), *last, *likely]


def _describe_wait(rollout: Rollout) -> str:
    """What a rollout that does not grow waits for, to follow the label `When`."""
    percent, owner = schedule.customer_percent(rollout), wording.format_owner(rollout)
    has = describe_reach(rollout, "have", "has")
    clears_itself = rollout.hold is not None and holds.clears_itself(rollout.hold.key)
    if percent >= 100 and clears_itself:
        return f"{has} it; once this clears, watching goes on by itself"
    if percent >= 100:
        return f"{has} it; whether it stays is open until {owner} decides"
    until = "this clears; then it goes on by itself" if clears_itself else f"{owner} decides"
    return f"{'no more customers get' if percent else 'no customer gets'} it until {until}"


def _describe_gate(rollout: Rollout) -> str:
    """What stands before the first customers of a rollout that has started, to follow `once`."""
    if rollout.state is RolloutState.WAITING:
        return "it is approved"
    has_people = rollout.stage is not None and rollout.stage.has_exposure
    return "enough is known from the people chosen first" if has_people else "the checks have passed"


def format_contact(rollout: Rollout) -> str:
    """Which change a message is about, whose it is, and where to ask."""
    return f"{rollout.id} · Owner: {wording.format_owner(rollout)} · Questions? Ask in the thread"
