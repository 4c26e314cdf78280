"""What several commands of people need: a reason, a rollout that is under way, and an old version that answers."""

from core.rollout.context import Context
from core.rollout.models import way_back
from core.rollout.refusal import Refused
from core.rollout.state.model import UNDER_WAY_STATES, Rollout, RolloutState


def require_reason(text: str, what: str) -> str:
    """The reason without surrounding space. Refused if it is empty; `what` names the action."""
    if not text.strip():
        raise Refused(f"Please give a reason for {what}.", hint='Add it in quotes: "…".')
    return text.strip()


def require_under_way(rollout: Rollout, verb: str) -> None:
    """Refuse unless the rollout has started and not ended; `verb` names the action."""
    if rollout.state not in UNDER_WAY_STATES:
        started = (
            "has not started" if rollout.state is RolloutState.PLANNED else f"is {rollout.state.replace('_', ' ')}"
        )
        raise Refused(
            f"{rollout.id} {started}, so there is nothing to {verb}.", hint=f"See /rollout status {rollout.id}."
        )


def require_way_back(rollout: Rollout, context: Context) -> None:
    """Refuse if anybody has the new version and the previous one can no longer be called."""
    if not rollout.percent or not way_back.is_way_back_closed(
        rollout.plan, context.surface, context.policy, context.at
    ):
        return
    today = context.policy.to_local_time(context.at).date()
    raise Refused(
        f"{way_back.explain_closed_way_back(rollout.plan, context.surface)}. Nothing was changed.",
        hint=way_back.suggest_instead(rollout.plan, context.surface, today),
        code="conflict",
    )
