"""What testers are asked in person or in their channel when a stage begins, and the edits of those questions."""

from collections.abc import Iterator
from datetime import datetime

from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.rollout.votes import testers


def ask_testers(
    event: e.RolloutEvent, before: Rollout | None, world: World, name: str, at: datetime
) -> Iterator[Announcement]:
    """The questions that follow from `event` of the rollout `name`, which happened `at`; `world` is the one after it.

    A person is asked once per stage, and not within their quiet hours. Questions of a stage that is over, and those
    that were answered, are edited, which makes no sound.
    """
    after = world.rollouts[name]
    if not after.plan.testers:
        return
    match event:
        case e.StageEntered():
            yield from _close(before)
            if testers.asks_testers(after.current_stage):
                for tester in testers.list_asked(world, after):
                    due = None if tester.channel else world.subscribers.find_user(tester.person).find_quiet_end(at)
                    yield _build(after, after.stage_index, tester.target, due)
        case e.RolledBack() | e.Completed():
            yield from _close(before)
        case e.VoteCast() | e.VoteWithdrawn():
            if testers.request_key(event.stage, event.voter) in after.messages:
                yield _build(after, event.stage, event.voter, None)


def _close(before: Rollout | None) -> Iterator[Announcement]:
    """Edits of the questions that were posted in the stage that ended."""
    if before is None:
        return
    prefix = testers.request_key(before.stage_index, "")
    for key in before.messages:
        if key.startswith(prefix):
            yield _build(before, before.stage_index, key.removeprefix(prefix), None)


def _build(rollout: Rollout, stage: int, target: str, due: datetime | None) -> Announcement:
    return Announcement(
        kind=AnnouncementKind.FEEDBACK,
        rollout=rollout.id,
        channel=target,
        key=testers.request_key(stage, target),
        due_at=due,
    )
