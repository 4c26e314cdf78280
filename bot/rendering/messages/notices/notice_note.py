"""Notes in the thread of a notice: what changed about it, and the reminder on the day of the start."""

from datetime import datetime
from typing import TypeAlias

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.audience import stratum_words
from bot.rendering.messages.notices import change_status
from bot.rendering.sentences import schedule
from core.rollout.serving import layering
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

NotedEvent: TypeAlias = (
    e.StageEntered
    | e.StartScheduled
    | e.BaseChanged
    | e.Held
    | e.Paused
    | e.Resumed
    | e.StageExtended
    | e.ConcernsAnswered
    | e.StratumRolledBack
)
"""The events that a note tells of."""


def render(
    before: Rollout, after: Rollout, event: NotedEvent, name: str, zone: str, *, is_closed: bool
) -> Message | None:
    """The note about `event`; None if it changes nothing for the people in this channel.

    `before` and `after` are the rollout around the event, `name` is the AI feature as it stands in a sentence, and
    `is_closed` says that the old version can no longer be called.
    """
    match event:
        case e.StageEntered():
            text = _describe_growth(before, after, name, is_closed=is_closed)
        case e.StartScheduled():
            text = _describe_move(before, after, zone)
        case e.BaseChanged() if after.live_instead and after.start is not None:
            text = (
                "Delayed: another change came first. This one follows it; what people may notice stays the same, and "
                "the dates above will be updated."
            )
        case e.BaseChanged() if after.live_instead:
            text = (
                "Delayed: it will not start as announced, because another change came first. "
                "You will get a new notice before it does."
            )
        case e.BaseChanged():
            text = "No longer delayed: it can start as announced."
        case e.Held():
            owner = wording.format_owner(after)
            stopped = change_status.describe_stop(after, "the new version")
            text = f"On hold: {stopped} {_explain_hold(event)} {owner} decides what happens next."
        case e.Paused():
            why = f": “{wording.escape(event.reason)}”" if event.reason else "."
            stopped = change_status.describe_stop(after, "the new version")
            text = f"Paused: {stopped} {wording.format_actor(event.by)} paused it{why}"
        case e.Resumed():
            told = before.hold is None or not holds.clears_itself(before.hold.key)
            text = f"Continuing: {_describe_way_on(after)}" if told else ""
        case e.StageExtended():
            text = "Continuing: it stays with the same customers until enough is known."
        case e.StratumRolledBack():
            text = f"Switched back for some: {stratum_words.describe_for_customers(after, name)}."
        case e.ConcernsAnswered():
            who = wording.format_actor(event.by, event.handle)
            text = f"Answered: {who} answered your concern: “{wording.escape(event.text)}”"
    return blocks.build_message(text) if text else None


def render_start_reminder(rollout: Rollout, name: str, zone: str) -> Message | None:
    """The reminder on the day of the start; None if it is not about to start."""
    if rollout.state is not RolloutState.PLANNED or rollout.start is None or rollout.live_instead:
        return None
    first = _find_first(rollout, rollout.start)
    earlier = schedule.describe_chosen(schedule.estimate_dates(rollout, rollout.start), zone)
    return blocks.build_message(
        f"Reminder: the {name} starts to change {wording.format_local_time(first, zone)}.{earlier} The notice above "
        "says what people may notice.",
        blocks.context(change_status.format_contact(rollout)),
    )


def _describe_growth(before: Rollout, after: Rollout, name: str, *, is_closed: bool) -> str:
    percent = schedule.customer_percent(after)
    if after.stage is not before.stage and schedule.is_of_chosen_customers(after.stage):
        had = before.stage is not None and after.stage is not None and before.stage.audience == after.stage.audience
        selected = change_status.describe_selected(after, now=f"now get the new version of the {name}")
        return "" if had else f"Started for some: {selected}."
    if percent == schedule.customer_percent(before):
        return ""
    if percent >= 100:
        reach = change_status.describe_watched_reach(after, "now get")
        return f"{reach} the new version of the {name}. {change_status.describe_not_final(is_closed=is_closed)}"
    word = "More customers" if schedule.customer_percent(before) else "Started"
    return f"{word}: {change_status.describe_reach(after, 'now get', 'now gets')} the new version of the {name}."


def _describe_move(before: Rollout, after: Rollout, zone: str) -> str:
    if after.start is None or after.start == before.start:
        return ""
    moved = f"it starts {wording.format_local_time(_find_first(after, after.start), zone)}"
    if before.start is None:
        return f"Date set: {moved}."
    return f"Moved: {moved}, not {wording.format_local_time(_find_first(before, before.start), zone)}."


def _find_first(rollout: Rollout, start: datetime) -> datetime:
    """When the first customers get it, as the notice says, if it starts then."""
    return schedule.estimate_dates(rollout, start).first_customers_at or start


def _explain_hold(event: e.Held) -> str:
    """Why Rampart stopped it, without numbers."""
    kind = event.key.partition(":")[0]
    if event.key.startswith(holds.UNDECIDED):
        return "Nothing looks wrong, but too little is known yet to go on."
    if kind == "felt_off":
        return "Two people said that the new version feels off."
    if event.key.startswith(holds.VOTES):
        return "Testers find the new version worse."
    if event.key.startswith(holds.DECISION):
        return "Both versions were compared for as long as was planned."
    if event.key == layering.LAST_STEP:
        return "Nothing looks wrong: all others would get it in one step, and a person is asked before that."
    if kind in {"limit", holds.COMPLAINTS}:
        return "Something is worse than agreed."
    return "Rampart stopped it."


def _describe_way_on(rollout: Rollout) -> str:
    """What comes now that it goes on, to follow `Continuing:`."""
    percent = schedule.customer_percent(rollout)
    if percent >= 100:
        return f"{change_status.describe_reach(rollout, 'have', 'has')} it, and we keep watching."
    return f"{'more customers' if percent else 'customers'} will get it, step by step."
