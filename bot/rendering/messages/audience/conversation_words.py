"""What happens to conversations under way, in plain words: in a plan, while it runs, and after it was rolled back."""

from bot.rendering import wording
from core.rollout.plans.plan import Plan
from core.rollout.serving import conversations
from core.rollout.state.model import Rollout, RolloutState

TITLE = "Conversations under way"


def describe_plan(plan: Plan) -> str:
    """What the plan says of them; empty where nobody would ask."""
    if plan.finish_within is None:
        return "They change at their next turn." if plan.unit == "conversation" else ""
    longest = wording.format_duration(plan.finish_within)
    return (
        f"They finish on the version they began with, for at most {longest} after the rollout has ended. "
        "If it does harm, they all change at once."
    )


def describe_for_customers(plan: Plan) -> str:
    """The same for people outside engineering; empty if conversations change like everything else."""
    if plan.finish_within is None:
        return ""
    return "a conversation that has begun goes on as it began; what changes shows in new ones."


def describe_now(rollout: Rollout, zone: str) -> str:
    """Which conversations go on with which version, and how to end that; empty if none do."""
    if not conversations.is_finishing(rollout):
        return ""
    old, new = wording.escape(rollout.plan.from_version, 40), wording.escape(rollout.plan.to_version, 40)
    if rollout.state is RolloutState.ROLLED_BACK:
        return (
            f"those that began on {new} finish on it, until {_format_end(rollout, zone)} at the latest. "
            f"To change them now too: `/rollout rollback {rollout.id}`"
        )
    if rollout.state is RolloutState.DONE:
        return f"those that began on {old} finish on it, until {_format_end(rollout, zone)} at the latest"
    return f"those that began on {old} finish on it; new ones get what they are assigned"


def has_conversations_on_new(rollout: Rollout) -> bool:
    """Whether it was rolled back, and conversations still go on with the new version."""
    return rollout.state is RolloutState.ROLLED_BACK and conversations.is_finishing(rollout)


def _format_end(rollout: Rollout, zone: str) -> str:
    due = conversations.finish_by(rollout)
    assert due is not None, "it has ended, and conversations finish"
    return wording.format_local_time(due, zone)
