"""Ends the time in which conversations go on with the version that they began with, after their rollout has ended."""

from contextlib import suppress
from datetime import datetime

from core.rollout import commands as c
from core.rollout.refusal import Conflict
from core.rollout.serving import conversations
from core.service.service import RolloutService


def move_due(service: RolloutService, now: datetime) -> None:
    """Move the conversations of each rollout whose time is over; of several workers that get here at once, one does."""
    for rollout in service.cached_world().rollouts.values():
        due = conversations.finish_by(rollout)
        if due is not None and now >= due:
            command_id = f"conversations:{rollout.id}:{due.isoformat()}"
            with suppress(Conflict):  # another worker did it first
                service.handle_as_engine(c.MoveConversations(), command_id=command_id, at=now, rollout=rollout.id)
