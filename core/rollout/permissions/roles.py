"""Whether a person has a role that the policy gives, and what would help who has not."""

from core.rollout.context import Actor, Context
from core.rollout.plans.policy import Policy, Role
from core.rollout.refusal import Refused


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
        _check_named_role("admin", context, "change surfaces and the policy")
    elif role == "operator" and by.from_slack and not is_admin(context.policy, by):
        _check_named_role("operator", context, "move a rollout forward")


def find_operator_obstacle(context: Context) -> str:
    """Why the actor is no operator, as what would help: `ask @ai-eng`, `in #ai-rollouts`; empty if they are one."""
    named, by = context.policy.roles.get("operator"), context.by
    if named is None or is_admin(context.policy, by):
        return ""
    if not has_role(named, by):
        return f"ask {', '.join((*named.groups, *named.people))}"
    if named.channels and {by.channel, by.channel_id}.isdisjoint(named.channels):
        return f"in {', '.join(named.channels)}"
    return ""


def has_role(role: Role, by: Actor) -> bool:
    """Whether a role is this person's: by a group, by name, or because it names nobody. Channels are not asked."""
    named = bool(set(role.groups) & set(by.groups)) or any(by.matches_reference(p) for p in role.people)
    return named or not (role.groups or role.people)


def is_admin(policy: Policy, by: Actor) -> bool:
    """Whether the policy names this person, or one of their groups, as an admin. Admins may do what operators may."""
    role = policy.roles.get("admin")
    return role is not None and bool(role.groups or role.people) and has_role(role, by)


def _check_named_role(name: str, context: Context, what: str) -> None:
    role = context.policy.roles.get(name)
    if role is None:
        return
    if not has_role(role, context.by):
        who = ", ".join((*role.groups, *role.people))
        raise Refused(
            f"To {what} you need to be one of {who}.", hint="You can still pause or roll back.", code="forbidden"
        )
    if role.channels and {context.by.channel, context.by.channel_id}.isdisjoint(role.channels):
        raise Refused(
            f"In this channel you can look, pause and roll back. To {what}, go to {', '.join(role.channels)}.",
            code="forbidden",
        )
