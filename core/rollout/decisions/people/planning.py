"""A plan is applied, or applied again before its start, or given up."""

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import approval_requests, start_conditions
from core.rollout.plans.plan import changed_parts, content_hash
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface, is_version_taken


def plan_rollout(rollout: Rollout | None, command: c.PlanRollout, context: Context) -> list[e.RolloutEvent]:
    """A new plan, or another one in place of a plan that has not started; nothing if it is the same."""
    plan, surface = command.plan, context.known_surface
    fingerprint = plan.fingerprint()
    if rollout is not None and rollout.state is not RolloutState.ABANDONED:
        if rollout.fingerprint == fingerprint and not _is_outdated(rollout, surface):
            return []
        if rollout.state is not RolloutState.PLANNED:
            raise Refused(
                f"{rollout.id} {plan.name} has started, so its plan and limits are frozen. To change them, plan "
                "a new rollout.",
                hint="Give the file another name in `rollout:` and apply it again.",
            )
    if plan.from_version != surface.live:
        raise Refused(
            f"This starts from {plan.from_version}, but {surface.live} is now live on {surface.name}: someone "
            "shipped in between.",
            hint=f"Write `from: {surface.name}@{surface.live}` and review the plan again.",
        )
    before = surface.live_content
    after = {**before, **plan.change}
    if not changed_parts(before, after):
        raise Refused(
            f"{plan.to_version} is the same as {plan.from_version}: nothing would change.", hint="See `change.to`."
        )
    if is_version_taken(surface, plan.to_version, after):
        raise Refused(
            start_conditions.explain_name_taken(surface, plan.to_version),
            hint=start_conditions.suggest_free_name(surface),
        )
    planned = e.Planned(
        rollout=rollout.id if rollout and rollout.state is RolloutState.PLANNED else context.new_id,
        plan=plan,
        fingerprint=fingerprint,
        from_content=before,
        to_content=after,
        by=context.by.id,
        baseline=command.baseline or None,
    )
    events: list[e.RolloutEvent] = [planned]
    if plan.approvals.needed:
        made = rollout.requests_made if rollout and rollout.state is RolloutState.PLANNED else 0
        request = e.ApprovalRequested(
            request=f"{planned.rollout}.{made + 1}",
            gate=approval_requests.START_GATE,
            needed=plan.approvals.needed,
            verdict="none",
            expires_at=approval_requests.find_expiry(context),
        )
        events.append(request)
    return events


def _is_outdated(rollout: Rollout, surface: Surface) -> bool:
    """Whether a plan that has not started was made for other contents than its version names have now."""
    if rollout.state is not RolloutState.PLANNED or surface.live != rollout.plan.from_version:
        return False
    other = content_hash(rollout.from_content) != content_hash(surface.live_content)
    return other or is_version_taken(surface, rollout.plan.to_version, rollout.to_content)


def abandon_rollout(rollout: Rollout, command: c.Abandon, context: Context) -> list[e.RolloutEvent]:
    """That a rollout which has not started is given up."""
    if rollout.state is RolloutState.ABANDONED:
        return []
    if rollout.state is not RolloutState.PLANNED:
        raise Refused(
            f"{rollout.id} has begun, so it cannot be abandoned.",
            hint=f"Use /rollout rollback {rollout.id}: it takes seconds.",
        )
    return [e.Abandoned(by=context.by.id, reason=command.reason.strip())]
