"""What people say of a rollout: that they know of it, a concern, its answer, that it feels off, a complaint."""

from core.rollout import commands as c
from core.rollout.context import Context, is_same_person, slack_user_in
from core.rollout.decisions.people import command_conditions
from core.rollout.refusal import Refused
from core.rollout.serving.logged_unit import build_logged_alias
from core.rollout.state import events as e
from core.rollout.state.model import TERMINAL_STATES, Rollout
from core.rollout.votes import doubts


def acknowledge_notice(rollout: Rollout, command: c.AcknowledgeNotice, context: Context) -> list[e.RolloutEvent]:
    """That a person has read a notice; nothing if they said so before."""
    keys = {n.key: n for n in rollout.plan.stakeholder_notices}
    key = command.notice
    if not key:
        open_keys = [k for k, n in keys.items() if n.channel == context.by.channel] or list(keys)
        key = open_keys[0] if len(open_keys) == 1 else ""
    if key not in keys:
        raise Refused(f"{rollout.id} has no such notice.", hint=f"Its notices: {', '.join(keys) or 'none'}.")
    if rollout.notice_posted_at(key) is None:
        raise Refused("That notice has not been posted yet, so nobody can have read it.")
    if any(is_same_person(who, context.by.id) for who in rollout.acknowledged_by.get(key, ())):
        return []
    return [e.NoticeAcknowledged(notice=key, by=context.by.id, handle=context.by.name)]


def raise_concern(command: c.RaiseConcern, context: Context) -> list[e.RolloutEvent]:
    """A concern about the rollout, which waits for an answer."""
    text = command_conditions.require_reason(command.text, "the concern")
    return [e.ConcernRaised(notice=command.notice, by=context.by.id, handle=context.by.name, text=text)]


def answer_concerns(rollout: Rollout, command: c.AnswerConcerns, context: Context) -> list[e.RolloutEvent]:
    """One answer to all open concerns."""
    if not rollout.open_concerns:
        raise Refused(f"Nobody has a concern about {rollout.id} that waits for an answer.")
    text = command_conditions.require_reason(command.text, "the answer")
    return [e.ConcernsAnswered(by=context.by.id, handle=context.by.name, text=text)]


def request_reminder(rollout: Rollout, command: c.RequestReminder, context: Context) -> list[e.RolloutEvent]:
    """That a person in Slack wants a message once everyone gets the new version, or at the next step; recorded once."""
    if not slack_user_in(context.by.id):
        raise Refused("Only somebody in Slack can be reminded there.")
    if rollout.state in TERMINAL_STATES:
        raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}, so there is nothing left to wait for.")
    if any(
        is_same_person(who, context.by.id)
        for who in (rollout.next_step_reminders if command.next_step else rollout.reminders)
    ):
        return []
    return [e.ReminderRequested(notice=command.notice, by=context.by.id, next_step=command.next_step or None)]


def record_felt_off(rollout: Rollout, command: c.FeelsOff, context: Context) -> list[e.RolloutEvent]:
    """That a person thinks the new version feels off; enough of them hold the rollout."""
    command_conditions.require_under_way(rollout, "judge")
    if any(is_same_person(who, context.by.id) for who in rollout.felt_off):
        return []
    felt = e.FeltOff(by=context.by.id, handle=context.by.name, text=command.text.strip())
    held = doubts.find_hold(rollout, said_now=1)
    return [felt] if held is None else [felt, held]


def report_complaint(rollout: Rollout, command: c.ReportComplaint, context: Context) -> list[e.RolloutEvent]:
    """What a customer complains about."""
    if rollout.started_at is None:
        raise Refused(
            f"{rollout.id} has not started, so no customer has met its new version.",
            hint="Use the button “I have a concern” on its notice, or name another rollout with --id.",
        )
    text = command_conditions.require_reason(command.text, "the complaint")
    unit_hash = build_logged_alias(rollout, command.unit) if command.unit else ""
    return [
        e.ComplaintReported(
            by=context.by.id,
            handle=context.by.name,
            text=text,
            arm=command.arm,
            version=command.version,
            unit_hash=unit_hash,
            message=command.message,
        )
    ]
