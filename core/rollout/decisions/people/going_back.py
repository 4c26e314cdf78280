"""Everybody, or one customer, gets the previous version again, and a person says why."""

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import stage_changes
from core.rollout.decisions.people import command_conditions
from core.rollout.refusal import Refused
from core.rollout.serving import conversations, strata
from core.rollout.serving.logged_unit import build_logged_alias
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState

MOST_MOVED_BACK = 1_000  # units of one rollout that people move back one by one


def roll_back(rollout: Rollout, command: c.RollBack, context: Context) -> list[e.RolloutEvent]:
    """That everybody gets the previous version again; Refused once nobody can be served it any more.

    A stratum that the plan has goes back alone; any other name means everybody, as one is sure to be safe by that. So
    does a stratum once everybody has gone back: what is left are conversations that finish.
    """
    stratum = strata.find_stratum(rollout.plan, command.stratum)
    if stratum is not None and rollout.state is not RolloutState.ROLLED_BACK:
        command_conditions.require_way_back(rollout, context)
        return strata.roll_back_stratum(rollout, stratum, context, command.reason.strip())
    match rollout.state:
        case RolloutState.ROLLED_BACK:
            return conversations.move(rollout, context, command.reason.strip())  # twice is no error, but at once
        case RolloutState.ABANDONED:
            return []  # already safe
        case RolloutState.PLANNED:
            return [e.Abandoned(by=context.by.id, reason=command.reason.strip() or "rolled back before it started")]
        case RolloutState.DONE:
            surface = context.known_surface
            if surface.live != rollout.plan.to_version or surface.live_by != rollout.id:
                raise Refused(
                    f"{surface.live} ({surface.live_by or 'applied'}) went live on {surface.name} after {rollout.id}.",
                    hint=f"Roll back {surface.live_by} instead." if surface.live_by else "",
                )
    command_conditions.require_way_back(rollout, context)
    return [stage_changes.build_rolled_back(rollout, context, reason=command.reason.strip(), findings=())]


def explain_rollback(rollout: Rollout, command: c.ExplainRollback, context: Context) -> list[e.RolloutEvent]:
    """The cause of a rollback that has happened, which may be corrected later."""
    if rollout.rollback is None:
        raise Refused(f"{rollout.id} was not rolled back, so there is nothing to explain.")
    if command.cause not in c.ROLLBACK_CAUSES:
        raise Refused(
            f'"{command.cause[:40]}" is not a cause of a rollback.', hint=f"Causes: {', '.join(c.ROLLBACK_CAUSES)}."
        )
    reason = command.reason.strip()
    if command.cause == "other":
        reason = command_conditions.require_reason(reason, "the rollback")
    known = rollout.explanation
    if known is not None and (known.cause, known.reason) == (command.cause, reason):
        return []
    explained = e.RollbackExplained(by=context.by.id, handle=context.by.name, cause=command.cause, reason=reason)
    is_harm = command.cause in conversations.HARMFUL_CAUSES
    return [explained, *(conversations.move(rollout, context) if is_harm else ())]


def move_back(rollout: Rollout, command: c.MoveBack, context: Context) -> list[e.RolloutEvent]:
    """That one customer gets the previous version again, whatever the rollout does next."""
    if not command.unit:
        raise Refused("Whom? Name the customer by the id that your application uses.", code="invalid")
    if rollout.state is RolloutState.DONE:
        raise Refused(
            f"Everyone gets {rollout.plan.to_version} by now, so nobody can be moved back alone.",
            hint=f"To give everyone {rollout.plan.from_version} again: /rollout rollback {rollout.id}.",
        )
    command_conditions.require_under_way(rollout, "move back")
    if rollout.plan.driven:
        raise Refused(f"{rollout.plan.driven[0].title} decides who gets which version. Move the customer back there.")
    unit_hash = build_logged_alias(rollout, command.unit)
    if unit_hash in rollout.moved_back:
        return []
    command_conditions.require_way_back(rollout, context)
    if len(rollout.moved_back) >= MOST_MOVED_BACK:
        raise Refused(
            f"{MOST_MOVED_BACK:,} customers were moved back already. If it is wrong for so many, roll back.",
            hint=f"/rollout rollback {rollout.id} takes seconds.",
        )
    version = rollout.plan.from_version
    return [e.UnitMovedBack(by=context.by.id, unit_hash=unit_hash, version=version, reason=command.reason.strip())]
