"""Whether the previous version can still be called, and what the way back is once it cannot."""

from datetime import date, datetime

from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface

NO_WAY_BACK = "no_way_back"
"""Key of the hold that replaces a rollback to a version that nobody can be served any more."""


def is_way_back_closed(plan: Plan, policy: Policy, at: datetime) -> bool:
    """Whether `at` is after the last day on which the previous version can be called, in the policy's time zone."""
    return bool(plan.rollback_until) and policy.to_local_time(at).date() > date.fromisoformat(plan.rollback_until)


def explain_closed_way_back(plan: Plan) -> str:
    """Why nobody can be moved back, as a sentence without its full stop."""
    return (
        f"{plan.from_version} could be called until {plan.rollback_until} only, so going back to it would leave people "
        "without answers"
    )


def suggest_way_back(rollout: Rollout, surface: Surface | None) -> str:
    """What to do instead of rolling back: the versions of the surface with another model, newest first."""
    plan = rollout.plan
    gone = rollout.from_content.get("model")
    others = [
        version
        for version, content in (surface.versions.items() if surface is not None else ())
        if version not in {plan.from_version, plan.to_version} and content.get("model") not in (None, gone)
    ]
    if others:
        return (
            f"The way back is a new rollout from {plan.to_version} to what {' or '.join(others[:-4:-1])} was, which "
            "had another model."
        )
    return f"The way back is a new rollout from {plan.to_version} to a model that can be called."
