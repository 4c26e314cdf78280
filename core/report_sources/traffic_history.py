"""What the database knows of a surface's traffic, for planning."""

from datetime import datetime

from core.files.foresight import known_traffic
from core.files.foresight.known_traffic import KnownTraffic
from core.files.foresight.layer_reach import narrow_traffic
from core.rollout.state.surface import Surface
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.store.observations import observation_sums


def load_known_traffic(service: RolloutService, surface: Surface, world: World, now: datetime) -> KnownTraffic:
    """The traffic as the baseline has it; without one, as the last rollout that showed any measured it, or as
    assumed. In a layer it is that of the surface's own users."""
    return narrow_traffic(_load_traffic(service, surface, world, now), surface, world.policy)


def _load_traffic(service: RolloutService, surface: Surface, world: World, now: datetime) -> KnownTraffic:
    if (recalled := known_traffic.recall_traffic(surface)) is not None:
        return recalled
    for rollout in reversed([r for r in world.rollouts.values() if r.plan.surface == surface.name]):
        if not any(rollout.plan.stages[span.index].is_compared for span in rollout.spans):
            continue
        with service.database.reading() as connection:
            sums = observation_sums.load_sums(connection, rollout.id)
        found = known_traffic.measure_traffic(surface, rollout, sums, now)
        if found.measured:
            return found
    return known_traffic.assume_traffic(surface)
