"""What those who follow an AI feature are told in person after an event, and when, by their quiet hours."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.rollout.workspace.subscriptions import Subscriber


def announce_directly(
    event: e.RolloutEvent, position: int, after: Rollout, followers: Iterable[tuple[Subscriber, str]], at: datetime
) -> Iterator[Announcement]:
    """The direct messages that follow from `event`, which happened `at`; `followers` are those of the AI feature, each
    with an audience.

    Messages wait for the end of the person's quiet hours. A rollback and edits, which make no sound, do not wait.
    """
    for person, audience in followers:
        key = notice_key(after, audience, person.user)
        match event:
            case e.Planned() if event.renewal is None or key not in after.messages:
                yield _build_notice(after, person, audience, _find_due(after, person, audience, at))
            case e.Started():
                if key not in after.messages:  # they follow it since it was planned
                    yield _build_notice(after, person, audience, person.find_quiet_end(at))
                yield _build_follow_up(after, position, person, audience, person.find_quiet_end(at))
            case e.Completed() | e.Abandoned():
                yield from _build_edit(after, person, audience)
                yield _build_follow_up(after, position, person, audience, person.find_quiet_end(at))
            case e.RolledBack():
                yield _build_follow_up(after, position, person, audience, None)
                yield from _build_edit(after, person, audience)
            case (
                e.Planned()
                | e.StageEntered()
                | e.StartScheduled()
                | e.BaseChanged()
                | e.Held()
                | e.HoldCleared()
                | e.Paused()
                | e.Resumed()
            ):
                yield from _build_edit(after, person, audience)


def notice_key(rollout: Rollout, audience: str, user: str) -> str:
    """The message key of a notice to one person. It contains the plan's fingerprint: a changed plan sends a new one."""
    return f"direct:{rollout.fingerprint}:{audience}:{user}"


def build_overdue_edits(rollout: Rollout) -> list[Announcement]:
    """The edits of the notices to followers, if the date that they give for the next step has passed."""
    prefix = f"direct:{rollout.fingerprint}:"
    found = [key.removeprefix(prefix).partition(":") for key in rollout.messages if key.startswith(prefix)]
    return [
        Announcement(
            kind=AnnouncementKind.DIRECT_NOTICE,
            rollout=rollout.id,
            channel=user,
            key=notice_key(rollout, audience, user),
            audience=audience,
        )
        for audience, _, user in found
    ]


def _find_due(after: Rollout, person: Subscriber, audience: str, at: datetime) -> datetime | None:
    """When a notice is due: with the one to the channel of the same audience, outside the person's quiet hours."""
    leads = [n.before for n in after.plan.stakeholder_notices if n.audience == audience and n.before is not None]
    due = max(at, after.start - max(leads)) if after.start is not None and leads else at
    return person.find_quiet_end(due) or (due if due > at else None)


def _build_notice(after: Rollout, person: Subscriber, audience: str, due: datetime | None) -> Announcement:
    return Announcement(
        kind=AnnouncementKind.DIRECT_NOTICE,
        rollout=after.id,
        channel=person.user,
        key=notice_key(after, audience, person.user),
        audience=audience,
        due_at=due,
    )


def _build_edit(after: Rollout, person: Subscriber, audience: str) -> Iterator[Announcement]:
    """The edit of a notice; nothing if none was posted."""
    if notice_key(after, audience, person.user) in after.messages:
        yield _build_notice(after, person, audience, None)


def _build_follow_up(
    after: Rollout, position: int, person: Subscriber, audience: str, due: datetime | None
) -> Announcement:
    return Announcement(
        kind=AnnouncementKind.DIRECT_FOLLOW_UP,
        rollout=after.id,
        channel=person.user,
        key=f"direct_follow_up:{position}:{audience}:{person.user}",
        audience=audience,
        due_at=due,
    )
