"""What an event of a rollout means for its surface: the events that are appended with it, in the same transaction."""

from datetime import datetime

from core.rollout import events as e
from core.rollout.surface import LiveMoved, SurfaceEvent, SurfaceFreed, SurfaceTaken, VersionNamed


def for_surface(event: e.RolloutEvent, rollout: str, at: datetime) -> tuple[SurfaceEvent, ...]:
    """The surface's own events, in order. Only here does a version become live."""
    match event:
        case e.Planned():
            return (VersionNamed(version=event.plan.to_version, content=event.to_content, rollout=rollout),)
        case e.Started():
            return (SurfaceTaken(rollout=rollout),)
        case e.Completed():
            return (LiveMoved(version=event.version, rollout=rollout, at=at), SurfaceFreed(rollout=rollout))
        case e.RolledBack() if event.after_done:
            return (LiveMoved(version=event.version, rollout=rollout, at=at),)
        case e.RolledBack():
            return (SurfaceFreed(rollout=rollout),)
        case _:
            return ()
