"""A person takes the next step, or jumps to a later one, without waiting for the engine."""

from datetime import timedelta
from typing import NoReturn

from core import durations
from core.judging.model.verdict import Hold as HoldVerdict
from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import approval_requests, gate_results, growth_conditions, stage_changes
from core.rollout.decisions.people import blind_spots, break_glass, command_conditions, comparison
from core.rollout.plans.plan import GATE_KINDS, Risk, StageKind
from core.rollout.plans.stage_words import name_stage
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

# the stages in which a few people try the version first
TRIAL_KINDS = frozenset({StageKind.COHORT, StageKind.CANARY, StageKind.AB})


def advance_rollout(rollout: Rollout, command: c.Advance, context: Context) -> list[e.RolloutEvent]:
    """The next stage, or the one with `to_percent`; Refused while it has to wait and no reason is given."""
    command_conditions.require_under_way(rollout, "advance")
    if rollout.state is RolloutState.WAITING:
        missing = approval_requests.describe_missing_approvals(rollout)
        raise Refused(
            f"{rollout.id} is waiting for {missing}. Approvals cannot be skipped.",
            hint="The request with its buttons is in the thread.",
        )
    if rollout.state is not RolloutState.RUNNING:
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}, so it does not grow.",
            hint=f'Resume it first: /rollout resume {rollout.id} "why".',
        )
    if why := growth_conditions.explain_freeze(context):
        raise Refused(f"Nothing can grow right now: {why}. Rolling back still works.")
    reason = comparison.require_horizon(rollout, context, command.reason)
    verdict = rollout.evidence.verdict if rollout.evidence else None
    if isinstance(verdict, HoldVerdict) and any(holds.hold_key(f) not in rollout.overridden for f in verdict.findings):
        raise Refused("A limit is violated.", hint=f"See /rollout metrics {rollout.id}.")
    if command.to_percent is not None:
        return _jump_to_percent(rollout, command.to_percent, reason, context)
    stage = rollout.current_stage
    if stage.kind in GATE_KINDS and not gate_results.is_gate_passed(rollout):
        raise Refused(
            f"Not passed yet: {name_stage(stage)}. Gates cannot be skipped.",
            hint=f"Import its results: rollout evals import FILE --rollout {rollout.id}.",
        )
    _require_limits_shown(rollout, context)
    if not reason.strip():
        _refuse_early_step(rollout, context)
    if (following := rollout.next_stage) is not None and rollout.percent < 100 == following.percent:
        reason = _require_trial(rollout, context, reason)
    return [
        *blind_spots.accept_current(rollout, reason, context),
        *stage_changes.leave_stage(rollout, context, skipped=reason),
    ]


def _refuse_early_step(rollout: Rollout, context: Context) -> NoReturn:
    """Say what the step still waits for, and until when; and how a person goes on without waiting."""
    stage, held = rollout.current_stage, rollout.held_for(context.at)
    waits = []
    if held < stage.min_hold:
        waits.append(
            f"{name_stage(stage)} has run for {durations.format_rounded(held)} of its "
            f"{durations.format_exact(stage.min_hold)}"
        )
    spots = growth_conditions.find_blocking_blind_spots(
        rollout, growth_conditions.current_blind_spots(rollout), context.policy
    )
    waits += [f"{spot.title}: {spot.readings:,} of about {spot.needed:,} readings" for spot in spots[:2] if spot.needed]
    earliest = context.at + (stage.min_hold - held) if held < stage.min_hold else None
    until = f" Earliest: {context.format_time(earliest)}." if earliest is not None else ""
    because = f": {'; '.join(waits)}" if waits else ""
    raise Refused(
        f"Not yet{because}.{until} It continues on its own.",
        hint=f'To go on now, give a reason: /rollout advance {rollout.id} --skip-wait "why" (it will be shown in every '
        "message).",
        earliest=earliest,
        alternative=("Remind me", f"remind-me {rollout.id} --next") if context.by.from_slack else None,
    )


def _jump_to_percent(rollout: Rollout, percent: float, reason: str, context: Context) -> list[e.RolloutEvent]:
    """Skip to a later step. Gates, and stages that the policy does not let be skipped, are never skipped."""
    steps = [
        (i, s) for i, s in enumerate(rollout.plan.stages) if i > rollout.stage_index and s.kind is not StageKind.BAKE
    ]
    target = next(((i, s) for i, s in steps if s.percent == percent), None)
    few = rollout.stage is not None and rollout.stage.kind is StageKind.COHORT  # a percentage of selected people
    now = 0.0 if few else rollout.percent
    if percent <= now:
        raise Refused(f"{rollout.id} is already at {rollout.percent:g} %, and percentages only grow.")
    if target is None:
        there = ", ".join(f"{s.percent:g} %" for _, s in steps if s.percent > now) or "none"
        raise Refused(f"{percent:g} % is not a step of this plan.", hint=f"Steps ahead: {there}.")
    index, stage = target
    between = [s for i, s in steps if i < index]
    if any(s.kind in GATE_KINDS for s in between) or (rollout.stage and rollout.stage.kind in GATE_KINDS):
        raise Refused("There is a gate in between, and gates cannot be skipped.")
    may_skip = context.policy.risk[rollout.plan.risk].may_skip
    skipped_kinds = {s.kind for s in between if s.kind is not StageKind.RAMP}
    if rollout.plan.risk is Risk.HIGH and between:
        raise Refused("A high risk rollout cannot skip a stage.", hint=f"The next step is {between[0].percent:g} %.")
    if forbidden := skipped_kinds - set(may_skip):
        raise Refused(f"A {rollout.plan.risk} risk rollout may not skip {', '.join(sorted(forbidden))}.")
    factor = context.policy.max_step
    big = factor is not None and percent > factor * (now or context.policy.canary_max)
    if big or percent == 100:
        reason = _require_trial(rollout, context, reason)
    if big and not reason.strip():
        whom = f" of {rollout.current_stage.audience}" if few else ""
        raise Refused(
            f"{rollout.percent:g} %{whom} -> {percent:g} % is too big a jump (policy: at most x{factor:g}). "
            f"The next step is {(between[0] if between else stage).percent:g} %.",
            hint='To jump anyway: --skip-wait "why" (it will be shown in every message).',
        )
    _require_limits_shown(rollout, context)
    reason = command_conditions.require_reason(reason, "skipping the wait")
    return [
        *blind_spots.accept_current(rollout, reason, context, stage),
        *stage_changes.leave_stage(rollout, context, skipped=reason, to=index),
    ]


def _require_trial(rollout: Rollout, context: Context, reason: str) -> str:
    """Refuse unless every trial stage (cohort, canary, ab) has held as long as the plan and the policy require.

    A reason skips the wait between steps, not the trial. Trials that the policy allows to skip are not required, and
    members of its `break_glass` groups may go on anyway. Returns the reason to record.
    """
    terms = context.policy.risk[rollout.plan.risk]
    needless = set(terms.may_skip)
    if not any(stage.kind in {StageKind.CANARY, StageKind.AB} for stage in rollout.plan.stages):
        needless -= {StageKind.COHORT}  # the only trial in this plan
    for span in rollout.spans:
        stage = rollout.plan.stages[span.index]
        if stage.kind not in TRIAL_KINDS or stage.kind in needless:
            continue
        under_way = span is rollout.spans[-1]
        held = rollout.held_for(context.at) if under_way else (span.until or context.at) - span.since
        asked = terms.min_canary_hold if stage.kind is StageKind.CANARY else timedelta(0)
        asked = max(asked, stage.min_hold) if under_way else asked
        if held < asked:
            if (loud := break_glass.find_early_step_reason(rollout, context, reason)) is not None:
                return loud
            raise Refused(
                f"Too early: {name_stage(stage)} has run for {durations.format_rounded(held)} of the "
                f"{durations.format_exact(asked)} that it has to. Until then, no reason allows a step to everybody "
                "or one that the policy calls too big.",
                hint=_suggest_smaller_step(rollout),
                earliest=context.at + (asked - held) if under_way else None,
            )
    return reason


def _suggest_smaller_step(rollout: Rollout) -> str:
    """A hint: the next step that is smaller than the refused one, or that nothing has to be done."""
    following = rollout.next_stage
    if following is None or following.percent == 100:
        return f"It continues on its own. Rolling back takes seconds: /rollout rollback {rollout.id}."
    return f'/rollout advance {rollout.id} --skip-wait "why" takes the next step, {following.percent:g} %.'


def _require_limits_shown(rollout: Rollout, context: Context) -> None:
    """Refuse if the policy requires every limit to be shown to be kept and that is not yet the case."""
    if growth_conditions.may_grow(rollout, rollout.evidence.verdict if rollout.evidence else None, context.policy):
        return
    raise Refused(
        "At high risk a rollout grows only when every limit is shown to be kept, and that is not shown yet.",
        hint=f"/rollout metrics {rollout.id} shows what is missing. When the longest hold is over, you will be "
        "asked what to do.",
    )
