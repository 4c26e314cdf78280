"""The line of an event in the thread and in an answer: what happened, and what comes next or can be done about it."""

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_words
from bot.rendering.messages.audience import conversation_words
from bot.rendering.numbers import eval_words
from bot.rendering.numbers.detectability import blind_spot_words
from bot.rendering.sentences import headline
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.votes import doubts

UNANSWERED = (e.MessagePosted, e.ApprovalRequested, e.EvidenceRecorded, e.ReviewRequested)
"""What an answer to a command does not mention: it has a message of its own."""


def render(rollout: Rollout, event: e.RolloutEvent, zone: str) -> Message:
    """The thread message for an event; `rollout` may already include later events."""
    held = isinstance(event, e.Held) and not event.key.startswith(holds.DECISION)  # the decision has its own message
    steer = None
    if held and rollout.hold:
        follows = isinstance(event, e.Held) and bool(holds.find_bundle_cause(event.key))  # it goes on with another one
        resume = None if follows else buttons.resume(rollout)
        steer = blocks.actions(resume, buttons.extend(rollout), buttons.roll_back(rollout))
    said = eval_words.list_report_lines(event) if isinstance(event, e.EvalRecorded) else []
    line = format_line(rollout, event, zone)
    if isinstance(event, e.Started) and rollout.started_at is not None and rollout.ended_at is not None:
        line = (
            f"Earlier, {wording.format_local_time(rollout.started_at, zone)}: {line}"  # it waited behind what ended it
        )
    return blocks.build_message(line, blocks.lines_section(said), steer)


def format_line(rollout: Rollout, event: e.RolloutEvent, zone: str) -> str:
    """What happened, and what comes next or can be done now; escaped mrkdwn."""
    return f"{event_words.describe_event(rollout, event, zone)} {_suggest_next(rollout, event, zone)}".rstrip()


def format_answer(rollout: Rollout, event: e.RolloutEvent, zone: str) -> str:
    """The same, as told to the person who has just done it."""
    match event:
        case e.NoticeAcknowledged():
            return f"Thanks. You have confirmed the notice for {rollout.id}."
        case e.ReminderRequested(next_step=True):
            return f"We'll message you at the next step of {rollout.id}."
        case e.ReminderRequested():
            return f"We'll message you when watching {rollout.id} is over, or when it is switched back."
        case _:
            return format_line(rollout, event, zone)


def _suggest_next(rollout: Rollout, event: e.RolloutEvent, zone: str) -> str:
    """What comes next or can be done, as long as the event is news; empty where that goes without saying."""
    match event:
        case e.StageEntered():
            return _describe_next_stage(rollout, event, zone)
        case e.Paused():
            return f"Resume: /rollout resume {rollout.id}"
        case e.Held():
            until = (
                "It does not grow until this clears; then it continues by itself."
                if holds.clears_itself(event.key)
                else f"It does not grow until {wording.format_owner(rollout)} decides."
            )
            helps = f" {blind_spot_words.format_remedies(rollout)}" if _is_detectability_hold(event) else ""
            return f"{until}{helps}"
        case e.Completed():
            return _describe_way_back(rollout)
        case e.RolledBack() if conversation_words.has_conversations_on_new(rollout):
            return f"To change those too: /rollout rollback {rollout.id}"
        case e.FeltOff():
            return _describe_second_doubt(rollout) if len(rollout.felt_off) < doubts.PEOPLE_TO_HOLD else ""
        case e.BaseChanged() if event.live != rollout.plan.from_version:
            if rollout.start is not None:
                return f"Its plan will be renewed on {wording.escape(event.live, 40)} when its turn comes."
            live = wording.escape(event.live, 40)
            return f"Set `change.from` to {live} and apply the file again, or /rollout abandon {rollout.id}."
        case e.MessageFailed():
            return "Fix that, then pass the message on yourself."
        case e.RevertNotRequested():
            return "Rampart keeps trying." if event.trying else "Revert it by hand."
        case e.FlagNotSet():
            return "Rampart keeps trying." if event.trying else "Fix that and Rampart sets it, or set it there by hand."
        case _:
            return ""


def _describe_way_back(rollout: Rollout) -> str:
    """How long one can go back after the end, and how; empty where the old version can be called no more."""
    old, last = wording.escape(rollout.plan.from_version, 40), rollout.plan.rollback_until
    if last and rollout.ended_at is not None and rollout.ended_at.date().isoformat() > last:
        return ""
    until = f"until {wording.escape(last, 40)}, as long as" if last else "as long as it can be called and"
    return f"You can go back to {old} {until} nothing newer is live: /rollout rollback {rollout.id}"


def _describe_second_doubt(rollout: Rollout) -> str:
    """What comes of it if a second person says that answers feel off."""
    owner = wording.format_owner(rollout)
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING}:
        return f"It does not grow at present; if a second person says so, {owner} has to decide before it does again."
    if rollout.is_with_everyone:
        return f"If a second person says so, {owner} has to decide how it goes on."
    return f"If a second person says so, no more customers get it until {owner} decides."


def _describe_next_stage(rollout: Rollout, event: e.StageEntered, zone: str) -> str:
    """When the stage after the one that was entered comes at the earliest; empty if it has been left by now."""
    if not rollout.plan.stages[event.index].has_exposure or rollout.stage_index != event.index:
        return ""
    at = headline.min_hold_ends_at(rollout) if rollout.is_under_way else None
    label = headline.next_step_label(rollout)
    return f"Next: {label} {wording.format_local_time(at, zone)} at the earliest." if at else ""


def _is_detectability_hold(event: e.Held) -> bool:
    return event.key == holds.UNREAD or event.key.startswith(holds.UNDECIDED)
