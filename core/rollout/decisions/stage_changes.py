"""The events of a start, of a stage that is entered or left, and of a rollback, whoever decides on them."""

from core.judging.model import verdict as v
from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import approval_requests
from core.rollout.serving import conversations, layering, strata
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState


def begin_rollout(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """The events of a start: plan and limits are frozen and the first stage is entered."""
    started = e.Started(fingerprint=rollout.fingerprint, by=context.by.id, layer=layering.allocate(rollout, context))
    return [started, enter_stage(rollout, 0)]


def enter_stage(rollout: Rollout, index: int, skipped: str = "", by: str = "") -> e.StageEntered:
    """Enter the stage with this index."""
    stage = rollout.plan.stages[index]
    return e.StageEntered(
        index=index, name=stage.name, percent=stage.percent, skipped=skipped, skipped_by=by if skipped else None
    )


def leave_stage(
    rollout: Rollout, context: Context, *, skipped: str = "", to: int | None = None
) -> list[e.RolloutEvent]:
    """Leave the current stage: enter the next one (or `to`), ask for its approval, or complete the rollout."""
    index = rollout.stage_index + 1 if to is None else to
    if index >= len(rollout.plan.stages):
        held = strata.hold_at_end(rollout) or layering.hold_before_end(rollout, context.policy)
        if held is not None:
            return [held]
        return [e.Completed(version=rollout.plan.to_version, retired=rollout.plan.from_version)]
    stage = rollout.plan.stages[index]
    needed = approval_requests.count_approvals_needed(rollout, stage)
    if needed and not (
        rollout.request and rollout.request.gate == stage.name and approval_requests.is_approved(rollout)
    ):
        return [approval_requests.build_approval_request(rollout, stage.name, needed, context, skipped)]
    return [enter_stage(rollout, index, skipped, context.by.id)]


def build_rolled_back(
    rollout: Rollout,
    context: Context,
    *,
    reason: str,
    findings: tuple[v.Finding, ...],
    look: c.LookResult | None = None,
) -> e.RolledBack:
    """The event after which everyone gets the previous version."""
    requests, units = _count_exposed(rollout, look)
    stage = rollout.stage
    since = rollout.stage_since
    exposed = stage is not None and stage.has_exposure and since is not None and rollout.state is not RolloutState.DONE
    return e.RolledBack(
        by=context.by.id,
        reason=reason,
        findings=findings,
        version=rollout.plan.from_version,
        after_done=rollout.state is RolloutState.DONE,
        verdict_seconds=(context.at - since).total_seconds() if exposed and since else None,
        judged_seconds=look.judged_seconds if look else None,
        exposed_requests=requests,
        exposed_units=units,
        finishing=conversations.may_finish_after(rollout, findings=bool(findings)) or None,
    )


def _count_exposed(rollout: Rollout, look: c.LookResult | None) -> tuple[int, int]:
    """(requests, units) of the new version in all stages, by this look or else by the last recorded evidence."""
    if look is not None:
        return look.judgement.exposed_requests, look.judgement.exposed_units
    last = rollout.evidence
    if last is None:
        return 0, 0
    if last.exposed_requests is None or last.exposed_units is None:  # recorded before these were
        return last.canary_requests, last.canary_units
    return last.exposed_requests, last.exposed_units
