"""Going on although something is missing: who may, what it passes over, what it never does, and that it is reviewed."""

from core.judging.model.verdict import Hold as HoldVerdict
from core.judging.model.verdict import RollBack as RollBackVerdict
from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import approval_requests, gate_results, growth_conditions, stage_changes, start_conditions
from core.rollout.decisions.reviewing import BREAK_GLASS_MARK
from core.rollout.plans.plan import GATE_KINDS, StageKind
from core.rollout.plans.policy import BreakGlass
from core.rollout.plans.stage_words import name_stage
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState


def break_glass(rollout: Rollout, command: c.ForceForward, context: Context) -> list[e.RolloutEvent]:
    """The events of a start or a step without approvals, lead times, waits and freezes.

    Gates, a broken limit, and another rollout on the AI feature, on its flag or on its users are never passed over.
    """
    terms = _require_breaker(context)
    reason = command.reason.strip()
    if len(reason) < terms.reason_min_chars:
        raise Refused(
            f"Give a reason of at least {terms.reason_min_chars} characters: everybody reads it.",
            hint=f'/rollout break-glass {rollout.id} {command.action or "advance"} "why"',
        )
    match command.action:
        case "start":
            steps, passed = _start(rollout, context), _list_missing_before_start(rollout, context)
        case "advance":
            steps, passed = (
                _advance(rollout, command, reason, context, terms),
                _list_missing_before_step(rollout, context),
            )
        case _:
            raise Refused(
                "Break the glass to do what?", hint=f'/rollout break-glass {rollout.id} advance "why", or start.'
            )
    due = context.at + terms.review_within
    broken = e.GlassBroken(
        by=context.by.id, reason=reason, action=command.action, passed_over=tuple(passed), review_due=due
    )
    return [broken, *steps]


def _require_breaker(context: Context) -> BreakGlass:
    """The terms of the policy; Refused unless the actor is in one of its groups."""
    terms = context.policy.break_glass
    if terms is None:
        raise Refused(
            "The policy does not allow anybody to break the glass.",
            hint="It would name the groups that may, under break_glass.",
            code="forbidden",
        )
    if not set(terms.groups) & set(context.by.groups):
        raise Refused(
            f"Only {' or '.join(terms.groups)} can break the glass.",
            hint="You can still pause or roll back.",
            code="forbidden",
        )
    return terms


def _start(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    if rollout.state is not RolloutState.PLANNED:
        raise Refused(f"{rollout.id} has started or ended already.", hint=f"See /rollout status {rollout.id}.")
    start_conditions.check_base(rollout, context)
    if context.other_rollouts_on_surface:
        others = ", ".join(context.other_rollouts_on_surface)
        raise Refused(
            f"{rollout.plan.surface} is already changing ({others}). Two changes at once can't be told apart, so "
            "this is never passed over.",
            hint=f"Roll back {others} first: it takes seconds.",
        )
    start_conditions.check_overlap(rollout, context)
    if context.bundle_waits:
        raise Refused(
            f"{context.bundle_waits[0]} That is never passed over, as it would start others unready.",
            hint="Apply the bundle without it: then it moves alone.",
        )
    return stage_changes.begin_rollout(rollout, context)


def _list_missing_before_start(rollout: Rollout, context: Context) -> list[str]:
    """What the start would still have waited for."""
    missing = []
    if approval_requests.needs_start_approval(rollout) and not approval_requests.is_approved(rollout):
        missing.append(approval_requests.describe_missing_approvals(rollout) if rollout.request else "approval")
    earliest = start_conditions.find_earliest_start(rollout, context.at)
    if earliest is not None and earliest[0] > context.at:
        missing.append(f"the notice to {earliest[1]}")
    if (frozen := context.policy.find_freeze(context.at)) is not None:
        missing.append(f"the freeze: {frozen[0]}")
    return missing


def _advance(
    rollout: Rollout, command: c.ForceForward, reason: str, context: Context, terms: BreakGlass
) -> list[e.RolloutEvent]:
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING}:
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}, so it does not grow.",
            hint=f'Resume it first: /rollout resume {rollout.id} "why".',
        )
    _refuse_broken_limit(rollout)
    index = _find_target(rollout, command.to_percent)
    between = rollout.plan.stages[rollout.stage_index : index]
    if any(stage.kind in GATE_KINDS for stage in between) and not (
        len(between) == 1 and gate_results.is_gate_passed(rollout)
    ):
        raise Refused("There is a gate that has not passed, and gates cannot be skipped.")
    due = context.format_time(context.at + terms.review_within)
    marked = f"{reason} {BREAK_GLASS_MARK}; to be reviewed by {due})"
    return [stage_changes.enter_stage(rollout, index, marked, context.by.id)]


def _refuse_broken_limit(rollout: Rollout) -> None:
    verdict = rollout.evidence.verdict if rollout.evidence else None
    broken = isinstance(verdict, HoldVerdict) and any(
        holds.hold_key(finding) not in rollout.overridden for finding in verdict.findings
    )
    if broken or isinstance(verdict, RollBackVerdict):
        raise Refused("A limit is violated, which is never passed over.", hint=f"See /rollout metrics {rollout.id}.")


def _find_target(rollout: Rollout, percent: float | None) -> int:
    """The index of the next stage, or of the step with this percentage."""
    if percent is None:
        if rollout.next_stage is None:
            raise Refused(f"{rollout.id} is in its last stage: it ends on its own.")
        return rollout.stage_index + 1
    ahead = [
        (index, stage)
        for index, stage in enumerate(rollout.plan.stages)
        if index > rollout.stage_index and stage.kind is not StageKind.BAKE
    ]
    found = next((index for index, stage in ahead if stage.percent == percent), None)
    if found is None:
        steps = ", ".join(f"{stage.percent:g} %" for _, stage in ahead if stage.has_exposure) or "none"
        raise Refused(f"{percent:g} % is not a step of this plan.", hint=f"Steps ahead: {steps}.")
    return found


def _list_missing_before_step(rollout: Rollout, context: Context) -> list[str]:
    """What the step would still have waited for."""
    missing = []
    if rollout.request is not None and not approval_requests.is_approved(rollout):
        missing.append(approval_requests.describe_missing_approvals(rollout))
    if rollout.held_for(context.at) < rollout.current_stage.min_hold:
        missing.append(f"the wait in {name_stage(rollout.current_stage)}")
    if why := growth_conditions.find_growth_block(context):
        missing.append(why)
    spots = growth_conditions.find_blocking_blind_spots(
        rollout, growth_conditions.current_blind_spots(rollout), context.policy
    )
    if spots:
        missing.append("harm that could still have been missed")
    return missing


def find_early_step_reason(rollout: Rollout, context: Context, reason: str) -> str | None:
    """The reason to record for a person who may go on before the trial has held, with the date of its review.

    None for everyone else. Refused if the reason is too short.
    """
    terms = context.policy.break_glass
    if terms is None or not set(terms.groups) & set(context.by.groups):
        return None
    if len(reason.strip()) < terms.reason_min_chars:
        raise Refused(
            f"To go on before {rollout.id} has been tried, give a reason of at least {terms.reason_min_chars} "
            "characters.",
            hint='Give a longer reason: --skip-wait "why" (it will be shown in every message).',
        )
    due = context.format_time(context.at + terms.review_within)
    return f"{reason.strip()} {BREAK_GLASS_MARK}; to be reviewed by {due})"
