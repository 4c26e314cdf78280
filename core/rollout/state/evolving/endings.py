"""What ends with a step, a hold, a pause or the rollout."""

from datetime import datetime, timedelta

from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout, RolloutState, StageSpan


def close_last_span(spans: tuple[StageSpan, ...], at: datetime) -> tuple[StageSpan, ...]:
    """The spans with the last one ended at `at`."""
    return (*spans[:-1], replace(spans[-1], until=at)) if spans else ()


def end_hold(rollout: Rollout) -> Rollout:
    """The rollout once a hold ends: it waits if a request is open, else it runs."""
    state = RolloutState.RUNNING if rollout.request is None else RolloutState.WAITING
    return replace(rollout, state=state, hold=None)


def end_rollout(rollout: Rollout, state: RolloutState, at: datetime) -> Rollout:
    """The rollout with everything closed that is open: its span, request, approvals and hold."""
    spans = close_last_span(rollout.spans, at)
    return replace(rollout, state=state, ended_at=at, spans=spans, request=None, approvals=(), hold=None)


def total_paused(rollout: Rollout, at: datetime) -> timedelta:
    """How long the current stage was paused in total, including a pause that lasts until `at`."""
    return rollout.paused_for if rollout.paused_at is None else rollout.paused_for + (at - rollout.paused_at)
