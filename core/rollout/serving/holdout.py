"""Holdouts: who keeps the previous version after a rollout is done, until when, and how that ends (pure)."""

from datetime import datetime, timedelta

from core.flags import bucketing
from core.flags import snapshot as flags
from core.flags.placement import MAX_LATENESS
from core.judging.report.horizon import has_fixed_test
from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.models import way_back
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface

STAGE = "holdout"
"""What observations and answers call the time after the end, as if it were a stage after the plan's last one."""


def compute_held_ppm(plan: Plan) -> int:
    """The share of units that is held back, in ppm: those of the highest places, who would come last."""
    return bucketing.percent_to_ppm(plan.holdout.percent) if plan.holdout is not None else 0


def stage_index(plan: Plan) -> int:
    """The index under which observations of the holdout are counted: one after the plan's stages."""
    return len(plan.stages)


def is_holding(rollout: Rollout) -> bool:
    """Whether some units are held back on the previous version now."""
    return rollout.plan.holdout is not None and rollout.state is RolloutState.DONE and rollout.holdout_ended is None


def find_due(rollout: Rollout) -> datetime | None:
    """When those who are held back get the new version by the plan; None where nobody is held back."""
    if rollout.plan.holdout is None or rollout.completed_at is None or not is_holding(rollout):
        return None
    return rollout.completed_at + rollout.plan.holdout.lasts


def find_end(rollout: Rollout) -> datetime | None:
    """When it ended, by itself or because everybody was rolled back; None before that or without a holdout."""
    if rollout.plan.holdout is None or rollout.completed_at is None:
        return None
    if rollout.holdout_ended_at is not None:
        return rollout.holdout_ended_at
    return rollout.ended_at if rollout.state is RolloutState.ROLLED_BACK else None


def end_by_person(rollout: Rollout, command: c.EndHoldout, context: Context) -> list[e.RolloutEvent]:
    """The event by which a person gives everybody the new version, before the time is over; none if it has ended."""
    if rollout.plan.holdout is None:
        raise Refused(f"{rollout.id} holds nobody back.", hint=f"See /rollout status {rollout.id}.")
    if is_holding(rollout):
        return [e.HoldoutEnded(by=context.by.id, cause="person", reason=command.reason.strip())]
    if find_end(rollout) is not None:
        return []
    raise Refused(f"{rollout.id} is not done yet, so nobody is held back.", hint=f"See /rollout status {rollout.id}.")


def end_when_due(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """The event by which it ends because its time is over, or its version can no longer be called."""
    cause = find_due_cause(rollout, context.surface, context.policy, context.at)
    return [e.HoldoutEnded(by=context.by.id, cause=cause, reason="")] if cause else []


def find_due_cause(rollout: Rollout, surface: Surface | None, policy: Policy, at: datetime) -> str:
    """Why it ends now: `time` or `version`; empty if it does not."""
    due = find_due(rollout)
    if due is None:
        return ""
    if way_back.is_way_back_closed(rollout.plan, surface, policy, at):
        return "version"
    return "time" if at >= due else ""


def end_for_start(rollout: Rollout, started: str, by: str) -> e.HoldoutEnded | None:
    """The event by which it ends because another rollout starts on the surface; None if it holds nobody back."""
    return e.HoldoutEnded(by=by, cause="rollout", reason=started) if is_holding(rollout) else None


def is_comparison_due(rollout: Rollout, pulled_within: timedelta, at: datetime) -> bool:
    """Whether it has ended, everything about it has arrived, and its comparison is not recorded yet."""
    end = find_end(rollout)
    return end is not None and rollout.holdout_result is None and at >= end + MAX_LATENESS + pulled_within


def record_comparison(rollout: Rollout, command: c.RecordHoldout) -> list[e.RolloutEvent]:
    """The comparison of those held back with the others, once."""
    if rollout.holdout_result is not None or find_end(rollout) is None or rollout.completed_at is None:
        return []
    return [e.HoldoutCompared(found=command.found)]


def list_deciding_metrics(plan: Plan) -> tuple[str, ...]:
    """The metrics that are compared at its end: those of the limits and of the expectations."""
    limits = [limit for limit in plan.limits if not (limit.is_absolute or limit.is_per_category)]
    named = [*(limit.metric for limit in limits), *(one.metric for one in plan.expectations)]
    metrics = [plan.find_metric(name) for name in dict.fromkeys(named)]
    return tuple(metric.key for metric in metrics if metric is not None and has_fixed_test(metric))


def build_exposure(rollout: Rollout, new: flags.Version) -> flags.Exposure:
    """Who gets which version after the end: those held back are control, everybody else has the new version."""
    return flags.build_exposure(
        rollout=rollout.id,
        live_version=flags.Version(rollout.plan.from_version, rollout.from_content),
        to_version=new,
        stage=STAGE,
        stage_index=stage_index(rollout.plan),
        canary=bucketing.MILLION - compute_held_ppm(rollout.plan),
        matched=False,
        cohort=None,
        past_cohorts=(),
    )


def build_window(rollout: Rollout) -> flags.StageWindow | None:
    """When observations of the holdout count; None before the end of the rollout or without one."""
    if rollout.plan.holdout is None or rollout.completed_at is None:
        return None
    below = bucketing.MILLION - compute_held_ppm(rollout.plan)
    return flags.StageWindow(
        index=stage_index(rollout.plan),
        name=STAGE,
        since=rollout.completed_at,
        until=find_end(rollout),
        counted_from=rollout.completed_at,
        settles_until=rollout.completed_at + MAX_LATENESS / 4,
        exposes=True,
        control_left=True,
        cohort=False,
        canary_below=below,
        control_from=below,
        is_holdout=True,
    )
