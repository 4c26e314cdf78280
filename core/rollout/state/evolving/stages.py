"""What starts, steps, holds and pauses change in a rollout."""

from datetime import datetime, timedelta
from typing import assert_never

from core.rollout.plans.plan import StageKind
from core.rollout.state import events as e
from core.rollout.state import holds, judge_check
from core.rollout.state.evolving.endings import close_last_span, end_hold, end_rollout, total_paused
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import ActiveHold, Rollout, RolloutState, SkippedWait, StageSpan


def evolve_stages(rollout: Rollout, event: e.StageEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`."""
    match event:
        case e.Started():
            running = replace(rollout, state=RolloutState.RUNNING, started_at=at, summary_at=at, layer=event.layer)
            return replace(running, request=None, approvals=())
        case e.StageEntered():
            return _enter_stage(rollout, event, at)
        case e.DrillFinished():
            return replace(rollout, drilled={**rollout.drilled, event.stage: event.seconds})
        case e.Held():
            return _hold(rollout, event, at)
        case e.HoldCleared():
            return end_hold(rollout)
        case e.Paused():
            return replace(rollout, state=RolloutState.PAUSED, paused_at=at, paused_from=rollout.state)
        case e.Resumed() if rollout.state is RolloutState.PAUSED:
            paused_for = total_paused(rollout, at)
            return replace(rollout, state=rollout.paused_from, paused_at=None, paused_for=paused_for)
        case e.Resumed():
            return _override_hold(rollout, event.overrides, at)
        case e.StageExtended():
            return replace(end_hold(rollout), extended_to=event.asked_at)
        case e.GrowthFrozen():
            return replace(rollout, frozen_until=event.until)
        case e.GrowthUnfrozen():
            return replace(rollout, frozen_until=None)
        case e.Completed():
            return replace(end_rollout(rollout, RolloutState.DONE, at), completed_at=at)
        case _:
            assert_never(event)


def _enter_stage(rollout: Rollout, event: e.StageEntered, at: datetime) -> Rollout:
    return replace(
        rollout,
        state=RolloutState.RUNNING,
        spans=(*close_last_span(rollout.spans, at), _begin_span(rollout, event, at)),
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


def _begin_span(rollout: Rollout, event: e.StageEntered, at: datetime) -> StageSpan:
    """The span of a stage. What has its percentage already, as far as is known, need not be read back again."""
    if rollout.plan.stages[event.index].kind is StageKind.ROLLBACK_DRILL or not rollout.spans:
        return StageSpan(index=event.index, since=at)  # in a drill everything takes part, and has to answer anew
    before, last = rollout.percent, rollout.spans[-1]
    same = {one.title for one in rollout.plan.driven if one.percent_at(before) == one.percent_at(event.percent)}
    read_back = tuple(flag for flag in last.read_back if flag in same)
    there = before == event.percent and last.driven_since is not None
    return StageSpan(index=event.index, since=at, driven_since=at if there else None, read_back=read_back)


def _hold(rollout: Rollout, event: e.Held, at: datetime) -> Rollout:
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
        paused_for=total_paused(rollout, at),
    )


def _override_hold(rollout: Rollout, hold: str, at: datetime) -> Rollout:
    if hold.startswith(holds.UNDECIDED):
        rollout = replace(rollout, asked_after=rollout.held_for(at))
    if hold == holds.DRILL and rollout.spans:  # it is drilled again
        again = replace(rollout.spans[-1], driven_since=None, read_back=())
        rollout = replace(rollout, spans=(*rollout.spans[:-1], again))
    if hold.startswith(holds.JUDGE_MOVED):
        rollout = replace(rollout, judge_check=judge_check.take_as_it_is(rollout.judge_check))
    return replace(end_hold(rollout), overridden=rollout.overridden | {hold} if hold else rollout.overridden)
