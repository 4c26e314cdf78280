"""What a command does to a rollout: the events that follow, or a refusal that says why and what to do next."""

from datetime import timedelta
from typing import NoReturn

from core import durations
from core.flags import bucketing
from core.judging.model.verdict import BlindSpot
from core.judging.model.verdict import Hold as HoldVerdict
from core.rollout import commands as c
from core.rollout import permission
from core.rollout.context import Context, is_same_person, slack_user_in
from core.rollout.decisions import break_glass, engine_decisions, gating, reviewing
from core.rollout.models import way_back
from core.rollout.plans.plan import GATE_KINDS, Risk, Stage, StageKind, changed_parts, content_hash
from core.rollout.refusal import Conflict, Refused
from core.rollout.serving import code_reverts
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import TERMINAL_STATES, UNDER_WAY_STATES, Rollout, RolloutState
from core.rollout.state.surface import Surface, is_version_taken

MOST_MOVED_BACK = 1_000  # units of one rollout that people move back one by one
FELT_OFF_PEOPLE_TO_HOLD = 2  # different people who report that it feels off
# the stages in which a few people try the version first
TRIAL_KINDS = frozenset({StageKind.COHORT, StageKind.CANARY, StageKind.AB})
LONGEST_START_DELAY = timedelta(days=366)


def decide(rollout: Rollout | None, command: c.RolloutCommand, context: Context) -> list[e.RolloutEvent]:
    """The events that follow from `command`; none if what it asks for is already the case.

    Raises `Refused` with a message for the person who asked.
    """
    permission.check(rollout, command, context)
    if isinstance(command, c.PlanRollout):
        return _plan_rollout(rollout, command, context)
    assert rollout is not None, "the service answers for what does not exist"
    return reviewing.add_request(rollout, _decide_command(rollout, command, context), context)


def _decide_command(
    rollout: Rollout, command: c.PersonCommand | c.EngineCommand, context: Context
) -> list[e.RolloutEvent]:
    match command:
        case c.Start():
            return _start_rollout(rollout, command, context)
        case c.Approve():
            return _approve_request(rollout, command, context)
        case c.Reject():
            return _reject_request(rollout, command, context)
        case c.Advance():
            return _advance_rollout(rollout, command, context)
        case c.Decide():
            return _decide_comparison(rollout, command, context)
        case c.Pause():
            return _pause_rollout(rollout, command, context)
        case c.Resume():
            return _resume_rollout(rollout, command, context)
        case c.RollBack():
            return _roll_back(rollout, command, context)
        case c.ExplainRollback():
            return _explain_rollback(rollout, command, context)
        case c.Abandon():
            return _abandon_rollout(rollout, command, context)
        case c.AcknowledgeNotice():
            return _acknowledge_notice(rollout, command, context)
        case c.RaiseConcern():
            return [
                e.ConcernRaised(
                    notice=command.notice,
                    by=context.by.id,
                    handle=context.by.name,
                    text=_require_reason(command.text, "the concern"),
                )
            ]
        case c.AnswerConcerns():
            return _answer_concerns(rollout, command, context)
        case c.RequestReminder():
            return _request_reminder(rollout, command, context)
        case c.FeelsOff():
            return _record_felt_off(rollout, command, context)
        case c.ConfirmReverted():
            return code_reverts.confirm(rollout, command, context)
        case c.MoveBack():
            return _move_back(rollout, command, context)
        case c.RequestApproval():
            return _request_approval_again(rollout, context)
        case c.ForceForward():
            return break_glass.break_glass(rollout, command, context)
        case c.SubmitReview():
            return reviewing.submit_review(rollout, command, context)
        case c.ReportComplaint():
            return _report_complaint(rollout, command, context)
        case c.RecordEval():
            return _record_eval(rollout, command, context)
        case _:
            return engine_decisions.decide(rollout, command, context)


def _require_reason(text: str, what: str) -> str:
    """The reason without surrounding space. Refused if it is empty; `what` names the action."""
    if not text.strip():
        raise Refused(f"Please give a reason for {what}.", hint='Add it in quotes: "…".')
    return text.strip()


def _require_under_way(rollout: Rollout, verb: str) -> None:
    """Refuse unless the rollout has started and not ended; `verb` names the action."""
    if rollout.state not in UNDER_WAY_STATES:
        started = (
            "has not started" if rollout.state is RolloutState.PLANNED else f"is {rollout.state.replace('_', ' ')}"
        )
        raise Refused(
            f"{rollout.id} {started}, so there is nothing to {verb}.", hint=f"See /rollout status {rollout.id}."
        )


def _plan_rollout(rollout: Rollout | None, command: c.PlanRollout, context: Context) -> list[e.RolloutEvent]:
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
            gating.explain_name_taken(surface, plan.to_version),
            hint=gating.suggest_free_name(surface),
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
            gate=gating.START_GATE,
            needed=plan.approvals.needed,
            verdict="none",
            expires_at=context.at + context.policy.approval_expires,
        )
        events.append(request)
    return events


def _is_outdated(rollout: Rollout, surface: Surface) -> bool:
    """Whether a plan that has not started was made for other contents than its version names have now."""
    if rollout.state is not RolloutState.PLANNED or surface.live != rollout.plan.from_version:
        return False
    other = content_hash(rollout.from_content) != content_hash(surface.live_content)
    return other or is_version_taken(surface, rollout.plan.to_version, rollout.to_content)


def _start_rollout(rollout: Rollout, command: c.Start, context: Context) -> list[e.RolloutEvent]:
    if rollout.started_at is not None:
        if rollout.is_under_way:
            return []
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}. To try again, plan a new rollout.",
            hint="Give the file another name in `rollout:` and apply it.",
        )
    if rollout.state is RolloutState.ABANDONED:
        raise Refused(f"{rollout.id} was abandoned.", hint="Apply its file again to plan it anew.")
    if command.then is not None:
        if command.then > context.at + LONGEST_START_DELAY:
            raise Refused("That is more than a year away.", hint="Apply the file again closer to the time.")
        earliest = gating.find_earliest_start(rollout, context.at)
        start = max(command.then, context.at, earliest[0] if earliest else context.at)
        return [e.StartScheduled(start=start, by=context.by.id)]
    base = context.surface.live if context.surface is not None else ""
    queues = command.queue or context.policy.when_busy == "queue"
    if context.other_rollouts_on_surface and queues and base == rollout.plan.from_version:
        if rollout.start is not None and rollout.start <= context.at:
            return []
        return [e.StartScheduled(start=context.at, by=context.by.id)]  # it starts once the surface is free
    gating.check_start(rollout, context)
    return engine_decisions.begin_rollout(rollout, context)


def _require_open_request(rollout: Rollout, asked: str) -> e.ApprovalRequested:
    """The open approval request. Refused if there is none; Conflict if `asked` names another one."""
    request = rollout.request
    if request is None:
        if rollout.state in TERMINAL_STATES:
            raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}; there is nothing left to approve.")
        raise Refused(f"{rollout.id} is not waiting for an approval.", hint=f"See /rollout status {rollout.id}.")
    if asked and asked != request.request:
        raise Conflict(
            f"The plan or the evidence changed since this request ({asked} is now {request.request}). "
            "Nothing was applied.",
            hint="Look at the newest request in the thread.",
        )
    return request


def _request_approval_again(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """A new request in place of the open one, so that it stands at the end of the thread and is mentioned again."""
    request = rollout.request
    if request is None:
        why = (
            "needs no approval now" if rollout.state not in TERMINAL_STATES else f"is {rollout.state.replace('_', ' ')}"
        )
        raise Refused(f"{rollout.id} {why}.", hint="It asks on its own before a step that needs one.")
    if gating.is_approved(rollout):
        raise Refused(f"{rollout.id} is approved already.", hint=f"See /rollout status {rollout.id}.")
    if rollout.approvals:
        given = ", ".join(approval.handle for approval in rollout.approvals)
        raise Refused(
            f"{given} approved the open request already, and a new one would drop that.",
            hint="The request with its buttons is in the thread.",
        )
    return [gating.build_approval_request(rollout, request.gate, request.needed, context, request.skipped or "")]


def _approve_request(rollout: Rollout, command: c.Approve, context: Context) -> list[e.RolloutEvent]:
    request, by = _require_open_request(rollout, command.request), context.by
    if any(is_same_person(a.by, by.id) for a in rollout.approvals):
        return []
    if gating.is_approved(rollout):
        names = ", ".join(a.handle for a in rollout.approvals)
        raise Conflict(f"{names} already approved this. No further approval is needed.")
    if context.at > request.expires_at:
        raise Refused("This request has expired. Nothing was applied.", hint="A new request will appear in the thread.")
    return [e.Approved(request=request.request, by=by.id, handle=by.name, groups=by.groups, note=command.note.strip())]


def _reject_request(rollout: Rollout, command: c.Reject, context: Context) -> list[e.RolloutEvent]:
    request = _require_open_request(rollout, command.request)
    reason = _require_reason(command.reason, "the rejection")
    rejected = e.Rejected(request=request.request, by=context.by.id, reason=reason)
    if rollout.state is RolloutState.PLANNED:
        new_request = gating.build_approval_request(rollout, request.gate, request.needed, context)
        return [rejected, new_request]
    # Who rejected it and why is only in the rejection, where it is encrypted.
    held = e.Held(key=f"rejected:{request.request}", text=f"{request.gate} was rejected; the reason is in the thread")
    return [rejected, held]


def _advance_rollout(rollout: Rollout, command: c.Advance, context: Context) -> list[e.RolloutEvent]:
    _require_under_way(rollout, "advance")
    if rollout.state is RolloutState.WAITING:
        raise Refused(
            f"{rollout.id} is waiting for {gating.describe_missing_approvals(rollout)}. Approvals cannot be skipped.",
            hint="The request with its buttons is in the thread.",
        )
    if rollout.state is not RolloutState.RUNNING:
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}, so it does not grow.",
            hint=f'Resume it first: /rollout resume {rollout.id} "why".',
        )
    if (why := gating.find_growth_block(context)) and why != "quiet hours":
        raise Refused(f"Nothing can grow right now: {why}. Rolling back still works.")
    reason = _require_horizon(rollout, context, command.reason)
    verdict = rollout.evidence.verdict if rollout.evidence else None
    if isinstance(verdict, HoldVerdict) and any(holds.hold_key(f) not in rollout.overridden for f in verdict.findings):
        raise Refused("A limit is violated.", hint=f"See /rollout metrics {rollout.id}.")
    if command.to_percent is not None:
        return _jump_to_percent(rollout, command.to_percent, reason, context)
    stage = rollout.current_stage
    if stage.kind in GATE_KINDS and not engine_decisions.is_gate_passed(rollout):
        raise Refused(
            f"The {stage.name} gate has not passed yet, and gates cannot be skipped.",
            hint=f"Import its results: rollout evals import FILE --rollout {rollout.id}.",
        )
    _require_limits_shown(rollout, context)
    if not reason.strip():
        _refuse_early_step(rollout, context)
    if (following := rollout.next_stage) is not None and rollout.percent < 100 == following.percent:
        reason = _require_trial(rollout, context, reason)
    return [
        *_accept_current_blind_spots(rollout, reason, context),
        *engine_decisions.leave_stage(rollout, context, skipped=reason),
    ]


def _refuse_early_step(rollout: Rollout, context: Context) -> NoReturn:
    """Say what the step still waits for, and until when; and how a person goes on without waiting."""
    stage, held = rollout.current_stage, rollout.held_for(context.at)
    waits = []
    if held < stage.min_hold:
        waits.append(
            f"{stage.name} has held for {durations.format_rounded(held)} of {durations.format_exact(stage.min_hold)}"
        )
    spots = gating.find_blocking_blind_spots(rollout, gating.current_blind_spots(rollout), context.policy)
    waits += [f"{spot.title}: {spot.readings:,} of about {spot.needed:,} readings" for spot in spots[:2] if spot.needed]
    earliest = context.at + (stage.min_hold - held) if held < stage.min_hold else None
    until = f" Earliest: {gating.format_time(earliest, context)}." if earliest is not None else ""
    because = f": {'; '.join(waits)}" if waits else ""
    raise Refused(
        f"Not yet{because}.{until} It continues on its own.",
        hint=f'To go on now, give a reason: /rollout advance {rollout.id} --skip-wait "why" (it will be shown in every '
        "message).",
        earliest=earliest,
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
        raise Refused(
            f"{rollout.percent:g} % -> {percent:g} % is too big a jump (policy: at most x{factor:g}). "
            f"The next step is {(between[0] if between else stage).percent:g} %.",
            hint='To jump anyway: --skip-wait "why" (it will be shown in every message).',
        )
    _require_limits_shown(rollout, context)
    reason = _require_reason(reason, "skipping the wait")
    return [
        *_accept_current_blind_spots(rollout, reason, context, stage),
        *engine_decisions.leave_stage(rollout, context, skipped=reason, to=index),
    ]


def _require_horizon(rollout: Rollout, context: Context, reason: str) -> str:
    """Refuse to end a long comparison before its horizon; nobody wins early. Returns the reason to record.

    Members of the policy's `break_glass` groups may go on anyway.
    """
    if not rollout.current_stage.is_decided_at_end or rollout.stage_index in rollout.decisions:
        return reason
    if (loud := _find_break_glass_reason(rollout, context, reason)) is not None:
        return loud
    raise _refuse_early_decision(rollout, context)


def _refuse_early_decision(rollout: Rollout, context: Context) -> Refused:
    """The refusal to decide a long comparison that is not over."""
    left = rollout.current_stage.min_hold - rollout.held_for(context.at)
    earliest = context.at + left if left > timedelta(0) else None
    when = f"until {gating.format_time(earliest, context)}" if earliest else "until its sample is complete"
    return Refused(
        f"{rollout.id} is compared {when}. Nobody wins early: differences of the first days often vanish.",
        hint=f"Harm ends it at any time, and so does /rollout rollback {rollout.id}.",
        earliest=earliest,
    )


def _decide_comparison(rollout: Rollout, command: c.Decide, context: Context) -> list[e.RolloutEvent]:
    """A person's decision on a long comparison. The next step follows at the next look, unless something holds it."""
    _require_under_way(rollout, "decide")
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
    reason = _require_reason(command.reason, "the decision")
    event = e.ComparisonDecided(stage=index, keep=command.keep, advice=ended.advice, by=context.by.id, reason=reason)
    if command.keep:
        return [event]
    return [event, engine_decisions.build_rolled_back(rollout, context, reason=reason, findings=())]


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
            if (loud := _find_break_glass_reason(rollout, context, reason)) is not None:
                return loud
            raise Refused(
                f"{stage.name} has held for {durations.format_rounded(held)} of {durations.format_exact(asked)}. Until "
                "then, no reason allows a step to everybody or one that the policy calls too big.",
                hint=_suggest_smaller_step(rollout),
                earliest=context.at + (asked - held) if under_way else None,
            )
    return reason


def _find_break_glass_reason(rollout: Rollout, context: Context, reason: str) -> str | None:
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
    due = gating.format_time(context.at + terms.review_within, context)
    return f"{reason.strip()} {reviewing.BREAK_GLASS_MARK}; to be reviewed by {due})"


def _suggest_smaller_step(rollout: Rollout) -> str:
    """A hint: the next step that is smaller than the refused one, or that nothing has to be done."""
    following = rollout.next_stage
    if following is None or following.percent == 100:
        return f"It continues on its own. Rolling back takes seconds: /rollout rollback {rollout.id}."
    return f'/rollout advance {rollout.id} --skip-wait "why" takes the next step, {following.percent:g} %.'


def _accept_current_blind_spots(
    rollout: Rollout, reason: str, context: Context, to: Stage | None = None
) -> list[e.RolloutEvent]:
    """The acceptance of what could have been missed, where a person does not wait for it; empty if there is nothing."""
    spots = gating.find_blocking_blind_spots(rollout, gating.current_blind_spots(rollout), context.policy, to)
    return [_build_blind_spots_accepted(rollout, reason, spots, context, lasting=False)] if spots else []


def _build_blind_spots_accepted(
    rollout: Rollout, reason: str, spots: tuple[BlindSpot, ...], context: Context, *, lasting: bool
) -> e.BlindSpotsAccepted:
    """The event by which a person accepts these blind spots."""
    stage = rollout.current_stage
    return e.BlindSpotsAccepted(by=context.by.id, reason=reason, stage=stage.name, lasting=lasting, spots=spots)


def _require_limits_shown(rollout: Rollout, context: Context) -> None:
    """Refuse if the policy requires every limit to be shown to be kept and that is not yet the case."""
    if gating.may_grow(rollout, rollout.evidence.verdict if rollout.evidence else None, context.policy):
        return
    raise Refused(
        "At high risk a rollout grows only when every limit is shown to be kept, and that is not shown yet.",
        hint=f"/rollout metrics {rollout.id} shows what is missing. When the longest hold is over, you will be "
        "asked what to do.",
    )


def _pause_rollout(rollout: Rollout, command: c.Pause, context: Context) -> list[e.RolloutEvent]:
    _require_under_way(rollout, "pause")
    if rollout.state is RolloutState.PAUSED:
        return []
    return [e.Paused(by=context.by.id, reason=command.reason.strip())]


def _resume_rollout(rollout: Rollout, command: c.Resume, context: Context) -> list[e.RolloutEvent]:
    if rollout.state is RolloutState.RUNNING:
        return []
    if rollout.state is RolloutState.PAUSED:
        return [e.Resumed(by=context.by.id, reason=command.reason.strip())]
    if rollout.state is RolloutState.ON_HOLD:
        assert rollout.hold is not None
        if rollout.hold.key.startswith(holds.DECISION):
            raise Refused(
                f"The comparison of {rollout.id} is over and waits for a decision.",
                hint=f'/rollout decide {rollout.id} keep "why", or /rollout decide {rollout.id} back "why".',
            )
        reason = _require_reason(command.reason, "resuming after a hold")
        resumed = e.Resumed(by=context.by.id, reason=reason, overrides=rollout.hold.key)
        if rollout.hold.key != holds.UNREAD and not rollout.hold.key.startswith(holds.UNDECIDED):
            return [resumed]
        spots = gating.find_blocking_blind_spots(rollout, gating.current_blind_spots(rollout), context.policy)
        if rollout.hold.key == holds.UNREAD:
            spots = gating.select_unread(spots)
        return (
            [resumed, _build_blind_spots_accepted(rollout, reason, spots, context, lasting=True)]
            if spots
            else [resumed]
        )
    _require_under_way(rollout, "resume")
    raise Refused(f"{rollout.id} is waiting for {gating.describe_missing_approvals(rollout)}; it is not paused.")


def _roll_back(rollout: Rollout, command: c.RollBack, context: Context) -> list[e.RolloutEvent]:
    match rollout.state:
        case RolloutState.ROLLED_BACK | RolloutState.ABANDONED:
            return []  # already safe: rolling back twice is not an error
        case RolloutState.PLANNED:
            return [e.Abandoned(by=context.by.id, reason=command.reason.strip() or "rolled back before it started")]
        case RolloutState.DONE:
            surface = context.known_surface
            if surface.live != rollout.plan.to_version or surface.live_by != rollout.id:
                raise Refused(
                    f"{surface.live} ({surface.live_by or 'applied'}) went live on {surface.name} after {rollout.id}.",
                    hint=f"Roll back {surface.live_by} instead." if surface.live_by else "",
                )
    if rollout.percent and way_back.is_way_back_closed(rollout.plan, context.policy, context.at):
        raise Refused(
            f"{way_back.explain_closed_way_back(rollout.plan)}. Nothing was changed.",
            hint=way_back.suggest_way_back(rollout, context.surface),
            code="conflict",
        )
    return [engine_decisions.build_rolled_back(rollout, context, reason=command.reason.strip(), findings=())]


def _explain_rollback(rollout: Rollout, command: c.ExplainRollback, context: Context) -> list[e.RolloutEvent]:
    if rollout.rollback is None:
        raise Refused(f"{rollout.id} was not rolled back, so there is nothing to explain.")
    if command.cause not in c.ROLLBACK_CAUSES:
        raise Refused(
            f'"{command.cause[:40]}" is not a cause of a rollback.', hint=f"Causes: {', '.join(c.ROLLBACK_CAUSES)}."
        )
    reason = command.reason.strip()
    if command.cause == "other":
        reason = _require_reason(reason, "the rollback")
    known = rollout.explanation
    if known is not None and (known.cause, known.reason) == (command.cause, reason):
        return []
    return [e.RollbackExplained(by=context.by.id, handle=context.by.name, cause=command.cause, reason=reason)]


def _abandon_rollout(rollout: Rollout, command: c.Abandon, context: Context) -> list[e.RolloutEvent]:
    if rollout.state is RolloutState.ABANDONED:
        return []
    if rollout.state is not RolloutState.PLANNED:
        raise Refused(
            f"{rollout.id} has begun, so it cannot be abandoned.",
            hint=f"Use /rollout rollback {rollout.id}: it takes seconds.",
        )
    return [e.Abandoned(by=context.by.id, reason=command.reason.strip())]


def _acknowledge_notice(rollout: Rollout, command: c.AcknowledgeNotice, context: Context) -> list[e.RolloutEvent]:
    keys = {n.key: n for n in rollout.plan.stakeholder_notices}
    key = command.notice
    if not key:
        open_keys = [k for k, n in keys.items() if n.channel == context.by.channel] or list(keys)
        key = open_keys[0] if len(open_keys) == 1 else ""
    if key not in keys:
        raise Refused(f"{rollout.id} has no such notice.", hint=f"Its notices: {', '.join(keys) or 'none'}.")
    if rollout.notice_posted_at(key) is None:
        raise Refused("That notice has not been posted yet, so nobody can have read it.")
    if any(is_same_person(who, context.by.id) for who in rollout.acknowledged_by.get(key, ())):
        return []
    return [e.NoticeAcknowledged(notice=key, by=context.by.id, handle=context.by.name)]


def _answer_concerns(rollout: Rollout, command: c.AnswerConcerns, context: Context) -> list[e.RolloutEvent]:
    if not rollout.open_concerns:
        raise Refused(f"Nobody has a concern about {rollout.id} that waits for an answer.")
    text = _require_reason(command.text, "the answer")
    return [e.ConcernsAnswered(by=context.by.id, handle=context.by.name, text=text)]


def _request_reminder(rollout: Rollout, command: c.RequestReminder, context: Context) -> list[e.RolloutEvent]:
    if not slack_user_in(context.by.id):
        raise Refused("Only somebody in Slack can be reminded there.")
    if rollout.state in TERMINAL_STATES:
        raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}, so there is nothing left to wait for.")
    if any(is_same_person(who, context.by.id) for who in rollout.reminders):
        return []
    return [e.ReminderRequested(notice=command.notice, by=context.by.id)]


def _record_felt_off(rollout: Rollout, command: c.FeelsOff, context: Context) -> list[e.RolloutEvent]:
    _require_under_way(rollout, "doubt")
    if any(is_same_person(who, context.by.id) for who in rollout.felt_off):
        return []
    felt = e.FeltOff(by=context.by.id, handle=context.by.name, text=command.text.strip())
    if (
        len(rollout.felt_off) + 1 < FELT_OFF_PEOPLE_TO_HOLD
        or rollout.state is not RolloutState.RUNNING
        or "felt_off" in rollout.overridden
    ):
        return [felt]
    return [felt, e.Held(key="felt_off", text=f"{len(rollout.felt_off) + 1} people say the new version feels off")]


def _move_back(rollout: Rollout, command: c.MoveBack, context: Context) -> list[e.RolloutEvent]:
    if not command.unit:
        raise Refused("Whom? Name the customer by the id that your application uses.", code="invalid")
    if rollout.state is RolloutState.DONE:
        raise Refused(
            f"Everyone gets {rollout.plan.to_version} by now, so nobody can be moved back alone.",
            hint=f"To give everyone {rollout.plan.from_version} again: /rollout rollback {rollout.id}.",
        )
    _require_under_way(rollout, "move back")
    if (driven := rollout.plan.drives) is not None:
        raise Refused(f"{driven.title} decides who gets which version. Move the customer back there.")
    unit_hash = f"{_hash_unit(rollout, command.unit):016x}"
    if unit_hash in rollout.moved_back:
        return []
    if len(rollout.moved_back) >= MOST_MOVED_BACK:
        raise Refused(
            f"{MOST_MOVED_BACK:,} customers were moved back already. If it is wrong for so many, roll back.",
            hint=f"/rollout rollback {rollout.id} takes seconds.",
        )
    version = rollout.plan.from_version
    return [e.UnitMovedBack(by=context.by.id, unit_hash=unit_hash, version=version, reason=command.reason.strip())]


def _report_complaint(rollout: Rollout, command: c.ReportComplaint, context: Context) -> list[e.RolloutEvent]:
    if rollout.started_at is None:
        raise Refused(
            f"{rollout.id} has not started, so no customer has met its new version.",
            hint="Use the button “I have a concern” on its notice, or name another rollout with --id.",
        )
    text = _require_reason(command.text, "the complaint")
    unit_hash = f"{_hash_unit(rollout, command.unit):016x}" if command.unit else ""
    return [
        e.ComplaintReported(
            by=context.by.id,
            handle=context.by.name,
            text=text,
            arm=command.arm,
            version=command.version,
            unit_hash=unit_hash,
            message=command.message,
        )
    ]


def _hash_unit(rollout: Rollout, unit: str) -> int:
    """The 64-bit number of a unit in this rollout. Refused for what cannot be the id of a unit."""
    try:
        return bucketing.make_digester("expose", rollout.id)(unit)
    except UnicodeEncodeError:
        raise Refused("That is not the id of a customer: it holds half of a character.", code="invalid") from None


def _record_eval(rollout: Rollout, command: c.RecordEval, context: Context) -> list[e.RolloutEvent]:
    if rollout.state in TERMINAL_STATES:
        raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}, so these results come too late.")
    index = engine_decisions.find_gate_index(rollout, command.suite)
    known = rollout.evals.get(index)
    if known is not None and known.digest == command.digest:
        return []
    if index < rollout.stage_index:
        raise Refused(f"The {rollout.plan.stages[index].name} stage has ended; results are accepted only before that.")
    recorded = e.EvalRecorded(
        stage=index,
        suite=command.suite,
        ok=command.ok,
        passed=command.passed,
        failed=command.failed,
        errors=command.errors,
        reasons=command.reasons,
        cases=command.cases,
        digest=command.digest,
        by=context.by.id,
        report=command.report,
    )
    if command.ok or rollout.state is not RolloutState.RUNNING or index != rollout.stage_index:
        return [recorded]
    return [
        recorded,
        e.Held(key=f"eval:{command.digest}", text=f"{command.suite or 'eval'} failed: {command.reasons[0]}"),
    ]
