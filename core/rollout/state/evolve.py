"""How each event changes a rollout: pure functions that never refuse."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from core.rollout.plans.plan import StageKind
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.state import events as e
from core.rollout.state import holds, judge_check
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import (
    ActiveHold,
    PostedMessage,
    Rollout,
    RolloutState,
    SkippedWait,
    StageSpan,
    StratumRollback,
)
from core.rollout.state.next_step import is_next_step


def evolve(rollout: Rollout | None, event: e.RolloutEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`. Without a rollout, `event` must be `Planned`."""
    if rollout is None:
        assert isinstance(event, e.Planned), "a rollout begins by being planned"
        return _apply_planned(None, event, at)
    after = EVENT_HANDLERS[type(event)](rollout, event, at)
    return replace(after, next_step_reminders=()) if rollout.next_step_reminders and is_next_step(event) else after


def _apply_planned(before: Rollout | None, event: e.Planned, at: datetime) -> Rollout:
    if event.renewal is not None and before is not None:
        return _apply_renewal(before, event, event.renewal)
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


def _apply_renewal(before: Rollout, event: e.Planned, renewal: PlanRenewal) -> Rollout:
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


def _apply_approval_requested(rollout: Rollout, event: e.ApprovalRequested, _: datetime) -> Rollout:
    waiting = RolloutState.PLANNED if rollout.state is RolloutState.PLANNED else RolloutState.WAITING
    if rollout.state in {RolloutState.ON_HOLD, RolloutState.PAUSED}:
        waiting = rollout.state
    return replace(
        rollout,
        request=event,
        approvals=(),
        requests_made=rollout.requests_made + 1,
        state=waiting,
        skipped=event.skipped or rollout.skipped,  # a repeated request does not repeat the reason
        skipped_by=event.skipped_by or rollout.skipped_by,
    )


def _apply_gate_closed(rollout: Rollout, _event: e.ApprovalExpired | e.Rejected, _: datetime) -> Rollout:
    return replace(rollout, request=None, approvals=())


def _apply_approved(rollout: Rollout, event: e.Approved, _: datetime) -> Rollout:
    return replace(rollout, approvals=(*rollout.approvals, event))


def _apply_start_scheduled(rollout: Rollout, event: e.StartScheduled, _: datetime) -> Rollout:
    return replace(rollout, start=event.start)


def _apply_base_changed(rollout: Rollout, event: e.BaseChanged, _: datetime) -> Rollout:
    return replace(rollout, live_instead="" if event.live == rollout.plan.from_version else event.live)


def _apply_started(rollout: Rollout, event: e.Started, at: datetime) -> Rollout:
    return replace(
        rollout,
        state=RolloutState.RUNNING,
        started_at=at,
        request=None,
        approvals=(),
        summary_at=at,
        layer=event.layer,
    )


def _apply_stage_entered(rollout: Rollout, event: e.StageEntered, at: datetime) -> Rollout:
    return replace(
        rollout,
        state=RolloutState.RUNNING,
        spans=(
            *_close_last_span(rollout.spans, at),
            _begin_span(rollout, event, at),
        ),
        request=None,
        approvals=(),
        hold=None,
        paused_at=None,
        paused_for=timedelta(0),
        skipped="",
        skipped_by="",
        skipped_waits=(*rollout.skipped_waits, *_find_skipped_wait(rollout, event)),
        asked_after=timedelta(0),
        extended_to=timedelta(0),
        frozen_until=None,
    )


def _find_skipped_wait(rollout: Rollout, event: e.StageEntered) -> tuple[SkippedWait, ...]:
    reason = event.skipped or rollout.skipped
    if not reason or rollout.stage is None:
        return ()
    between = rollout.plan.stages[rollout.stage_index + 1 : event.index]
    by = (event.skipped_by or "") if event.skipped else rollout.skipped_by
    return (
        SkippedWait(stage=rollout.stage.name, left_out=tuple(stage.name for stage in between), reason=reason, by=by),
    )


def _apply_eval_recorded(rollout: Rollout, event: e.EvalRecorded, _: datetime) -> Rollout:
    return replace(rollout, evals={**rollout.evals, event.stage: event})


def _apply_drill_finished(rollout: Rollout, event: e.DrillFinished, _: datetime) -> Rollout:
    return replace(rollout, drilled={**rollout.drilled, event.stage: event.seconds})


def _apply_evidence_recorded(rollout: Rollout, event: e.EvidenceRecorded, at: datetime) -> Rollout:
    is_announced = event.reason in {"summary", "step"}
    return replace(
        rollout,
        evidence=event,
        evidence_at=at,
        measures=event.measures,
        sighted=rollout.detectable_limit_keys(event.blind or ()),
        summary_at=at if is_announced else rollout.summary_at,
    )


def _apply_comparison_ended(rollout: Rollout, event: e.ComparisonEnded, _: datetime) -> Rollout:
    return replace(rollout, comparisons={**rollout.comparisons, event.stage: event})


def _apply_comparison_decided(rollout: Rollout, event: e.ComparisonDecided, _: datetime) -> Rollout:
    return replace(
        rollout,
        decisions={**rollout.decisions, event.stage: event},
        state=_state_after_hold(rollout),
        hold=None,
    )


def _apply_blind_spots_accepted(rollout: Rollout, event: e.BlindSpotsAccepted, _: datetime) -> Rollout:
    return replace(rollout, accepted=(*rollout.accepted, event))


def _apply_tails_frozen(rollout: Rollout, event: e.TailsFrozen, _: datetime) -> Rollout:
    return replace(rollout, caps={**rollout.caps, **event.caps})


def _apply_held(rollout: Rollout, event: e.Held, at: datetime) -> Rollout:
    # A hold that clears automatically says nothing against the requested step, so the request stays open.
    asked = rollout.request is not None and holds.clears_itself(event.key)
    return replace(
        rollout,
        state=RolloutState.ON_HOLD,
        hold=ActiveHold(key=event.key, text=event.text, since=at),
        skipped=rollout.skipped if asked else "",
        skipped_by=rollout.skipped_by if asked else "",
        request=rollout.request if asked else None,
        approvals=rollout.approvals if asked else (),
        paused_at=None,
        paused_for=_total_paused(rollout, at),
    )


def _apply_hold_cleared(rollout: Rollout, _event: e.HoldCleared, _: datetime) -> Rollout:
    return replace(rollout, state=_state_after_hold(rollout), hold=None)


def _apply_paused(rollout: Rollout, _: e.Paused, at: datetime) -> Rollout:
    return replace(rollout, state=RolloutState.PAUSED, paused_at=at, paused_from=rollout.state)


def _apply_resumed(rollout: Rollout, event: e.Resumed, at: datetime) -> Rollout:
    if rollout.state is RolloutState.PAUSED:
        return replace(rollout, state=rollout.paused_from, paused_at=None, paused_for=_total_paused(rollout, at))
    overridden = rollout.overridden | {event.overrides} if event.overrides else rollout.overridden
    undecided = event.overrides.startswith(holds.UNDECIDED)
    if event.overrides == holds.DRILL and rollout.spans:  # it is drilled again
        again = replace(rollout.spans[-1], driven_since=None, read_back=())
        rollout = replace(rollout, spans=(*rollout.spans[:-1], again))
    if event.overrides.startswith(holds.JUDGE_MOVED):
        rollout = replace(rollout, judge_check=judge_check.take_as_it_is(rollout.judge_check))
    return replace(
        rollout,
        state=_state_after_hold(rollout),
        hold=None,
        overridden=overridden,
        asked_after=rollout.held_for(at) if undecided else rollout.asked_after,
    )


def _apply_stage_extended(rollout: Rollout, event: e.StageExtended, _: datetime) -> Rollout:
    return replace(rollout, state=_state_after_hold(rollout), hold=None, extended_to=event.asked_at)


def _state_after_hold(rollout: Rollout) -> RolloutState:
    """The state once a hold ends: waiting if a request is open, else running."""
    return RolloutState.RUNNING if rollout.request is None else RolloutState.WAITING


def _apply_rolled_back(rollout: Rollout, event: e.RolledBack, at: datetime) -> Rollout:
    return replace(
        _end_rollout(rollout, at),
        state=RolloutState.ROLLED_BACK,
        rollback=event,
        flip=None,
        flip_doubted=False,
        conversations_moved_at=None,
        flags={},
        flag_troubles={},
    )


def _apply_bundled(rollout: Rollout, event: e.Bundled, _: datetime) -> Rollout:
    return replace(rollout, bundle=event)


def _apply_unbundled(rollout: Rollout, _event: e.Unbundled, _: datetime) -> Rollout:
    return replace(rollout, bundle=None)


def _apply_bundle_not_followed(rollout: Rollout, event: e.BundleNotFollowed, _: datetime) -> Rollout:
    return replace(rollout, not_followed=rollout.not_followed | {event.cause})


def _apply_rollback_explained(rollout: Rollout, event: e.RollbackExplained, _: datetime) -> Rollout:
    return replace(rollout, explanation=event)


def _apply_flip_confirmed(rollout: Rollout, event: e.FlipConfirmed, _: datetime) -> Rollout:
    if event.stratum is None:
        return replace(rollout, flip=event)
    back = StratumRollback(at=rollout.strata_back[event.stratum].at, flip=event)
    return replace(rollout, strata_back={**rollout.strata_back, event.stratum: back})


def _apply_flip_unconfirmed(rollout: Rollout, event: e.FlipUnconfirmed, _: datetime) -> Rollout:
    if event.stratum is None:
        return replace(rollout, flip_doubted=True)
    back = StratumRollback(at=rollout.strata_back[event.stratum].at, flip_doubted=True)
    return replace(rollout, strata_back={**rollout.strata_back, event.stratum: back})


def _apply_stratum_rolled_back(rollout: Rollout, event: e.StratumRolledBack, at: datetime) -> Rollout:
    return replace(rollout, strata_back={**rollout.strata_back, event.stratum: StratumRollback(at=at)})


def _apply_holdout_ended(rollout: Rollout, event: e.HoldoutEnded, at: datetime) -> Rollout:
    return replace(rollout, holdout_ended=event, holdout_ended_at=at)


def _apply_holdout_compared(rollout: Rollout, event: e.HoldoutCompared, _: datetime) -> Rollout:
    return replace(rollout, holdout_result=event.found)


def _apply_completed(rollout: Rollout, _: e.Completed, at: datetime) -> Rollout:
    return replace(_end_rollout(rollout, at), state=RolloutState.DONE, completed_at=at)


def _apply_abandoned(rollout: Rollout, _: e.Abandoned, at: datetime) -> Rollout:
    return replace(_end_rollout(rollout, at), state=RolloutState.ABANDONED)


def _apply_notice_acknowledged(rollout: Rollout, event: e.NoticeAcknowledged, _: datetime) -> Rollout:
    who = rollout.acknowledged.get(event.notice, ())
    ids = rollout.acknowledged_by.get(event.notice, ())
    return replace(
        rollout,
        acknowledged={**rollout.acknowledged, event.notice: (*who, event.handle)},
        acknowledged_by={**rollout.acknowledged_by, event.notice: (*ids, event.by)},
    )


def _apply_concern_raised(rollout: Rollout, event: e.ConcernRaised, _: datetime) -> Rollout:
    return replace(rollout, open_concerns=(*rollout.open_concerns, event.notice))


def _apply_concerns_answered(rollout: Rollout, _event: e.ConcernsAnswered, _: datetime) -> Rollout:
    return replace(rollout, open_concerns=())


def _apply_reminder_requested(rollout: Rollout, event: e.ReminderRequested, _: datetime) -> Rollout:
    if event.next_step:
        return replace(rollout, next_step_reminders=(*rollout.next_step_reminders, event.by))
    return replace(rollout, reminders={**rollout.reminders, event.by: event.notice})


def _apply_felt_off(rollout: Rollout, event: e.FeltOff, _: datetime) -> Rollout:
    return replace(rollout, felt_off=(*rollout.felt_off, event.by))


def _apply_vote_cast(rollout: Rollout, event: e.VoteCast, _: datetime) -> Rollout:
    given = {**rollout.votes.get(event.stage, {}), event.voter: event}
    return replace(rollout, votes={**rollout.votes, event.stage: given})


def _apply_vote_withdrawn(rollout: Rollout, event: e.VoteWithdrawn, _: datetime) -> Rollout:
    left = {voter: vote for voter, vote in rollout.votes.get(event.stage, {}).items() if voter != event.voter}
    return replace(rollout, votes={**rollout.votes, event.stage: left})


def _apply_anchors_judged(rollout: Rollout, event: e.AnchorsJudged, at: datetime) -> Rollout:
    return replace(rollout, judge_check=judge_check.apply_round(rollout.judge_check, event, at))


def _apply_judge_moved(rollout: Rollout, event: e.JudgeMoved, _: datetime) -> Rollout:
    return replace(rollout, judge_check=judge_check.apply_moved(rollout.judge_check, event))


def _apply_judge_settled(rollout: Rollout, _: e.JudgeSettled, at: datetime) -> Rollout:
    return replace(rollout, judge_check=judge_check.apply_settled(rollout.judge_check, at))


def _apply_judging_cap_reached(rollout: Rollout, event: e.JudgingCapReached, _: datetime) -> Rollout:
    return replace(rollout, judging_cap_reached=event)


def _apply_unit_moved_back(rollout: Rollout, event: e.UnitMovedBack, at: datetime) -> Rollout:
    return replace(rollout, moved_back={**rollout.moved_back, event.unit_hash: at})


def _apply_glass_broken(rollout: Rollout, event: e.GlassBroken, _: datetime) -> Rollout:
    return replace(rollout, broken_glass=event)


def _apply_growth_frozen(rollout: Rollout, event: e.GrowthFrozen, _: datetime) -> Rollout:
    return replace(rollout, frozen_until=event.until)


def _apply_growth_unfrozen(rollout: Rollout, _: e.GrowthUnfrozen, __: datetime) -> Rollout:
    return replace(rollout, frozen_until=None)


def _apply_review_requested(rollout: Rollout, event: e.ReviewRequested, _: datetime) -> Rollout:
    return replace(rollout, review_due=event.due_at, review=None)


def _apply_review_submitted(rollout: Rollout, event: e.ReviewSubmitted, _: datetime) -> Rollout:
    return replace(rollout, review=event)


def _apply_complaint_reported(rollout: Rollout, event: e.ComplaintReported, _: datetime) -> Rollout:
    before = rollout.complaints.get(event.arm, 0)
    return replace(rollout, complaints={**rollout.complaints, event.arm: before + 1})


def _apply_message_posted(rollout: Rollout, event: e.MessagePosted, at: datetime) -> Rollout:
    # A notice that was deleted and posted again was given when it was posted first.
    first = rollout.messages.get(event.key)
    posted = PostedMessage(channel=event.channel, ts=event.ts, at=first.at if first is not None else at)
    return replace(rollout, messages={**rollout.messages, event.key: posted})


def _apply_flag_set(rollout: Rollout, event: e.FlagSet, at: datetime) -> Rollout:
    spans, driven = rollout.spans, next((one for one in rollout.plan.driven if one.title == event.flag), None)
    if rollout.is_under_way and driven is not None and driven.percent_at(rollout.percent) == event.percent:
        span = spans[-1]
        read_back = span.read_back if event.flag in span.read_back else (*span.read_back, event.flag)
        divides = rollout.plan.dividing or rollout.plan.driven
        since = at if all(one.title in read_back for one in divides) else None
        spans = (*spans[:-1], replace(span, read_back=read_back, driven_since=span.driven_since or since))
    troubles = {flag: why for flag, why in rollout.flag_troubles.items() if flag != event.flag}
    return replace(rollout, flags={**rollout.flags, event.flag: event}, flag_troubles=troubles, spans=spans)


def _apply_flag_not_set(rollout: Rollout, event: e.FlagNotSet, _: datetime) -> Rollout:
    return replace(rollout, flag_troubles={**rollout.flag_troubles, event.flag: event.error})


def _apply_revert_requested(rollout: Rollout, event: e.RevertRequested, _: datetime) -> Rollout:
    left = {index: error for index, error in rollout.revert_trouble.items() if index != event.index}
    return replace(rollout, reverts_requested={**rollout.reverts_requested, event.index: event}, revert_trouble=left)


def _apply_revert_not_requested(rollout: Rollout, event: e.RevertNotRequested, _: datetime) -> Rollout:
    return replace(rollout, revert_trouble={**rollout.revert_trouble, event.index: event.error})


def _apply_code_reverted(rollout: Rollout, event: e.CodeReverted, _: datetime) -> Rollout:
    return replace(rollout, code_reverted=event)


def _apply_conversations_moved(rollout: Rollout, event: e.ConversationsMoved, at: datetime) -> Rollout:
    moved = replace(rollout, conversations_moved_at=at)
    # Asked for by a person it is a switch of its own, to be confirmed; if their time was over nobody waits for it.
    return moved if event.is_due else replace(moved, flip=None, flip_doubted=False)


def _keep_unchanged(rollout: Rollout, _event: e.MessageFailed, _: datetime) -> Rollout:
    return rollout


def _begin_span(rollout: Rollout, event: e.StageEntered, at: datetime) -> StageSpan:
    """The span of a stage. What has its percentage already, as far as is known, need not be read back again."""
    if rollout.plan.stages[event.index].kind is StageKind.ROLLBACK_DRILL or not rollout.spans:
        return StageSpan(index=event.index, since=at)  # in a drill everything takes part, and has to answer anew
    before, last = rollout.percent, rollout.spans[-1]
    same = {one.title for one in rollout.plan.driven if one.percent_at(before) == one.percent_at(event.percent)}
    read_back = tuple(flag for flag in last.read_back if flag in same)
    there = before == event.percent and last.driven_since is not None
    return StageSpan(index=event.index, since=at, driven_since=at if there else None, read_back=read_back)


def _close_last_span(spans: tuple[StageSpan, ...], at: datetime) -> tuple[StageSpan, ...]:
    """The spans with the last one ended at `at`."""
    return (*spans[:-1], replace(spans[-1], until=at)) if spans else ()


def _end_rollout(rollout: Rollout, at: datetime) -> Rollout:
    """The rollout with everything closed that is open: its span, request, approvals and hold."""
    return replace(
        rollout, ended_at=at, spans=_close_last_span(rollout.spans, at), request=None, approvals=(), hold=None
    )


def _total_paused(rollout: Rollout, at: datetime) -> timedelta:
    """How long the current stage was paused in total, including a pause that lasts until `at`."""
    return rollout.paused_for if rollout.paused_at is None else rollout.paused_for + (at - rollout.paused_at)


# The handler of each event. A table is faster than `match`, which tests one class after the other;
# tests/rollout/test_evolving.py checks that no event is missing.
EVENT_HANDLERS: Mapping[type[e.RolloutEvent], Callable[[Rollout, Any, datetime], Rollout]] = {
    e.Planned: _apply_planned,
    e.ApprovalRequested: _apply_approval_requested,
    e.ApprovalExpired: _apply_gate_closed,
    e.Approved: _apply_approved,
    e.Rejected: _apply_gate_closed,
    e.StartScheduled: _apply_start_scheduled,
    e.BaseChanged: _apply_base_changed,
    e.Started: _apply_started,
    e.StageEntered: _apply_stage_entered,
    e.EvalRecorded: _apply_eval_recorded,
    e.DrillFinished: _apply_drill_finished,
    e.EvidenceRecorded: _apply_evidence_recorded,
    e.ComparisonEnded: _apply_comparison_ended,
    e.ComparisonDecided: _apply_comparison_decided,
    e.BlindSpotsAccepted: _apply_blind_spots_accepted,
    e.TailsFrozen: _apply_tails_frozen,
    e.Held: _apply_held,
    e.HoldCleared: _apply_hold_cleared,
    e.Paused: _apply_paused,
    e.Resumed: _apply_resumed,
    e.RolledBack: _apply_rolled_back,
    e.RollbackExplained: _apply_rollback_explained,
    e.FlipConfirmed: _apply_flip_confirmed,
    e.FlipUnconfirmed: _apply_flip_unconfirmed,
    e.Completed: _apply_completed,
    e.Abandoned: _apply_abandoned,
    e.NoticeAcknowledged: _apply_notice_acknowledged,
    e.ConcernRaised: _apply_concern_raised,
    e.ConcernsAnswered: _apply_concerns_answered,
    e.ReminderRequested: _apply_reminder_requested,
    e.StageExtended: _apply_stage_extended,
    e.FeltOff: _apply_felt_off,
    e.VoteCast: _apply_vote_cast,
    e.VoteWithdrawn: _apply_vote_withdrawn,
    e.UnitMovedBack: _apply_unit_moved_back,
    e.GlassBroken: _apply_glass_broken,
    e.GrowthFrozen: _apply_growth_frozen,
    e.GrowthUnfrozen: _apply_growth_unfrozen,
    e.ComplaintReported: _apply_complaint_reported,
    e.ReviewRequested: _apply_review_requested,
    e.ReviewSubmitted: _apply_review_submitted,
    e.MessagePosted: _apply_message_posted,
    e.MessageFailed: _keep_unchanged,
    e.FlagSet: _apply_flag_set,
    e.FlagNotSet: _apply_flag_not_set,
    e.RevertRequested: _apply_revert_requested,
    e.RevertNotRequested: _apply_revert_not_requested,
    e.CodeReverted: _apply_code_reverted,
    e.ConversationsMoved: _apply_conversations_moved,
    e.HoldoutEnded: _apply_holdout_ended,
    e.HoldoutCompared: _apply_holdout_compared,
    e.StratumRolledBack: _apply_stratum_rolled_back,
    e.AnchorsJudged: _apply_anchors_judged,
    e.JudgeMoved: _apply_judge_moved,
    e.JudgeSettled: _apply_judge_settled,
    e.JudgingCapReached: _apply_judging_cap_reached,
    e.Bundled: _apply_bundled,
    e.Unbundled: _apply_unbundled,
    e.BundleNotFollowed: _apply_bundle_not_followed,
}
