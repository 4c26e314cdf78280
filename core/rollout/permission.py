"""Who may do what: forward needs a role, backward only a membership."""

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.model import Rollout
from core.rollout.policy import Role
from core.rollout.refusal import Refused

ANYBODY = (c.RollBack, c.Pause, c.FeelsOff, c.AcknowledgeNotice, c.RaiseConcern)
OPERATORS = (c.PlanRollout, c.Start, c.Advance, c.Resume, c.Abandon, c.RecordEval)


def check(rollout: Rollout | None, command: c.Command, context: Context) -> None:
    """Raise `Refused` when the one who asks may not; return otherwise."""
    by = context.by
    if by.is_system:
        return
    if not by.full_member:
        raise Refused(
            "Guests can't change traffic.",
            hint="Ask anyone in the rollout's channel: they can do it in one click.",
            code="forbidden",
        )
    if isinstance(command, c.Approve | c.Reject):
        assert rollout is not None
        _check_approver(rollout, context)
    elif isinstance(command, c.ApplySurface | c.ApplyPolicy) and by.from_slack:
        _check_role("admin", context, "change surfaces and the policy")
    elif isinstance(command, OPERATORS) and by.from_slack and not _is_admin(context):
        _check_role("operator", context, "move a rollout forward")


def _holds(role: Role, context: Context) -> bool:
    by = context.by
    named = bool(set(role.groups) & set(by.groups)) or any(by.is_person(p) for p in role.people)
    return named or not (role.groups or role.people)


def _is_admin(context: Context) -> bool:
    """Whether the policy names this person, or a group of theirs, as an admin: who may do what operators may."""
    role = context.policy.roles.get("admin")
    return role is not None and bool(role.groups or role.people) and _holds(role, context)


def _check_role(name: str, context: Context, what: str) -> None:
    role = context.policy.roles.get(name)
    if role is None:
        return
    if not _holds(role, context):
        who = ", ".join((*role.groups, *role.people))
        raise Refused(
            f"To {what} you need to be one of {who}.", hint="You can still pause or roll back.", code="forbidden"
        )
    if role.channels and {context.by.channel, context.by.channel_id}.isdisjoint(role.channels):
        raise Refused(
            f"Here you can look, pause and roll back; to {what}, go to {', '.join(role.channels)}.", code="forbidden"
        )


def _check_approver(rollout: Rollout, context: Context) -> None:
    by = context.by
    if not by.from_slack:
        raise Refused(
            "Approvals come from Slack only, so that it is known who gave them.",
            hint=f"Use the Approve button in the thread of {rollout.id}, or /rollout approve {rollout.id}.",
            code="forbidden",
        )
    plan = rollout.plan
    own = by.is_person(plan.owner) or by.is_person(plan.owner_handle) or rollout.planned_by == by.id
    role = context.policy.roles.get("approver")
    groups = plan.approvals.groups or (role.groups if role else ())
    if own and not plan.approvals.owner_may_approve:
        who = f" from {' or '.join(groups)}" if groups else ""
        raise Refused(f"{rollout.id} is your own change, so someone else{who} must approve it.", code="forbidden")
    if groups and not set(groups) & set(by.groups):
        who = " or ".join(groups)
        raise Refused(
            f"You're not in {who}, so this needs one of them.",
            hint="You can still pause or roll back.",
            code="forbidden",
        )
    if role is not None and not plan.approvals.groups and not _holds(role, context):
        raise Refused("You are not an approver.", hint=f"Ask one of {', '.join(role.people)}.", code="forbidden")
