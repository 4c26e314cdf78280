"""What time and evidence do to a rollout: roll back, hold, ask, take the next step, or nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from core import durations
from core.judging.model import verdict as v
from core.rollout import commands as c
from core.rollout.concurrency import renewing
from core.rollout.context import Context
from core.rollout.decisions import (
    approval_requests,
    gate_results,
    growth_conditions,
    judge_checks,
    stage_changes,
    start_conditions,
)
from core.rollout.models import way_back
from core.rollout.plans.plan import GATE_KINDS, Stage, StageKind
from core.rollout.refusal import Refused
from core.rollout.serving import strata
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.votes import doubts, voting

REQUESTS_BEFORE_UNREAD_HOLD = 50
"""After this many canary requests, a metric without any reading holds the rollout. The hold clears automatically."""
COHORT_SILENCE_ALLOWED = timedelta(days=1)
"""How long a cohort may send no traffic (overnight, for example) before a person is asked."""


def decide_tick(rollout: Rollout, look: c.LookResult | None, context: Context) -> list[e.RolloutEvent]:
    """The events that follow from a look at the evidence, or from the time alone (`look` is None)."""
    if rollout.state is RolloutState.PLANNED:
        return _decide_planned(rollout, context)
    if not rollout.is_under_way:
        return []
    new_caps = {metric: cap for metric, cap in look.caps.items() if metric not in rollout.caps} if look else {}
    frozen: list[e.RolloutEvent] = [e.TailsFrozen(caps=new_caps)] if new_caps else []
    return [*frozen, *_decide_on_look(rollout, look, context)]


def _decide_on_look(rollout: Rollout, look: c.LookResult | None, context: Context) -> list[e.RolloutEvent]:
    if look is not None:
        if isinstance(look.verdict, v.RollBack):
            if way_back.is_way_back_closed(rollout.plan, context.surface, context.policy, context.at):
                return _hold_without_way_back(rollout, look, look.verdict, context)
            evidence = _build_evidence(rollout, look, "rollback")
            reason = look.verdict.findings[0].limit_text
            back = stage_changes.build_rolled_back(
                rollout, context, reason=reason, findings=look.verdict.findings, look=look
            )
            return [evidence, back]
        if holding := _decide_holds(rollout, look, context):
            return holding
    for doubted in (voting.find_hold(rollout), doubts.find_hold(rollout)):
        if doubted is not None:
            return [doubted]
    if (checked := judge_checks.find_consequences(rollout)) is not None:
        return [checked]
    if (empty := strata.hold_for_empty_stage(rollout)) is not None:
        return [empty]
    events = _decide_steps(rollout, look, context)
    if look is None or any(isinstance(x, e.EvidenceRecorded) for x in events):
        return events
    before = rollout.evidence.verdict if rollout.evidence else None
    has_verdict = not isinstance(look.verdict, v.TooEarly)  # a stage that has just begun has no verdict yet
    if has_verdict and approval_requests.verdict_name(before) != approval_requests.verdict_name(look.verdict):
        return [_build_evidence(rollout, look, "verdict"), *events]
    if not events and _is_summary_due(rollout, context):
        return [_build_evidence(rollout, look, "summary")]
    return events


def _hold_without_way_back(
    rollout: Rollout, look: c.LookResult, verdict: v.RollBack, context: Context
) -> list[e.RolloutEvent]:
    """Hold instead of rolling back to a version that nobody can be served any more. People are told once."""
    if rollout.state is RolloutState.ON_HOLD and rollout.hold and rollout.hold.key == way_back.NO_WAY_BACK:
        return []
    if way_back.NO_WAY_BACK in rollout.overridden:
        return []
    today = context.policy.to_local_time(context.at).date()
    text = (
        f"{holds.name_limit(verdict.findings[0])}, but "
        f"{way_back.explain_closed_way_back(rollout.plan, context.surface)}. "
        f"{way_back.suggest_instead(rollout.plan, context.surface, today)}"
    )
    held = e.Held(key=way_back.NO_WAY_BACK, text=text, findings=verdict.findings)
    return [_build_evidence(rollout, look, "hold"), held]


def _decide_planned(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    request = rollout.request
    if request is not None and context.at > request.expires_at and not approval_requests.is_approved(rollout):
        return [
            e.ApprovalExpired(request=request.request),
            approval_requests.build_approval_request(rollout, request.gate, request.needed, context),
        ]
    surface, is_due = context.known_surface, start_conditions.is_start_due(rollout, context)
    is_first = is_due and not context.other_rollouts_on_surface and not context.queued_ahead
    if is_first and renewing.is_outdated(rollout, surface) and (renewed := renewing.renew_plan(rollout, context)):
        return renewed
    if surface.live != (rollout.live_instead or rollout.plan.from_version):
        return [e.BaseChanged(live=surface.live)]
    if not is_due or context.ready_ahead:
        return []
    try:
        start_conditions.check_start(rollout, context)
    except Refused:
        return []  # it starts automatically once nothing is missing; the card shows what is
    return stage_changes.begin_rollout(rollout, context)


def _build_evidence(rollout: Rollout, look: c.LookResult, reason: str) -> e.EvidenceRecorded:
    found = look.judgement
    return e.EvidenceRecorded(
        number=rollout.evidence.number + 1 if rollout.evidence else 1,
        reason=reason,
        verdict=found.verdict,
        measures=found.measures,
        canary_requests=found.canary_requests,
        control_requests=found.control_requests,
        canary_units=found.canary_units,
        control_units=found.control_units,
        exposed_requests=found.exposed_requests,
        exposed_units=found.exposed_units,
        first_look=look.first_look,
        last_look=look.last_look,
        state_before=look.state_before,
        looks=look.looks,
        state_after=look.state_after,
        notes=found.notes,
        segments=found.segments,
        segments_checked=found.segments_checked,
        blind=look.blind or None,
        causes=look.causes or None,
        soft_errors=look.soft_errors or None,
        judging=look.judging,
    )


def _decide_holds(rollout: Rollout, look: c.LookResult, context: Context) -> list[e.RolloutEvent]:
    """The events of a hold that begins or clears automatically; empty if neither."""
    found = holds.hold_for_verdict(rollout, look.verdict)
    if rollout.state is RolloutState.ON_HOLD:
        assert rollout.hold is not None
        if holds.has_cleared(rollout.hold.key, look.verdict) or (
            rollout.hold.key == holds.UNREAD
            and not growth_conditions.select_unread(
                growth_conditions.find_blocking_blind_spots(rollout, look.blind, context.policy)
            )
        ):
            return [_build_evidence(rollout, look, "verdict"), e.HoldCleared(key=rollout.hold.key)]
        return []
    if found is None or rollout.state is RolloutState.PAUSED or _is_cohort_silent(rollout, look):
        return []
    return [_build_evidence(rollout, look, "hold"), found]


def _is_cohort_silent(rollout: Rollout, look: c.LookResult | None) -> bool:
    """Whether a cohort that had traffic before is silent, as every night. The rollout does not grow meanwhile."""
    cohort = rollout.stage is not None and rollout.stage.kind is StageKind.COHORT
    return cohort and look is not None and isinstance(look.verdict, v.NoData) and look.stage_requests > 0


def _decide_steps(rollout: Rollout, look: c.LookResult | None, context: Context) -> list[e.RolloutEvent]:
    match rollout.state:
        case RolloutState.WAITING:
            return _decide_waiting(rollout, look, context)
        case RolloutState.RUNNING:
            return _decide_running(rollout, look, context)
        case (
            RolloutState.PLANNED
            | RolloutState.ON_HOLD
            | RolloutState.PAUSED
            | RolloutState.ROLLED_BACK
            | RolloutState.DONE
            | RolloutState.ABANDONED
        ):
            return []
        case _:
            assert_never(rollout.state)


def _decide_waiting(rollout: Rollout, look: c.LookResult | None, context: Context) -> list[e.RolloutEvent]:
    request = rollout.request
    assert request is not None
    silent = look.verdict if look and isinstance(look.verdict, v.NoData | v.BrokenSource) else None
    if look is not None and silent is None and approval_requests.approval_basis(look.verdict) != request.verdict:
        evidence = _build_evidence(rollout, look, "verdict")
        new_request = approval_requests.build_approval_request(
            replace(rollout, evidence=evidence), request.gate, request.needed, context
        )
        return [evidence, new_request]  # replaces the old request
    if approval_requests.is_approved(rollout):
        if growth_conditions.find_growth_block(context) or (
            silent is not None and holds.hold_key(silent) not in rollout.overridden
        ):
            return []
        if look is not None and (look.unwatched or growth_conditions.find_pending(rollout, look)):
            return []
        index = next(i for i, s in enumerate(rollout.plan.stages) if i > rollout.stage_index and s.name == request.gate)
        return [stage_changes.enter_stage(rollout, index)]
    if context.at > request.expires_at:
        return [
            e.ApprovalExpired(request=request.request),
            e.Held(key=f"expired:{request.request}", text=f"nobody approved {request.gate} in time"),
        ]
    return []


def _decide_running(rollout: Rollout, look: c.LookResult | None, context: Context) -> list[e.RolloutEvent]:
    stage = rollout.current_stage
    if stage.kind in GATE_KINDS:
        if gate_results.is_gate_passed(rollout):
            return [] if growth_conditions.find_growth_block(context) else stage_changes.leave_stage(rollout, context)
        result = rollout.evals.get(rollout.stage_index)
        if result is not None and not result.ok:
            return [e.Held(key=f"eval:{result.digest}", text=f"{result.suite or 'eval'} failed: {result.reasons[0]}")]
        return []
    if stage.is_decided_at_end:
        return _decide_comparison(rollout, look, context)
    if growth_conditions.is_ready_to_leave(rollout, look, context.at, context.policy):
        if growth_conditions.find_growth_block(context):
            return []
        if look is None:
            return stage_changes.leave_stage(rollout, context)
        # Each step records its own evidence, and an approval is requested on what is known now.
        evidence = _build_evidence(rollout, look, "step")
        return [evidence, *stage_changes.leave_stage(replace(rollout, evidence=evidence), context)]
    key = growth_conditions.undecided_hold_key(stage)
    shown = growth_conditions.may_grow(rollout, look.verdict if look else None, context.policy)
    blind = growth_conditions.find_blocking_blind_spots(rollout, look.blind, context.policy) if look else ()
    unread = growth_conditions.select_unread(blind)
    if (
        unread
        and look is not None
        and look.judgement.exposed_requests >= REQUESTS_BEFORE_UNREAD_HOLD
        and growth_conditions.meets_stage_minimums(rollout, look, context.at)
    ):
        return [_build_evidence(rollout, look, "hold"), e.Held(key=holds.UNREAD, text=_describe_unread(unread))]
    longest = _time_until_asked(rollout, stage, look)
    held = rollout.held_for(context.at)
    # a person who let it continue undecided is asked again after the same time, or when the time they gave is over
    asked_at = max(rollout.asked_after + longest, rollout.extended_to)
    if held >= asked_at:
        text = (
            f"undecided after {durations.format_rounded(asked_at)}: "
            f"{_describe_progress(rollout, stage, look, blind, shown=shown)}"
        )
        asked = e.Held(key=key, text=text)
        return [_build_evidence(rollout, look, "hold"), asked] if look else [asked]
    return []


def _decide_comparison(rollout: Rollout, look: c.LookResult | None, context: Context) -> list[e.RolloutEvent]:
    """At the horizon of a long comparison: ask a person. Once they keep the new version, take the next step."""
    if look is None:
        return []
    if rollout.stage_index in rollout.decisions:
        if (
            growth_conditions.find_growth_block(context)
            or look.unwatched
            or growth_conditions.find_pending(rollout, look)
        ):
            return []
        evidence = _build_evidence(rollout, look, "step")
        return [evidence, *stage_changes.leave_stage(replace(rollout, evidence=evidence), context)]
    found = look.comparison
    if found is None:
        return []
    stage = rollout.current_stage
    ended = e.ComparisonEnded(
        stage=rollout.stage_index,
        look=look.last_look,
        advice=found.advice,
        measures=found.measures,
        courses=found.courses,
        weekdays=look.weekdays,
    )
    lasted = durations.format_rounded(rollout.held_for(context.at))
    text = f"the comparison is over after {lasted}: keep the new version, or go back"
    return [_build_evidence(rollout, look, "verdict"), ended, e.Held(key=f"{holds.DECISION}{stage.name}", text=text)]


def _time_until_asked(rollout: Rollout, stage: Stage, look: c.LookResult | None) -> timedelta:
    """How long the stage holds before a person is asked."""
    return max(stage.longest_hold, COHORT_SILENCE_ALLOWED) if _is_cohort_silent(rollout, look) else stage.longest_hold


def _describe_progress(
    rollout: Rollout, stage: Stage, look: c.LookResult | None, blind: tuple[v.BlindSpot, ...], *, shown: bool
) -> str:
    """Why the stage is undecided, in words."""
    requests = look.stage_requests if look else 0
    if requests < stage.min_samples:
        return f"{requests} of {stage.min_samples} requests seen"
    if pending := growth_conditions.find_pending(rollout, look):
        return f"{holds.name_limit(pending[0])}, is found, and not yet for as long as the limit asks"
    if shown and (silent := growth_conditions.select_unread(blind)):
        return _describe_unread(silent)
    if shown and blind:
        return f"harm of twice the limit could still have been missed for {_join_metric_names(blind)}"
    if shown:
        return f"{requests} requests seen, and they allow no conclusion yet"
    return f"{requests} requests do not show yet that every limit is kept"


def _describe_unread(unread: tuple[v.BlindSpot, ...]) -> str:
    """That no reading of these metrics ever arrived, in words."""
    of = " of the old version" if all(spot.arm == "control" for spot in unread) else ""
    asked = "is it" if len(unread) == 1 else "are they"
    return f"no reading of {_join_metric_names(unread, with_keys=True)}{of} has ever arrived: {asked} reported?"


def _join_metric_names(spots: tuple[v.BlindSpot, ...], *, with_keys: bool = False) -> str:
    """The titles, with the keys under which applications report them where somebody has to look for those."""
    *some, last = dict.fromkeys(
        f"{spot.title[:1].lower()}{spot.title[1:]}{f' ({spot.metric})' if with_keys else ''}" for spot in spots
    )
    return f"{', '.join(some)} and {last}" if some else last


def _is_summary_due(rollout: Rollout, context: Context) -> bool:
    if rollout.started_at is None or rollout.summary_at is None or context.policy.is_quiet_for("summary", context.at):
        return False
    first_day = context.at - rollout.started_at <= timedelta(days=1)
    every = context.policy.summary_first_day if first_day else context.policy.summary_later
    return context.at - rollout.summary_at >= every
