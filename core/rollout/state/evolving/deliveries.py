"""What posted messages and flags of other systems change in a rollout."""

from datetime import datetime
from typing import assert_never

from core.rollout.state import events as e
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import PostedMessage, Rollout


def evolve_deliveries(rollout: Rollout, event: e.DeliveryEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`."""
    match event:
        case e.MessagePosted():
            # A notice that was deleted and posted again was given when it was posted first.
            first = rollout.messages.get(event.key)
            posted = PostedMessage(channel=event.channel, ts=event.ts, at=first.at if first is not None else at)
            return replace(rollout, messages={**rollout.messages, event.key: posted})
        case e.MessageFailed():
            return rollout
        case e.FlagSet():
            return _set_flag(rollout, event, at)
        case e.FlagNotSet():
            return replace(rollout, flag_troubles={**rollout.flag_troubles, event.flag: event.error})
        case _:
            assert_never(event)


def _set_flag(rollout: Rollout, event: e.FlagSet, at: datetime) -> Rollout:
    spans, driven = rollout.spans, next((one for one in rollout.plan.driven if one.title == event.flag), None)
    if rollout.is_under_way and driven is not None and driven.percent_at(rollout.percent) == event.percent:
        span = spans[-1]
        read_back = span.read_back if event.flag in span.read_back else (*span.read_back, event.flag)
        divides = rollout.plan.dividing or rollout.plan.driven
        since = at if all(one.title in read_back for one in divides) else None
        spans = (*spans[:-1], replace(span, read_back=read_back, driven_since=span.driven_since or since))
    troubles = {flag: why for flag, why in rollout.flag_troubles.items() if flag != event.flag}
    return replace(rollout, flags={**rollout.flags, event.flag: event}, flag_troubles=troubles, spans=spans)
