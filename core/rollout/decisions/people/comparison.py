"""A long comparison is decided by a person, and not before its horizon."""

from datetime import timedelta

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import stage_changes
from core.rollout.decisions.people import break_glass, command_conditions
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState


def decide_comparison(rollout: Rollout, command: c.Decide, context: Context) -> list[e.RolloutEvent]:
    """A person's decision on a long comparison. The next step follows at the next look, unless something holds it."""
    command_conditions.require_under_way(rollout, "decide")
    stage, index = rollout.current_stage, rollout.stage_index
    if not stage.is_decided_at_end:
        raise Refused(
            f"{rollout.id} is not in a long comparison, so there is nothing to decide.",
            hint=f"See /rollout status {rollout.id}.",
        )
    ended, decided = rollout.comparisons.get(index), rollout.decisions.get(index)
    if ended is None:
        raise _refuse_early_decision(rollout, context)
    if command.keep is None:
        raise Refused(
            "Decide what: keep the new version, or go back?",
            hint=f'/rollout decide {rollout.id} keep "why", or /rollout decide {rollout.id} back "why".',
        )
    if decided is not None and decided.keep == command.keep:
        return []
    if rollout.state is RolloutState.PAUSED:
        raise Refused(f"{rollout.id} is paused.", hint=f"Resume it first: /rollout resume {rollout.id}.")
    reason = command_conditions.require_reason(command.reason, "the decision")
    event = e.ComparisonDecided(stage=index, keep=command.keep, advice=ended.advice, by=context.by.id, reason=reason)
    if command.keep:
        return [event]
    command_conditions.require_way_back(rollout, context)
    return [event, stage_changes.build_rolled_back(rollout, context, reason=reason, findings=())]


def require_horizon(rollout: Rollout, context: Context, reason: str) -> str:
    """Refuse to end a long comparison before its horizon; nobody wins early. Returns the reason to record.

    Members of the policy's `break_glass` groups may go on anyway.
    """
    if not rollout.current_stage.is_decided_at_end or rollout.stage_index in rollout.decisions:
        return reason
    if (loud := break_glass.find_early_step_reason(rollout, context, reason)) is not None:
        return loud
    raise _refuse_early_decision(rollout, context)


def _refuse_early_decision(rollout: Rollout, context: Context) -> Refused:
    """The refusal to decide a long comparison that is not over."""
    left = rollout.current_stage.min_hold - rollout.held_for(context.at)
    earliest = context.at + left if left > timedelta(0) else None
    when = f"until {context.format_time(earliest)}" if earliest else "until its sample is complete"
    return Refused(
        f"{rollout.id} is compared {when}. Nobody wins early: differences of the first days often vanish.",
        hint=f"Harm ends it at any time, and so does /rollout rollback {rollout.id}.",
        earliest=earliest,
    )
