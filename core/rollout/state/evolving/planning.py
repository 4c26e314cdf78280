"""What plans, starts that are planned, and bundles change in a rollout."""

from datetime import datetime
from typing import assert_never

from core.rollout.plans.renewal import PlanRenewal
from core.rollout.state import events as e
from core.rollout.state.evolving.endings import end_rollout
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout, RolloutState


def evolve_planning(rollout: Rollout, event: e.PlanningEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`."""
    match event:
        case e.Planned():
            return begin_rollout(rollout, event, at)
        case e.StartScheduled():
            return replace(rollout, start=event.start)
        case e.BaseChanged():
            return replace(rollout, live_instead="" if event.live == rollout.plan.from_version else event.live)
        case e.Abandoned():
            return end_rollout(rollout, RolloutState.ABANDONED, at)
        case e.Bundled():
            return replace(rollout, bundle=event)
        case e.Unbundled():
            return replace(rollout, bundle=None)
        case e.BundleNotFollowed():
            return replace(rollout, not_followed=rollout.not_followed | {event.cause})
        case _:
            assert_never(event)


def begin_rollout(before: Rollout | None, event: e.Planned, at: datetime) -> Rollout:
    """The rollout that is planned at `at`; `before` is what was planned under its id, if anything was."""
    if event.renewal is not None and before is not None:
        return _renew_plan(before, event, event.renewal)
    return Rollout(
        id=event.rollout,
        plan=event.plan,
        fingerprint=event.fingerprint,
        from_content=event.from_content,
        to_content=event.to_content,
        state=RolloutState.PLANNED,
        planned_at=at,
        planned_by=event.by,
        baseline=event.baseline or "",
        planners=(*(before.planners if before else ()), event.by),
        start=event.plan.start,
        messages=before.messages if before else {},
        requests_made=before.requests_made if before else 0,
        open_concerns=before.open_concerns if before else (),
        reminders=before.reminders if before else {},
        bundle=before.bundle if before else None,
    )


def _renew_plan(before: Rollout, event: e.Planned, renewal: PlanRenewal) -> Rollout:
    """The rollout on another base. It keeps its place in the queue, and its notices: what people notice is the same."""
    kept = (f"notice:{before.fingerprint}:", f"direct:{before.fingerprint}:")
    told = {
        key.replace(before.fingerprint, event.fingerprint, 1): posted
        for key, posted in before.messages.items()
        if key.startswith(kept)
    }
    return replace(
        before,
        plan=event.plan,
        fingerprint=event.fingerprint,
        from_content=event.from_content,
        to_content=event.to_content,
        baseline=event.baseline or "",
        live_instead="",
        renewal=renewal,
        messages={**before.messages, **told},
        request=None,
        approvals=(),
        evals={},
    )
