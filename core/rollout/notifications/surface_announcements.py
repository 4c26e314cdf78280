"""What is announced after an event of an AI feature: to its engineers, for no rollout."""

from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.state.surface import OtherModelAnswered, RetirementTold, Surface, SurfaceEvent


def announce_for_surface(event: SurfaceEvent, position: int, surface: Surface) -> tuple[Announcement, ...]:
    """The announcements that follow from an event of a surface: to the channels of its engineers."""
    match event:
        case OtherModelAnswered():
            kind = AnnouncementKind.OTHER_MODEL
        case RetirementTold():
            kind = AnnouncementKind.RETIREMENT
        case _:
            return ()
    channels = [notice.channel for notice in surface.notices if notice.audience == "engineering"]
    return tuple(
        Announcement(kind=kind, rollout="", channel=channel, key=f"{surface.name}:{position}") for channel in channels
    )
