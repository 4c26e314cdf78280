"""How an event changes a rollout: a pure fold that never refuses."""

from datetime import datetime, timedelta
from typing import assert_never

from core.rollout import events as e
from core.rollout.model import Hold, Posted, Rollout, StageSpan, State
from core.rollout.replacing import replace


def evolve(rollout: Rollout | None, event: e.RolloutEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened `at`."""
    if isinstance(event, e.Planned):
        return _planned(rollout, event, at)
    assert rollout is not None, "a rollout begins by being planned"
    match event:
        case e.ApprovalRequested():
            waiting = State.PLANNED if rollout.state is State.PLANNED else State.WAITING
            if rollout.state in {State.ON_HOLD, State.PAUSED}:
                waiting = rollout.state
            return replace(rollout, request=event, approvals=(), requests_made=rollout.requests_made + 1, state=waiting)
        case e.ApprovalExpired():
            return replace(rollout, request=None, approvals=())
        case e.Approved():
            return replace(rollout, approvals=(*rollout.approvals, event))
        case e.Rejected():
            return replace(rollout, request=None, approvals=())
        case e.StartScheduled():
            return replace(rollout, start=event.start)
        case e.Started():
            return replace(rollout, state=State.RUNNING, started_at=at, request=None, approvals=(), summary_at=at)
        case e.StageEntered():
            return replace(
                rollout,
                state=State.RUNNING,
                spans=_entered(rollout.spans, event.index, at),
                request=None,
                approvals=(),
                hold=None,
                paused_at=None,
                paused_for=timedelta(0),
                skip_wait=False,
            )
        case e.EvalRecorded():
            return replace(rollout, evals={**rollout.evals, event.stage: event})
        case e.DrillFinished():
            return replace(rollout, drilled={**rollout.drilled, event.stage: event.seconds})
        case e.EvidenceRecorded():
            told = event.reason in {"summary", "step"}
            return replace(
                rollout,
                evidence=event,
                evidence_at=at,
                measures=event.measures,
                summary_at=at if told else rollout.summary_at,
            )
        case e.TailsFrozen():
            return replace(rollout, caps={**rollout.caps, **event.caps})
        case e.Held():
            return replace(
                _unpaused(rollout, at),
                state=State.ON_HOLD,
                hold=Hold(key=event.key, text=event.text, since=at),
                request=None,
                approvals=(),
            )
        case e.HoldCleared():
            return replace(rollout, state=State.RUNNING, hold=None)
        case e.Paused():
            return replace(rollout, state=State.PAUSED, paused_at=at, paused_from=rollout.state)
        case e.Resumed():
            return _resumed(rollout, event, at)
        case e.RolledBack():
            return replace(_ended(rollout, at), state=State.ROLLED_BACK, rollback=event, flip=None, flip_doubted=False)
        case e.FlipConfirmed():
            return replace(rollout, flip=event)
        case e.FlipUnconfirmed():
            return replace(rollout, flip_doubted=True)
        case e.Completed():
            return replace(_ended(rollout, at), state=State.DONE)
        case e.Abandoned():
            return replace(_ended(rollout, at), state=State.ABANDONED)
        case e.NoticeAcknowledged():
            who = rollout.acknowledged.get(event.notice, ())
            return replace(rollout, acknowledged={**rollout.acknowledged, event.notice: (*who, event.handle)})
        case e.ConcernRaised():
            return rollout
        case e.FeltOff():
            return replace(rollout, felt_off=(*rollout.felt_off, event.by))
        case e.MessagePosted():
            posted = Posted(channel=event.channel, ts=event.ts, at=at)
            return replace(rollout, messages={**rollout.messages, event.key: posted})
        case e.MessageFailed():
            return rollout
        case _:
            assert_never(event)


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
        start=event.plan.start,
        messages=before.messages if before else {},
        requests_made=before.requests_made if before else 0,
    )


def _entered(spans: tuple[StageSpan, ...], index: int, at: datetime) -> tuple[StageSpan, ...]:
    return (*_closed(spans, at), StageSpan(index=index, since=at))


def _closed(spans: tuple[StageSpan, ...], at: datetime) -> tuple[StageSpan, ...]:
    return (*spans[:-1], replace(spans[-1], until=at)) if spans else ()


def _ended(rollout: Rollout, at: datetime) -> Rollout:
    return replace(rollout, ended_at=at, spans=_closed(rollout.spans, at), request=None, approvals=(), hold=None)


def _resumed(rollout: Rollout, event: e.Resumed, at: datetime) -> Rollout:
    if rollout.state is State.PAUSED:
        return replace(_unpaused(rollout, at), state=rollout.paused_from)
    overridden = rollout.overridden | {event.overrides} if event.overrides else rollout.overridden
    return replace(rollout, state=State.RUNNING, hold=None, overridden=overridden)


def _unpaused(rollout: Rollout, at: datetime) -> Rollout:
    """The clock of its stage goes on, if it stood still."""
    if rollout.paused_at is None:
        return rollout
    return replace(rollout, paused_at=None, paused_for=rollout.paused_for + (at - rollout.paused_at))
