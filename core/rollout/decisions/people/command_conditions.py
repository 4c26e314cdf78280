"""What several commands of people need: a reason, and a rollout that is under way."""

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
