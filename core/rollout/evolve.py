"""How each event changes a rollout: pure functions that never refuse."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from core.rollout import events as e
from core.rollout import holds
from core.rollout.model import Hold, Posted, Rollout, StageSpan, State
from core.rollout.replacing import replace


def evolve(rollout: Rollout | None, event: e.RolloutEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`. Without a rollout, `event` must be `Planned`."""
    if rollout is None:
        assert isinstance(event, e.Planned), "a rollout begins by being planned"
        return _planned(None, event, at)
    return AFTER[type(event)](rollout, event, at)


def _planned(before: Rollout | None, event: e.Planned, at: datetime) -> Rollout:
    return Rollout(
        id=event.rollout,
        plan=event.plan,
        fingerprint=event.fingerprint,
        from_content=event.from_content,
        to_content=event.to_content,
        state=State.PLANNED,
        planned_at=at,
        planned_by=event.by,
        planners=(*(before.planners if before else ()), event.by),
        start=event.plan.start,
        messages=before.messages if before else {},
        requests_made=before.requests_made if before else 0,
    )


def _approval_requested(rollout: Rollout, event: e.ApprovalRequested, _: datetime) -> Rollout:
    waiting = State.PLANNED if rollout.state is State.PLANNED else State.WAITING
    if rollout.state in {State.ON_HOLD, State.PAUSED}:
        waiting = rollout.state
    return replace(
        rollout,
        request=event,
        approvals=(),
        requests_made=rollout.requests_made + 1,
        state=waiting,
        skipped=event.skipped or rollout.skipped,  # a repeated request does not repeat the reason
    )


def _gate_closed(rollout: Rollout, _event: e.ApprovalExpired | e.Rejected, _: datetime) -> Rollout:
    return replace(rollout, request=None, approvals=())


def _approved(rollout: Rollout, event: e.Approved, _: datetime) -> Rollout:
    return replace(rollout, approvals=(*rollout.approvals, event))


def _start_scheduled(rollout: Rollout, event: e.StartScheduled, _: datetime) -> Rollout:
    return replace(rollout, start=event.start)


def _base_changed(rollout: Rollout, event: e.BaseChanged, _: datetime) -> Rollout:
    return replace(rollout, live_instead="" if event.live == rollout.plan.from_version else event.live)


def _started(rollout: Rollout, _: e.Started, at: datetime) -> Rollout:
    return replace(rollout, state=State.RUNNING, started_at=at, request=None, approvals=(), summary_at=at)


def _stage_entered(rollout: Rollout, event: e.StageEntered, at: datetime) -> Rollout:
    return replace(
        rollout,
        state=State.RUNNING,
        spans=(
            *_closed(rollout.spans, at),
            StageSpan(index=event.index, since=at, driven_since=_carried(rollout, event, at)),
        ),
        request=None,
        approvals=(),
        hold=None,
        paused_at=None,
        paused_for=timedelta(0),
        skip_wait=False,
        skipped="",
        asked_after=timedelta(0),
    )


def _eval_recorded(rollout: Rollout, event: e.EvalRecorded, _: datetime) -> Rollout:
    return replace(rollout, evals={**rollout.evals, event.stage: event})


def _drill_finished(rollout: Rollout, event: e.DrillFinished, _: datetime) -> Rollout:
    return replace(rollout, drilled={**rollout.drilled, event.stage: event.seconds})


def _evidence_recorded(rollout: Rollout, event: e.EvidenceRecorded, at: datetime) -> Rollout:
    told = event.reason in {"summary", "step"}
    return replace(
        rollout,
        evidence=event,
        evidence_at=at,
        measures=event.measures,
        sighted=rollout.sighted_with(event.blind or ()),
        summary_at=at if told else rollout.summary_at,
    )


def _blind_spots_accepted(rollout: Rollout, event: e.BlindSpotsAccepted, _: datetime) -> Rollout:
    return replace(rollout, accepted=(*rollout.accepted, event))


def _tails_frozen(rollout: Rollout, event: e.TailsFrozen, _: datetime) -> Rollout:
    return replace(rollout, caps={**rollout.caps, **event.caps})


def _held(rollout: Rollout, event: e.Held, at: datetime) -> Rollout:
    # A hold that clears automatically says nothing against the requested step, so the request stays open.
    asked = rollout.request is not None and holds.clears_itself(event.key)
    return replace(
        rollout,
        state=State.ON_HOLD,
        hold=Hold(key=event.key, text=event.text, since=at),
        skipped=rollout.skipped if asked else "",
        request=rollout.request if asked else None,
        approvals=rollout.approvals if asked else (),
        paused_at=None,
        paused_for=_paused_for(rollout, at),
    )


def _hold_cleared(rollout: Rollout, _event: e.HoldCleared, _: datetime) -> Rollout:
    return replace(rollout, state=_unheld(rollout), hold=None)


def _paused(rollout: Rollout, _: e.Paused, at: datetime) -> Rollout:
    return replace(rollout, state=State.PAUSED, paused_at=at, paused_from=rollout.state)


def _resumed(rollout: Rollout, event: e.Resumed, at: datetime) -> Rollout:
    if rollout.state is State.PAUSED:
        return replace(rollout, state=rollout.paused_from, paused_at=None, paused_for=_paused_for(rollout, at))
    overridden = rollout.overridden | {event.overrides} if event.overrides else rollout.overridden
    undecided = event.overrides.startswith(holds.UNDECIDED)
    return replace(
        rollout,
        state=_unheld(rollout),
        hold=None,
        overridden=overridden,
        asked_after=rollout.held_for(at) if undecided else rollout.asked_after,
    )


def _unheld(rollout: Rollout) -> State:
    """The state once a hold ends: waiting if a request is open, else running."""
    return State.RUNNING if rollout.request is None else State.WAITING


def _rolled_back(rollout: Rollout, event: e.RolledBack, at: datetime) -> Rollout:
    return replace(
        _ended(rollout, at),
        state=State.ROLLED_BACK,
        rollback=event,
        flip=None,
        flip_doubted=False,
        flag=None,
        flag_trouble="",
    )


def _flip_confirmed(rollout: Rollout, event: e.FlipConfirmed, _: datetime) -> Rollout:
    return replace(rollout, flip=event)


def _flip_unconfirmed(rollout: Rollout, _event: e.FlipUnconfirmed, _: datetime) -> Rollout:
    return replace(rollout, flip_doubted=True)


def _completed(rollout: Rollout, _: e.Completed, at: datetime) -> Rollout:
    return replace(_ended(rollout, at), state=State.DONE)


def _abandoned(rollout: Rollout, _: e.Abandoned, at: datetime) -> Rollout:
    return replace(_ended(rollout, at), state=State.ABANDONED)


def _notice_acknowledged(rollout: Rollout, event: e.NoticeAcknowledged, _: datetime) -> Rollout:
    who = rollout.acknowledged.get(event.notice, ())
    ids = rollout.acknowledged_by.get(event.notice, ())
    return replace(
        rollout,
        acknowledged={**rollout.acknowledged, event.notice: (*who, event.handle)},
        acknowledged_by={**rollout.acknowledged_by, event.notice: (*ids, event.by)},
    )


def _felt_off(rollout: Rollout, event: e.FeltOff, _: datetime) -> Rollout:
    return replace(rollout, felt_off=(*rollout.felt_off, event.by))


def _message_posted(rollout: Rollout, event: e.MessagePosted, at: datetime) -> Rollout:
    posted = Posted(channel=event.channel, ts=event.ts, at=at)
    return replace(rollout, messages={**rollout.messages, event.key: posted})


def _flag_set(rollout: Rollout, event: e.FlagSet, at: datetime) -> Rollout:
    spans = rollout.spans
    if rollout.under_way and spans[-1].driven_since is None and rollout.percent == event.percent:
        spans = (*spans[:-1], replace(spans[-1], driven_since=at))
    return replace(rollout, flag=event, flag_trouble="", spans=spans)


def _flag_not_set(rollout: Rollout, event: e.FlagNotSet, _: datetime) -> Rollout:
    return replace(rollout, flag_trouble=event.error)


def _unchanged(rollout: Rollout, _event: e.ConcernRaised | e.MessageFailed, _: datetime) -> Rollout:
    return rollout


def _carried(rollout: Rollout, event: e.StageEntered, at: datetime) -> datetime | None:
    """`at` if the driven flag system already has the percentage of the new stage, else None."""
    before = rollout.stage
    there = before is not None and before.percent == event.percent and rollout.spans[-1].driven_since is not None
    return at if there else None


def _closed(spans: tuple[StageSpan, ...], at: datetime) -> tuple[StageSpan, ...]:
    """The spans with the last one ended at `at`."""
    return (*spans[:-1], replace(spans[-1], until=at)) if spans else ()


def _ended(rollout: Rollout, at: datetime) -> Rollout:
    """The rollout with everything closed that is open: its span, request, approvals and hold."""
    return replace(rollout, ended_at=at, spans=_closed(rollout.spans, at), request=None, approvals=(), hold=None)


def _paused_for(rollout: Rollout, at: datetime) -> timedelta:
    """How long the current stage was paused in total, including a pause that lasts until `at`."""
    return rollout.paused_for if rollout.paused_at is None else rollout.paused_for + (at - rollout.paused_at)


# The handler of each event. A table is faster than `match`, which tests one class after the other;
# tests/rollout/test_evolving.py checks that no event is missing.
AFTER: Mapping[type[e.RolloutEvent], Callable[[Rollout, Any, datetime], Rollout]] = {
    e.Planned: _planned,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalExpired: _gate_closed,
    e.Approved: _approved,
    e.Rejected: _gate_closed,
    e.StartScheduled: _start_scheduled,
    e.BaseChanged: _base_changed,
    e.Started: _started,
    e.StageEntered: _stage_entered,
    e.EvalRecorded: _eval_recorded,
    e.DrillFinished: _drill_finished,
    e.EvidenceRecorded: _evidence_recorded,
    e.BlindSpotsAccepted: _blind_spots_accepted,
    e.TailsFrozen: _tails_frozen,
    e.Held: _held,
    e.HoldCleared: _hold_cleared,
    e.Paused: _paused,
    e.Resumed: _resumed,
    e.RolledBack: _rolled_back,
    e.FlipConfirmed: _flip_confirmed,
    e.FlipUnconfirmed: _flip_unconfirmed,
    e.Completed: _completed,
    e.Abandoned: _abandoned,
    e.NoticeAcknowledged: _notice_acknowledged,
    e.ConcernRaised: _unchanged,
    e.FeltOff: _felt_off,
    e.MessagePosted: _message_posted,
    e.MessageFailed: _unchanged,
    e.FlagSet: _flag_set,
    e.FlagNotSet: _flag_not_set,
}
