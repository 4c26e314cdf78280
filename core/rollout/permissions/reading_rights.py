"""Who may read what is not for everybody: the text of prompts, and which customers got a version."""

from collections.abc import Iterable

from core.rollout.context import Actor, is_same_person
from core.rollout.permissions import roles
from core.rollout.plans.policy import Policy
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout


def check_may_read_prompts(policy: Policy, by: Actor, rollouts: Iterable[Rollout]) -> None:
    """Raise `Refused` unless a person in Slack may read the text of prompts.

    Admins, operators and approvers may, in any channel; so may who owns, applied or may approve one of `rollouts`,
    the ones that the text belongs to.
    """
    if not by.from_slack:
        return  # a token and the command line have been checked by now
    if not by.is_full_member:
        raise Refused("Guests can't read prompts.", hint="Ask anyone in the rollout's channel.", code="forbidden")
    named = [policy.roles.get("operator"), policy.roles.get("approver")]
    if roles.is_admin(policy, by) or any(role is None or roles.has_role(role, by) for role in named):
        return
    if any(_is_involved(rollout, by) for rollout in rollouts):
        return
    who = ", ".join(dict.fromkeys(name for role in named if role is not None for name in (*role.groups, *role.people)))
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
    if role is None or roles.is_admin(policy, by) or roles.has_role(role, by):
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
