"""Who may approve a rollout: its groups or the policy's, and nobody their own change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.rollout.context import Actor, Context, is_same_person, is_slack_user_id, slack_user_in
from core.rollout.plans.policy import Policy
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproverRule:
    """Who may approve a rollout: members of the `groups`, or else the `people`, or else every full member.

    `excluded` are Slack user ids of those whose own change it is.
    """

    groups: tuple[str, ...]
    people: tuple[str, ...]
    excluded: frozenset[str] = frozenset()

    def allows(self, by: Actor) -> bool:
        """Whether this person is among those named, or nobody is; whose change it is, is not asked."""
        if self.groups:
            return not set(self.groups).isdisjoint(by.groups)
        return not self.people or any(by.matches_reference(person) for person in self.people)


def find_role_rule(policy: Policy, own_groups: tuple[str, ...] = ()) -> ApproverRule:
    """Who may approve by the policy, or by a rollout's `own_groups` in its place. People count where no group does."""
    role = policy.roles.get("approver")
    groups = own_groups or (role.groups if role else ())
    return ApproverRule(groups=groups, people=role.people if role is not None and not groups else ())


def find_approver_rule(rollout: Rollout, policy: Policy, authors: Sequence[str]) -> ApproverRule:
    """Who may approve the open request; `authors` are actor ids of everyone who ever applied this version."""
    plan = rollout.plan
    appliers = {slack_user_in(who) for who in (rollout.planned_by, *rollout.planners, *authors)}
    owner = {plan.owner} if is_slack_user_id(plan.owner) else set()
    own = appliers - owner if plan.approvals.owner_may_approve else appliers | owner
    return replace(find_role_rule(policy, plan.approvals.groups), excluded=frozenset(own - {""}))


def check_approver(rollout: Rollout, context: Context) -> None:
    """Raise `Refused` unless the actor may approve or reject the open request of this rollout."""
    by = context.by
    if not by.from_slack:
        raise Refused(
            "Approvals are accepted only from Slack, so that it is known who gave them.",
            hint=f"Press Approve in the thread of {rollout.id}, or type /rollout approve {rollout.id} in Slack.",
            code="forbidden",
        )
    rule = find_role_rule(context.policy, rollout.plan.approvals.groups)
    _check_not_own_change(rollout, rule.groups, context)
    if rule.allows(by):
        return
    if rule.groups:
        raise Refused(
            f"You're not in {' or '.join(rule.groups)}, and only they can do this.",
            hint="You can still pause or roll back.",
            code="forbidden",
        )
    raise Refused("You are not an approver.", hint=f"Ask one of {', '.join(rule.people)}.", code="forbidden")


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
