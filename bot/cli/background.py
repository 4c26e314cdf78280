"""What the database knows of a surface's traffic, for planning."""

from datetime import datetime
from typing import TYPE_CHECKING

from core.rollout.model import Rollout

if TYPE_CHECKING:
    from core.files.foresight.known_traffic import Known
    from core.rollout.surface import Surface
    from core.rollout.world import World
    from core.service import Service


def known(service: "Service", surface: "Surface", world: "World", now: datetime) -> "Known":
    """The traffic as the last rollout of the surface that showed any measured it, or else as assumed."""
    from core.files.foresight import known_traffic as knowledge
    from core.store.observations import windows

    for rollout in reversed([r for r in world.rollouts.values() if r.plan.surface == surface.name]):
        if not _exposed(rollout):
            continue
        with service.database.reading() as connection:
            sums = windows.read(connection, rollout.id)
        found = knowledge.measured(surface, rollout, sums, now)
        if found.measured:
            return found
    return knowledge.assumed(surface)


def _exposed(rollout: Rollout) -> bool:
    return any(rollout.plan.stages[span.index].compared for span in rollout.spans)
