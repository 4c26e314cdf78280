"""Who may do what: moving forward needs a role, going back only full membership."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from core.rollout import commands as c
from core.rollout.context import Actor, Context, is_same_person, is_slack_user_id, slack_user_in
from core.rollout.plans.policy import Policy, Role
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout


def required_role(command: c.Command) -> str:
    """The role that a command requires: `operator`, `approver` or `admin`; empty if every full member may give it."""
    match command:
        case c.Approve() | c.Reject():
            return "approver"
        case c.ApplySurface() | c.ApplyPolicy():
            return "admin"
        case (
            c.PlanRollout()
            | c.PlanBundle()
            | c.Start()
            | c.Advance()
            | c.Resume()
            | c.Abandon()
            | c.RecordEval()
            | c.SubmitReview()
        ):
            return "operator"
        case c.Decide() | c.ConfirmReverted() | c.ExtendStage():
            return "operator"
        case (
            c.Pause()
            | c.RollBack()
            | c.ExplainRollback()
            | c.FeelsOff()
            | c.CastVote()
            | c.AcknowledgeNotice()
            | c.RaiseConcern()
            | c.AnswerConcerns()
            | c.RequestReminder()
            | c.MoveBack()
            | c.ReportComplaint()
        ):
            return ""
        case c.Subscribe() | c.Unsubscribe() | c.ChangeNotifications() | c.FreezeChanges():
            return ""
        case c.ReportOtherModel() | c.TellRetirement():
            return "admin"  # only the engine gives these
        case c.UnfreezeChanges() | c.RequestApproval() | c.EndHoldout():
            return "operator"
        case c.ForceForward():
            return ""  # the policy names the groups that may
        case (
            c.Tick()
            | c.DoubtEvidence()
            | c.DoubtComplaints()
            | c.RecordDrill()
            | c.ConfirmFlip()
            | c.DoubtFlip()
            | c.RecordPosted()
            | c.RecordFailed()
            | c.RecordFlag()
            | c.RecordFlagTrouble()
            | c.RecordFlagLowered()
            | c.RecordRevert()
            | c.RecordRevertTrouble()
            | c.MoveConversations()
            | c.EndDueHoldout()
            | c.RecordHoldout()
            | c.RecordAnchors()
            | c.RecordJudgingCap()
        ):
            return ""  # only the engine gives these
        case _:
            assert_never(command)


def check(rollout: Rollout | None, command: c.Command, context: Context) -> None:
    """Raise `Refused` if the actor may not give this command."""
    by = context.by
    if by.is_system:
        return
    if by.is_agent:
        _check_agent(command)
    if isinstance(command, c.CastVote) and not by.is_full_member:
        raise Refused(
            "Only full members of the workspace can vote, not guests and not deactivated accounts.",
            hint="Tell a colleague what you noticed: they can report it.",
            code="forbidden",
        )
    role = required_role(command)
    check_role("" if role == "approver" else role, context)
    if role == "approver":
        assert rollout is not None
        _check_approver(rollout, context)


def _check_agent(command: c.Command) -> None:
    """Agents prepare, pause and roll back. Whatever lets more people get a new version is for people."""
    match command:
        case c.Pause() | c.RollBack():
            return
        case c.PlanRollout(plan=plan) if plan.start is None:
            return
        case c.PlanRollout():
            raise Refused(
                "The file has a start, and an agent may not start a rollout.",
                hint="Leave start out of the file. A person starts it in Slack.",
                code="forbidden",
            )
        case _:
            raise Refused(
                "An agent may plan a rollout, pause it and roll it back, and nothing else.",
                hint="Ask a person to do it in Slack.",
                code="forbidden",
            )


def check_role(role: str, context: Context) -> None:
    """Raise `Refused` unless the actor is a full member and has this role: `operator`, `admin`, or empty for none."""
    by = context.by
    if not by.is_full_member:
        raise Refused(
            "Guests can't change traffic.",
            hint="Ask anyone in the rollout's channel: they can do it in one click.",
            code="forbidden",
        )
    if role == "admin" and by.from_slack:
        _check_role("admin", context, "change surfaces and the policy")
    elif role == "operator" and by.from_slack and not _is_admin(context.policy, by):
        _check_role("operator", context, "move a rollout forward")


def find_role_obstacle(role: str, context: Context) -> str:
    """Why the actor lacks a role, as what would help: `ask @ai-eng`, `in #ai-rollouts`; empty if they have it.

    `role` is `operator` or `approver`; whether something is the actor's own change is not asked.
    """
    named, by = context.policy.roles.get(role), context.by
    if named is None or (role == "operator" and _is_admin(context.policy, by)):
        return ""
    if not _has_role(named, by):
        return f"ask {', '.join((*named.groups, *named.people))}"
    if role == "operator" and named.channels and {by.channel, by.channel_id}.isdisjoint(named.channels):
        return f"in {', '.join(named.channels)}"
    return ""


def check_may_read_prompts(policy: Policy, by: Actor, rollouts: Iterable[Rollout]) -> None:
    """Raise `Refused` unless a person in Slack may read the text of prompts.

    Admins, operators and approvers may, in any channel; so may who owns, applied or may approve one of `rollouts`,
    the ones that the text belongs to.
    """
    if not by.from_slack:
        return  # a token and the command line have been checked by now
    if not by.is_full_member:
        raise Refused("Guests can't read prompts.", hint="Ask anyone in the rollout's channel.", code="forbidden")
    roles = [policy.roles.get("operator"), policy.roles.get("approver")]
    if _is_admin(policy, by) or any(role is None or _has_role(role, by) for role in roles):
        return
    if any(_is_involved(rollout, by) for rollout in rollouts):
        return
    who = ", ".join(dict.fromkeys(name for role in roles if role is not None for name in (*role.groups, *role.people)))
    raise Refused(
        f"Only operators and approvers can read prompts: {who}.",
        hint="/rollout diff shows everybody what else changes, and how much of the prompt.",
        code="forbidden",
    )


def check_may_list_customers(policy: Policy, by: Actor) -> None:
    """Raise `Refused` unless a person in Slack may see which customers got a new version.

    Admins and operators may, and every full member in one of the channels that the policy names for it.
    """
    if not by.from_slack:
        return  # a token and the command line have been checked by now
    if not by.is_full_member:
        raise Refused("Guests can't see customers.", hint="Ask anyone in the rollout's channel.", code="forbidden")
    channels = policy.customers.channels if policy.customers is not None else ()
    if not {by.channel, by.channel_id}.isdisjoint(channels):
        return
    role = policy.roles.get("operator")
    if role is None or _is_admin(policy, by) or _has_role(role, by):
        return
    where = f", or go to {', '.join(channels)}" if channels else ""
    raise Refused(
        f"To see which customers got the new version you need to be one of {', '.join((*role.groups, *role.people))}"
        f"{where}.",
        hint="/rollout whois <customer id> answers for one customer.",
        code="forbidden",
    )


def _is_involved(rollout: Rollout, by: Actor) -> bool:
    """Whether a person owns this rollout, applied it, or is in a group that has to approve it."""
    plan = rollout.plan
    owns = by.matches_reference(plan.owner) or by.matches_reference(plan.owner_handle)
    applied = any(is_same_person(who, by.id) for who in rollout.planners)
    return owns or applied or bool(set(plan.approvals.groups) & set(by.groups))


def _has_role(role: Role, by: Actor) -> bool:
    named = bool(set(role.groups) & set(by.groups)) or any(by.matches_reference(p) for p in role.people)
    return named or not (role.groups or role.people)


def _is_admin(policy: Policy, by: Actor) -> bool:
    """Whether the policy names this person, or one of their groups, as an admin. Admins may do what operators may."""
    role = policy.roles.get("admin")
    return role is not None and bool(role.groups or role.people) and _has_role(role, by)


def _check_role(name: str, context: Context, what: str) -> None:
    role = context.policy.roles.get(name)
    if role is None:
        return
    if not _has_role(role, context.by):
        who = ", ".join((*role.groups, *role.people))
        raise Refused(
            f"To {what} you need to be one of {who}.", hint="You can still pause or roll back.", code="forbidden"
        )
    if role.channels and {context.by.channel, context.by.channel_id}.isdisjoint(role.channels):
        raise Refused(
            f"In this channel you can look, pause and roll back. To {what}, go to {', '.join(role.channels)}.",
            code="forbidden",
        )


def _check_approver(rollout: Rollout, context: Context) -> None:
    by = context.by
    if not by.from_slack:
        raise Refused(
            "Approvals are accepted only from Slack, so that it is known who gave them.",
            hint=f"Press Approve in the thread of {rollout.id}, or type /rollout approve {rollout.id} in Slack.",
            code="forbidden",
        )
    plan = rollout.plan
    role = context.policy.roles.get("approver")
    groups = plan.approvals.groups or (role.groups if role else ())
    _check_not_own_change(rollout, groups, context)
    if groups and not set(groups) & set(by.groups):
        who = " or ".join(groups)
        raise Refused(
            f"You're not in {who}, and only they can do this.",
            hint="You can still pause or roll back.",
            code="forbidden",
        )
    if role is not None and not plan.approvals.groups and not _has_role(role, by):
        raise Refused("You are not an approver.", hint=f"Ask one of {', '.join(role.people)}.", code="forbidden")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproverRule:
    """Who may approve a rollout: members of the `groups`, or else the `people`, or else every full member.

    `excluded` are Slack user ids of those whose own change it is.
    """

    groups: tuple[str, ...]
    people: tuple[str, ...]
    excluded: frozenset[str]


def find_approver_rule(rollout: Rollout, policy: Policy, authors: Sequence[str]) -> ApproverRule:
    """Who may approve the open request; `authors` are actor ids of everyone who ever applied this version."""
    plan, role = rollout.plan, policy.roles.get("approver")
    groups = plan.approvals.groups or (role.groups if role else ())
    appliers = {slack_user_in(who) for who in (rollout.planned_by, *rollout.planners, *authors)}
    owner = {plan.owner} if is_slack_user_id(plan.owner) else set()
    own = appliers - owner if plan.approvals.owner_may_approve else appliers | owner
    return ApproverRule(
        groups=groups,
        people=role.people if role is not None and not groups else (),
        excluded=frozenset(own - {""}),
    )


def _check_not_own_change(rollout: Rollout, groups: Sequence[str], context: Context) -> None:
    """Refuse approvals by the owner, by anyone who applied the plan, and by the authors of its version."""
    by, plan = context.by, rollout.plan
    if rollout.started_at is None and not is_slack_user_id(plan.owner):
        raise Refused(
            f"The owner of {rollout.id}, {plan.owner}, was not found in Slack, and nobody may approve their own "
            "change.",
            hint="Apply its file again, so that the owner is looked up again. A user id (U…) always works.",
            code="forbidden",
        )
    who = f" from {' or '.join(groups)}" if groups else ""
    planners = (rollout.planned_by, *rollout.planners)
    if by.matches_reference(plan.owner) or by.matches_reference(plan.owner_handle):
        if not plan.approvals.owner_may_approve:
            raise Refused(f"{rollout.id} is your own change, so someone else{who} must approve it.", code="forbidden")
        if not all(slack_user_in(planner) for planner in planners):
            raise Refused(
                f"{rollout.id} was applied by {rollout.planned_by}, which is not a person, so someone{who} "
                "other than its owner must approve it.",
                hint="Bind the token to a person: see ROLLOUT_TOKENS.",
                code="forbidden",
            )
    elif any(is_same_person(by.id, author) for author in (*planners, *context.authors)):
        raise Refused(f"You wrote or applied {rollout.id}, so someone else{who} must approve it.", code="forbidden")
